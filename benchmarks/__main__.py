"""`python -m benchmarks`: the servers side by side, one core each in turn; writes Markdown, a plot and JSON."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine
from benchmarks.contestants import CONTESTANTS, Contestant, without_paths
from benchmarks.processes import BUILD, HERE, CellFailed, Figures, build_generator
from benchmarks.results import Failure, Results
from benchmarks.scenarios import QUICK, SCENARIOS, Effort, Scenario

DISTURBED = 0.1  # share of a core taken by other work from which on a cell is worth measuring again
SPARE_FILES = 200  # open files a server needs besides its connections


def main(argv: Sequence[str]) -> int:
    options = _parser().parse_args(argv)
    scenarios = [scenario for scenario in SCENARIOS if not options.only or scenario.key in options.only]
    contestants = [one for one in CONTESTANTS if not options.servers or one.key in options.servers]
    output: Path = options.output or (BUILD / "results" if _is_partial(options) else HERE / "results")
    output.mkdir(parents=True, exist_ok=True)
    if options.render:
        _write(Results.load(output / "results.json"), output)
        return 0
    build_generator()
    results = _begin(options, argv, contestants)
    taking_part = [contestant for contestant in contestants if contestant.key not in results.missing]
    _run(results, scenarios, taking_part, options)
    _write(results, output)
    _say(f"wrote {output}/results.md, results.png and results.json")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    scenarios = ", ".join(scenario.key for scenario in SCENARIOS)
    servers = ", ".join(contestant.key for contestant in CONTESTANTS)
    parser.add_argument("--only", type=_known(SCENARIOS), metavar="A,B", help=f"these scenarios: {scenarios}")
    parser.add_argument("--servers", type=_known(CONTESTANTS), metavar="A,B", help=f"these servers: {servers}")
    parser.add_argument("--repeats", type=int, metavar="N", help="rounds over all servers (default 3; quick 1)")
    parser.add_argument("--seconds", type=float, metavar="S", help="measured time of a cell (default 3; quick 1)")
    parser.add_argument("--quick", action="store_true", help="short cells, one round, fewer connections")
    parser.add_argument(
        "--patience",
        type=int,
        metavar="N",
        help="measure a cell up to N more times while other work disturbs it (default 2; quick 0)",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: benchmarks/results for a whole run")
    parser.add_argument("--render", action="store_true", help="only write Markdown and plot again from the JSON")
    return parser


def _known(things: Sequence[Scenario] | Sequence[Contestant]):  # type: ignore[no-untyped-def]
    def parse(text: str) -> list[str]:
        keys = [thing.key for thing in things]
        if unknown := [key for key in text.split(",") if key not in keys]:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are {', '.join(keys)}")
        return text.split(",")

    return parse


def _is_partial(options: argparse.Namespace) -> bool:
    """What is not the whole comparison does not replace the results that are kept."""
    return bool(options.quick or options.only or options.servers) and not options.render


def _effort(options: argparse.Namespace) -> Effort:
    effort = QUICK if options.quick else Effort()
    room = machine.raise_file_limit() - SPARE_FILES
    return replace(
        effort,
        seconds=options.seconds or effort.seconds,
        idle_connections=min(effort.idle_connections, room),
        new_connections=min(effort.new_connections, room),
    )


def _begin(options: argparse.Namespace, argv: Sequence[str], contestants: Sequence[Contestant]) -> Results:
    what = {scenario.key: f"{scenario.what} {scenario.headline}: {scenario.unit}" for scenario in SCENARIOS}
    method = asdict(_effort(options)) | {"repeats": _repeats(options), "patience": _patience(options)} | what
    results = Results(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        command=" ".join(["python -m benchmarks", *argv]),
        machine=machine.facts(),
        method=method,
        servers={},
    )
    for one in contestants:
        if reason := one.why_missing():
            results.missing[one.key] = reason
            _say(f"missing: {one.label}: {reason}")
        else:
            facts = {"label": one.label, "command": one.shown_command(), "ours": "yes" if one.ours else ""}
            results.servers[one.key] = facts
    return results


def _repeats(options: argparse.Namespace) -> int:
    return int(options.repeats or (1 if options.quick else 3))


def _patience(options: argparse.Namespace) -> int:
    return int(options.patience if options.patience is not None else (0 if options.quick else 2))


def _run(
    results: Results, scenarios: Sequence[Scenario], contestants: Sequence[Contestant], options: argparse.Namespace
) -> None:
    """Scenario by scenario, round by round, all servers in each round: slow drift touches them alike."""
    effort, repeats, began = _effort(options), _repeats(options), time.monotonic()
    cells = [(s, r, c) for s in scenarios for r in range(1, repeats + 1) for c in contestants]
    for done, (scenario, repeat, contestant) in enumerate(cells):
        left = (time.monotonic() - began) / done * (len(cells) - done) if done else 0
        about = f"about {left / 60:.0f} min left" if done else ""
        where = f"{scenario.key} · {contestant.label} · {repeat} of {repeats}"
        _say(f"[{done + 1:3}/{len(cells)}] {where} {about}", end=" … ")
        try:
            figures = _undisturbed(scenario, contestant, effort, _patience(options))
        except (CellFailed, subprocess.TimeoutExpired, KeyError) as failure:
            results.failures.append(Failure(scenario.key, contestant.key, without_paths(f"{failure}")))
            _say(f"FAILED: {failure}")
            continue
        results.add(scenario.key, contestant.key, figures)
        _say(f"{figures.get(scenario.headline, float('nan')):,.1f} {scenario.unit}")


def _undisturbed(scenario: Scenario, contestant: Contestant, effort: Effort, patience: int) -> Figures:
    """The least disturbed of up to 1 + `patience` tries. The choice looks at other work, never at the figure."""
    tries: list[Figures] = []
    while len(tries) <= patience:
        tries.append(scenario.measure(contestant, effort))
        if tries[-1].get("foreign_share", 0) <= DISTURBED:
            break
        _say(f"({tries[-1]['foreign_share']:.0%} of a core taken by others)", end=" ")
    return min(tries, key=lambda figures: figures.get("foreign_share", 0))


def _write(results: Results, output: Path) -> None:
    from benchmarks.plot import draw
    from benchmarks.report import markdown

    results.save(output / "results.json")
    method = Path(os.path.relpath(HERE / "README.md", output)).as_posix()
    (output / "results.md").write_text(markdown(results, method))
    draw(results, output / "results.png")


def _say(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
