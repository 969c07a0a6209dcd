"""Type checkers say nothing about right programs, and complain of each wrong line: mypy --strict and pyright."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYRIGHT = HERE / "pyright" / "node_modules" / "pyright" / "index.js"
MARK = "  # error"

Faults = dict[tuple[str, int], str]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)


def by_mypy() -> Faults:
    finished = run(sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-pretty", str(HERE / "programs"))
    found = re.findall(r"^\S+/(\w+\.py):(\d+): error: (.*)$", finished.stdout, re.M)
    assert finished.returncode == 1, finished.stdout + finished.stderr
    return {(file, int(line)): text for file, line, text in found}


def by_pyright() -> Faults:
    node = shutil.which("node")
    if node is None or not PYRIGHT.exists():
        pytest.skip("pyright is not installed: npm ci --prefix tests/typing/pyright")
    finished = run(node, str(PYRIGHT), "--pythonpath", sys.executable, "--outputjson", "-p", str(HERE))
    assert finished.returncode == 1, finished.stdout + finished.stderr
    found = json.loads(finished.stdout)["generalDiagnostics"]
    return {(Path(one["file"]).name, one["range"]["start"]["line"] + 1): one["message"] for one in found}


def marked() -> set[tuple[str, int]]:
    """The lines that are wrong."""
    return {
        (path.name, number)
        for path in (HERE / "programs").glob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if line.endswith(MARK)
    }


@pytest.mark.parametrize("check", [by_mypy, by_pyright])
def test_a_checker_complains_of_the_wrong_lines_and_of_no_other(check: Callable[[], Faults]) -> None:
    faults = check()
    wrong = marked()
    assert len(wrong) > 35
    assert {line: text for line, text in faults.items() if line not in wrong} == {}, "these are right"
    assert wrong - faults.keys() == set(), "nobody complains of these"
