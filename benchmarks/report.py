"""Results as Markdown: at a glance, against the targets, then scenario by scenario."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from benchmarks.results import Results
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.targets import TARGETS, judge

GENERATOR_BOUND = 0.95  # share of its core from which on the generator may be what is measured
STALLED = 0.5  # share of messages that never came from which on a latency is only a lower bound


def markdown(results: Results, method: str) -> str:
    """The page of a run; ``method`` is the address of the page that says how it is done."""
    measured = [scenario for scenario in SCENARIOS if scenario.key in results.cells]
    parts = [
        "# Benchmark results",
        f"{results.date}, `{results.command}`. How it is done: [benchmarks/README.md]({method}).",
        "![The same figures as a plot](results.png)",
        "## At a glance",
        "Medians. K and M are thousands and millions; every server has one core.",
        _glance(results, measured),
        "## Against the targets",
        "Ratios of medians. Where other work took much of a core, the ratio per CPU second is the sounder one.",
        _targets(results),
        *(_section(results, scenario) for scenario in measured),
        "## What was not measured",
        _absent(results),
        "## Machine",
        _facts(results.machine),
        "## How each server was run",
        _facts({server["label"]: f"`{server['command']}`" for server in results.servers.values()}),
    ]
    return "\n\n".join(parts) + "\n"


def short(value: float | None) -> str:
    """Three significant digits, readable at a glance."""
    if value is None:
        return "–"
    for factor, letter in ((1e6, " M"), (1e3, " K")):
        if abs(value) >= factor * 0.9995:
            return f"{value / factor:.3g}{letter}" if value / factor < 100 else f"{value / factor:.0f}{letter}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def is_stalled(results: Results, scenario: Scenario, server: str) -> bool:
    return (results.median(scenario.key, server, "undelivered_share") or 0) > STALLED


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _name(results: Results, server: str) -> str:
    label = results.servers[server]["label"]
    return f"**{label}**" if results.servers[server]["ours"] else label


def _headline(results: Results, scenario: Scenario, server: str) -> str:
    value = short(results.median(scenario.key, server, scenario.headline))
    return f"stalled, > {value}" if is_stalled(results, scenario, server) else value


def _glance(results: Results, measured: Sequence[Scenario]) -> str:
    head = ["", *(f"{scenario.title}, {scenario.unit}" for scenario in measured)]
    return _table(
        head,
        ([_name(results, key), *(_headline(results, s, key) for s in measured)] for key in results.servers),
    )


def _targets(results: Results) -> str:
    rows = []
    for target in TARGETS:
        outcome = judge(target, results)
        if outcome is None:
            rows.append([target.claim, target.wording(), "not measured", "–", "–", "–", "–"])
            continue
        met = {True: "yes", False: "**no**", None: "–"}[outcome.meets(target)]
        spread = f"{outcome.lowest:.2f}–{outcome.highest:.2f}"
        foreign = "–" if outcome.foreign is None else f"{outcome.foreign:.0%}"
        rows.append(
            [target.claim, target.wording(), f"{outcome.ratio:.2f}", met, spread, short(outcome.per_cpu), foreign]
        )
    return _table(["ratio", "target", "measured", "met", "repeat by repeat", "per CPU second", "other work"], rows)


def _section(results: Results, scenario: Scenario) -> str:
    cells = results.cells[scenario.key]
    better = "less" if scenario.lower_is_better else "more"
    columns = {name: head for name, head in scenario.columns.items() if any(_has(cells, key, name) for key in cells)}
    head = ["", scenario.unit, "lowest–highest", *columns.values()]
    rows = []
    for server in (server for server in results.servers if server in cells):
        values = results.values(scenario.key, server, scenario.headline)
        spread = f"{short(min(values))}–{short(max(values))}" if values else "–"
        others = [_other(name, results.median(scenario.key, server, name)) for name in columns]
        rows.append([_name(results, server), _headline(results, scenario, server), spread, *others])
    notes = "".join(f"\n- {note}" for note in _notes(results, scenario))
    text = f"## {scenario.title}\n\n{scenario.what} ({better.capitalize()} is better.)\n\n{_table(head, rows)}"
    return text + (f"\n{notes}" if notes else "")


def _has(cells: dict[str, list[dict[str, float]]], server: str, figure: str) -> bool:
    return any(figure in repeat for repeat in cells[server])


def _other(name: str, value: float | None) -> str:
    if name.endswith("_share") and value is not None:
        return f"{value:.0%}"
    return short(value)


def _notes(results: Results, scenario: Scenario) -> Iterable[str]:
    cells = results.cells[scenario.key]
    for server, repeats in cells.items():
        label = results.servers[server]["label"]
        load = statistics.median(repeat.get("load_cpu_share", 0) for repeat in repeats)
        if scenario.headline == "rate" and load >= GENERATOR_BOUND:
            yield f"{label}: the load generator was at its own limit; the server may be capable of more."
        for figure, word in (("lost", "skipped"), ("disordered", "out of order"), ("disconnected", "cut off")):
            if count := sum(repeat.get(figure, 0) for repeat in repeats):
                yield f"{label}: {count:,.0f} {word}."
        if any(repeat.get("stalled") for repeat in repeats):
            yield f"{label}: deliveries stopped; the run was ended early."
    foreign = [repeat["foreign_share"] for repeats in cells.values() for repeat in repeats if "foreign_share" in repeat]
    if foreign:
        yield (
            f"Other work took {statistics.median(foreign):.0%} of the busier core in the median run, "
            f"{max(foreign):.0%} in the worst."
        )


def _absent(results: Results) -> str:
    lines = [f"- {key}: {reason}" for key, reason in results.missing.items()]
    lines += [f"- {failure.scenario}, {failure.contestant}: {failure.reason}" for failure in results.failures]
    return "\n".join(lines) or "Nothing is missing and nothing failed."


def _facts(facts: dict[str, object]) -> str:
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {entry}" for key, entry in value.items())
        lines.append(f"- {name}: {value:.2f}" if isinstance(value, float) else f"- {name}: {value}")
    return "\n".join(lines)
