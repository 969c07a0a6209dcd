"""What a suite came to: read from the reports that test runners write, and written as a page of the docs."""

import json
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"

_PRIVATE = "A unit test of the SDK that connects nowhere: it reads private fields of an earlier version."
REASONS: dict[str, str] = {
    "centrifuge.test.ts: state invalidated disconnect (3014) clears token and map state": _PRIVATE,
    "centrifuge.test.ts: state invalidated unsubscribe (2502) clears sub token and map state": _PRIVATE,
}
"""Why a test does not pass and is not going to, by its name. Any other failure is one of the run."""


class Outcome(NamedTuple):
    """One test of a suite."""

    test: str
    result: str
    said: str = ""
    """The first line of why it did not pass."""


class Run(NamedTuple):
    """One suite, run to its end or to its time limit."""

    suite: str
    version: str
    runner: str
    outcomes: Sequence[Outcome]

    @property
    def counts(self) -> Counter[str]:
        return Counter(outcome.result for outcome in self.outcomes)

    @property
    def good(self) -> bool:
        """Whether there were tests, and all failures have their reasons."""
        failed = [outcome.test for outcome in self.outcomes if outcome.result == FAILED]
        return bool(self.outcomes) and set(failed) <= set(REASONS)


def read_junit(report: Path) -> list[Outcome]:
    """The report of ``pytest --junitxml``."""
    outcomes = []
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
        outcome = Outcome(name, PASSED)
        for tag, result in (("skipped", SKIPPED), ("failure", FAILED), ("error", FAILED)):
            found = case.find(tag)
            if found is not None:
                outcome = Outcome(name, result, _first_line(found.get("message") or ""))
        outcomes.append(outcome)
    return outcomes


def read_unittest(report: Path) -> list[Outcome]:
    """The report of ``run_unittest.py``; what was started and never ended has failed."""
    outcomes: dict[str, Outcome] = {}
    for line in report.read_text().splitlines():
        told = json.loads(line)
        name = told["test"].removeprefix("tests.")
        if told["result"] == "started":
            outcomes[name] = Outcome(name, FAILED, "it did not end")
        elif name not in outcomes or outcomes[name].said == "it did not end":
            outcomes[name] = Outcome(name, told["result"], _first_line(told["said"]))
    return list(outcomes.values())


def read_jest(report: Path) -> list[Outcome]:
    """The report of ``jest --json``."""
    results = {"passed": PASSED, "failed": FAILED}
    outcomes = []
    for file in json.loads(report.read_text())["testResults"]:
        module = Path(file["name"]).name
        if not file["assertionResults"] and file["status"] == "failed":
            outcomes.append(Outcome(module, FAILED, _first_line(file["message"])))
        for case in file["assertionResults"]:
            said = _first_line(case["failureMessages"][0]) if case["failureMessages"] else ""
            outcomes.append(Outcome(f"{module}: {case['fullName']}", results.get(case["status"], SKIPPED), said))
    return outcomes


def _first_line(message: str) -> str:
    return next((line.strip() for line in message.splitlines() if line.strip()), "")[:160]


def page(runs: Sequence[Run]) -> str:
    """The part of the page that a run writes."""
    lines = ["| suite | version | run by | tests | passed | failed | skipped |", "|---|---|---|---|---|---|---|"]
    for run in runs:
        counts = [len(run.outcomes), *(run.counts[result] for result in (PASSED, FAILED, SKIPPED))]
        lines.append(f"| {run.suite} | {run.version} | {run.runner} | {' | '.join(map(str, counts))} |")
    others = [(run.suite, one) for run in runs for one in run.outcomes if one.result != PASSED]
    if not others:
        lines += ["", "All tests pass; none is left out."]
    else:
        lines += ["", "What did not pass:", "", "| suite | test | result | reason |", "|---|---|---|---|"]
    for suite, one in others:
        reason = REASONS.get(one.test) or one.said or "none is given"
        lines.append(f"| {suite} | {_cell(one.test)} | {one.result} | {_cell(reason)} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
