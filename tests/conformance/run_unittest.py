"""Runs the tests of the folder ``tests`` here: python run_unittest.py REPORT; a line of JSON for each start and end.

A program of its own, for the Python of the suite's environment.
"""

import json
import sys
import unittest
from pathlib import Path
from typing import Any, TextIO


class Report(unittest.TestResult):
    """Writes at once, so that a run that hangs has said where."""

    def __init__(self, lines: TextIO) -> None:
        super().__init__()
        self._lines = lines

    def _write(self, test: Any, result: str, said: str = "") -> None:
        self._lines.write(json.dumps({"test": test.id(), "result": result, "said": said}) + "\n")
        self._lines.flush()

    def startTest(self, test: Any) -> None:
        super().startTest(test)
        self._write(test, "started")

    def addSuccess(self, test: Any) -> None:
        self._write(test, "passed")

    def addSkip(self, test: Any, reason: str) -> None:
        self._write(test, "skipped", reason)

    def addError(self, test: Any, err: Any) -> None:
        self._write(test, "failed", f"{err[0].__name__}: {err[1]}")

    addFailure = addError

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None:
            self.addError(subtest, err)


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    with open(sys.argv[1], "w") as report:
        unittest.defaultTestLoader.discover("tests", top_level_dir=".").run(Report(report))
