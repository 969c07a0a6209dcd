"""The ratios this project aims for. They are reported, never asserted: a time is not a test."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.results import Results

TUTORIALS_ON_UVICORN = ("tutorial-uvicorn", "tutorial-websockets")


@dataclass(frozen=True, slots=True)
class Target:
    """`server` over the best of `rivals`; at least `bound`, or at most, where less is better."""

    claim: str
    scenario: str
    server: str
    rivals: tuple[str, ...]
    bound: float | None
    figure: str = "rate"
    at_most: bool = False

    def wording(self) -> str:
        if self.bound is None:
            return "none"
        return f"{'≤' if self.at_most else '≥'} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The ratio of the medians, the range of the ratios repeat by repeat, and the ratio per CPU second.

    `foreign` is the share of a core that other work took from the worse disturbed of the two servers.
    """

    ratio: float
    lowest: float
    highest: float
    per_cpu: float | None
    foreign: float | None

    def meets(self, target: Target) -> bool | None:
        if target.bound is None:
            return None
        return self.ratio <= target.bound if target.at_most else self.ratio >= target.bound


TARGETS = (
    Target("fan-out against uWebSockets", "fanout", "hubbub", ("uwebsockets",), 0.9),
    Target("fan-out against the tutorial on uvicorn, its better one", "fanout", "hubbub", TUTORIALS_ON_UVICORN, 1.5),
    Target("64 in flight against uWebSockets", "burst", "hubbub", ("uwebsockets",), 4),
    Target("64 in flight against the tutorial on uvicorn", "burst", "hubbub", TUTORIALS_ON_UVICORN, 40),
    Target("volleys of 16 against uWebSockets", "volley", "hubbub", ("uwebsockets",), None),
    Target("volleys of 16 against the tutorial on uvicorn", "volley", "hubbub", TUTORIALS_ON_UVICORN, None),
    Target(
        "echo, the same plain endpoint, against uvicorn's default", "echo", "tutorial-wire", ("tutorial-uvicorn",), 1.4
    ),
    Target(
        "memory of an idle client against the tutorial on uvicorn's default",
        "idle",
        "hubbub",
        ("tutorial-uvicorn",),
        0.6,
        figure="kib_per_connection",
        at_most=True,
    ),
    Target("p99 of the healthy beside a sleeper, against without", "sleeper", "hubbub", (), 1.5, "ratio", at_most=True),
)


def judge(target: Target, results: Results) -> Outcome | None:
    """None when a server that the ratio needs was not measured."""
    ours = results.values(target.scenario, target.server, target.figure)
    middle = results.median(target.scenario, target.server, target.figure)
    if middle is None:
        return None
    if not target.rivals:
        return Outcome(middle, min(ours), max(ours), None, _foreign(results, target.scenario, target.server))
    medians = {rival: results.median(target.scenario, rival, target.figure) for rival in target.rivals}
    known = {rival: median for rival, median in medians.items() if median}
    if not known:
        return None
    best = (min if target.at_most else max)(known, key=lambda rival: known[rival])
    theirs = results.values(target.scenario, best, target.figure)
    pairs = [mine / other for mine, other in zip(ours, theirs, strict=False) if other]
    cpu = [results.median(target.scenario, who, "per_cpu_s") for who in (target.server, best)]
    per_cpu = cpu[0] / cpu[1] if cpu[0] and cpu[1] else None
    foreign = _foreign(results, target.scenario, target.server, best)
    return Outcome(middle / known[best], min(pairs), max(pairs), per_cpu, foreign)


def _foreign(results: Results, scenario: str, *servers: str) -> float | None:
    shares = [results.median(scenario, server, "foreign_share") for server in servers]
    return max((share for share in shares if share is not None), default=None)
