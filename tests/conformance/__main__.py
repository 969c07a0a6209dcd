"""Runs the suites, each against a fresh server with its settings, and writes what they came to into the docs."""

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from .results import PASSED, REASONS, Run, page
from .suites import REPORTS, ROOT, SUITES, Suite, Unavailable

PAGE = ROOT / "docs" / "reference" / "conformance.md"
MARK = "<!-- results -->"
PORT = 8000
"""All suites have it hard-coded."""
START_DEADLINE = 20.0


def something_listens() -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", PORT)) == 0


@contextlib.contextmanager
def serving(app: str) -> Iterator[None]:
    """One app of ``servers.py`` on the fast path, for the length of the block."""
    if something_listens():
        raise SystemExit(f"port {PORT} is taken, and the suites have it hard-coded: stop what listens there")
    command = [sys.executable, "-m", "uvicorn", "--factory", f"tests.conformance.servers:{app}", "--port", str(PORT)]
    options = ["--ws", "hubbub.wire:Protocol", "--loop", "uvloop", "--log-level", "warning"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}
    with (REPORTS / f"server-{app}.log").open("wb") as log:
        server = subprocess.Popen([*command, *options], cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_DEADLINE
        while not something_listens():
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the server did not start: see {log.name}")
            time.sleep(0.05)
        yield
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


def write_page(runs: list[Run]) -> None:
    head = PAGE.read_text().partition(MARK)[0]
    servers = f"Hubbub {version('hubbub')} with `hubbub.wire:Protocol` on uvicorn {version('uvicorn')}."
    PAGE.write_text(f"{head}{MARK}\n\n{servers}\n\n{page(runs)}\n")


def report(run: Run) -> None:
    counts = ", ".join(f"{number} {result}" for result, number in sorted(run.counts.items()))
    print(f"{run.suite} {run.version}: {counts or 'no tests'}")
    for outcome in run.outcomes:
        if outcome.result != PASSED:
            print(f"  {outcome.result}: {outcome.test}: {REASONS.get(outcome.test, outcome.said)}")


def arguments() -> argparse.Namespace:
    names = [suite.name for suite in SUITES]
    parser = argparse.ArgumentParser(prog="scripts/conformance", description=__doc__)
    parser.add_argument("suite", nargs="*", help=f"of {', '.join(names)}; else all that are here")
    for name in names:
        variable = name.upper().replace("-", "_")
        parser.add_argument(
            f"--{name}", type=Path, metavar="FOLDER", default=os.environ.get(variable) or None, dest=name,
            help=f"a checkout with the tests; also {variable} in the environment",
        )  # fmt: skip
    parsed = parser.parse_args()
    if unknown := set(parsed.suite) - set(names):
        parser.error(f"there is no suite {min(unknown)!r}")
    return parsed


def play(suite: Suite) -> Run | None:
    """What a suite came to; None where it cannot be run."""
    try:
        suite.prepare()
    except Unavailable as missing:
        print(f"{suite.name}: not run: {missing}")
        return None
    with serving(suite.app):
        run = suite.run()
    report(run)
    return run


def main() -> int:
    given = vars(arguments())
    REPORTS.mkdir(parents=True, exist_ok=True)
    wanted = given["suite"] or [suite.name for suite in SUITES]
    chosen = [suite(given[suite.name]) for suite in SUITES if suite.name in wanted]
    runs = [run for suite in chosen if (run := play(suite)) is not None]
    if len(runs) == len(SUITES):
        write_page(runs)
        print(f"written: {PAGE.relative_to(ROOT)}")
    all_asked_were_run = len(runs) == len(chosen) or (bool(runs) and not given["suite"])
    return 0 if all_asked_were_run and all(run.good for run in runs) else 1


if __name__ == "__main__":
    raise SystemExit(main())
