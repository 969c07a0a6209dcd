"""The suites: where each comes from, the app that it wants on port 8000, and how it is run."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from .results import FAILED, Outcome, Run, read_jest, read_junit, read_unittest

ROOT = Path(__file__).parents[2]
REPORTS = ROOT / "reports" / "conformance"
_SDK = ROOT / "web" / "node_modules" / "centrifuge"
_PYTHON = f"Python {sys.version_info.major}.{sys.version_info.minor}"


class Unavailable(Exception):
    """The suite cannot be run here; the message says what is missing."""


class Suite(ABC):
    """Tests of other people, in a folder.

    Args:
        folder: a checkout; None is where the suite fetches itself, if it can.
    """

    name: str
    limit: float
    """Seconds for the whole run: some suites wait for ever for what does not come."""
    app: str
    """The factory of ``servers.py`` with the settings that the suite documents."""

    def __init__(self, folder: Path | None) -> None:
        self._given = folder
        self.folder = Path()

    def prepare(self) -> None:
        """Gets the suite, and what it needs.

        Raises:
            Unavailable: that cannot be got here.
        """
        (REPORTS / f"{self.name}.log").unlink(missing_ok=True)
        self.folder = self.fetch() if self._given is None else self._given.resolve()
        if not self.folder.is_dir():
            raise Unavailable(f"{self.folder} is no folder")

    def fetch(self) -> Path:
        """A folder with the suite, from a package index.

        Raises:
            Unavailable: none has it.
        """
        raise Unavailable(f"its tests are in its repository only: give a checkout with --{self.name}")

    def run(self) -> Run:
        """Runs what was prepared, against what is on port 8000."""
        work = REPORTS / self.name
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        return self.play(self.folder, work)

    @abstractmethod
    def play(self, folder: Path, work: Path) -> Run:
        """Runs the tests in ``folder``; ``work`` is an empty folder for what that needs."""

    def call(self, command: Sequence[str | Path], cwd: Path, **variables: str) -> str:
        """Runs a command, within the time limit; gives why it did not end by itself."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
        with (REPORTS / f"{self.name}.log").open("ab") as log:
            # A session of its own, to end all of it: npx starts others, and waits for them.
            process = subprocess.Popen(
                list(map(str, command)), cwd=cwd, env=own | variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
            try:
                process.wait(self.limit)
            except subprocess.TimeoutExpired:
                return f"it was not done after {self.limit:.0f} s"
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return ""


def environment(name: str, packages: Sequence[str]) -> Path:
    """The Python of a virtual environment with ``packages``, made if it is not there.

    Raises:
        Unavailable: they could not be installed.
    """
    folder = ROOT / ".venv" / "suites" / name
    if not (folder / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", *packages]
        if subprocess.run(install, check=False).returncode:
            raise Unavailable(f"{', '.join(packages)} could not be installed")
        (folder / "installed").touch()
    return folder / "bin" / "python"


class Cent(Suite):
    """The client of the HTTP API, by the authors of Centrifugo: the released package, the tests of its repository."""

    name = "cent"
    app = "cent"
    limit = 120.0
    packages = ("cent==5.2.0", "pytest>=8,<9", "pytest-asyncio>=0.23.5,<0.24", "pytest-benchmark>=4,<5", "anyio>=4")

    def prepare(self) -> None:
        super().prepare()
        self.python = environment(self.name, self.packages)

    def play(self, folder: Path, work: Path) -> Run:
        # A copy, or the package in the checkout would be found instead of the released one.
        shutil.copytree(folder / "tests", work / "tests")
        report = work / "report.xml"
        pytest = ("-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull)
        said = self.call([self.python, *pytest, "--benchmark-disable", "tests", f"--junitxml={report}"], cwd=work)
        return Run(
            self.name, self.packages[0].partition("==")[2], f"pytest, {_PYTHON}", _read(report, said, read_junit)
        )


class CentrifugePython(Suite):
    """The SDK for Python, whose source distribution has the tests."""

    name = "centrifuge-python"
    app = "python"
    limit = 240.0
    version = "0.7.0"
    packages = ("websockets>=15,<18", "protobuf>=5.29.6,<8")

    def fetch(self) -> Path:
        target = REPORTS / "sdist"
        folder = target / f"{self.name.replace('-', '_')}-{self.version}"
        if folder.is_dir():
            return folder
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", self.name]
        downloaded = subprocess.run([*pip, "--dest", target, f"{self.name}=={self.version}"], check=False)
        archives = list(target.glob("*.tar.gz"))
        if downloaded.returncode or not archives:
            raise Unavailable("its source distribution could not be downloaded")
        with tarfile.open(archives[0]) as archive:
            archive.extractall(target, filter="data")
        return folder

    def prepare(self) -> None:
        super().prepare()
        self.python = environment(self.name, self.packages)

    def play(self, folder: Path, work: Path) -> Run:
        report = work / "report.jsonl"
        # As `python -m unittest discover -s tests`, which the suite says; pytest takes some helpers for tests.
        said = self.call([self.python, Path(__file__).with_name("run_unittest.py"), report], cwd=folder)
        version = re.findall(r"\d+\.\d+\.\d+", (folder / "centrifuge" / "__meta__.py").read_text())[0]
        return Run(self.name, version, f"unittest, {_PYTHON}", _read(report, said, read_unittest))


class CentrifugeJs(Suite):
    """The SDK for JavaScript, for browsers and Node: the released package of ``web/``, the tests of its repository."""

    name = "centrifuge-js"
    app = "javascript"
    limit = 500.0

    def prepare(self) -> None:
        super().prepare()
        if shutil.which("npx") is None:
            raise Unavailable("it needs Node and npm")
        if not _SDK.is_dir():
            raise Unavailable("it needs the npm packages of web/: npm ci --prefix web")
        if not (self.folder / "node_modules").is_dir():
            yarn = ["npx", "-y", "yarn@1.22.22", "install", "--frozen-lockfile", "--ignore-scripts"]
            self.call([*yarn, "--non-interactive"], cwd=self.folder)

    def play(self, folder: Path, work: Path) -> Run:
        report = work / "report.json"
        config = {
            "rootDir": str(folder / "src"),
            "testMatch": ["**/*.test.ts"],
            "transform": {r"^.+\.(ts|js|tsx)$": "ts-jest"},
            "moduleNameMapper": {
                r"^\./centrifuge$": str(_SDK / "build" / "index.js"),
                r"^\./protobuf$": str(_SDK / "build" / "protobuf" / "index.js"),
            },
        }
        # DEBOUNCE, or the suite leaves two of its tests out; forceExit, as in its own `npm test`.
        jest = ["npx", "jest", f"--config={json.dumps(config)}", "--runInBand", "--forceExit", "--json"]
        said = self.call([*jest, f"--outputFile={report}"], cwd=folder, DEBOUNCE="1")
        version = json.loads((_SDK / "package.json").read_text())["version"]
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
        return Run(self.name, version, f"jest, Node {node}", _read(report, said, read_jest))


def _read(report: Path, said: str, reader: Callable[[Path], list[Outcome]]) -> list[Outcome]:
    """The outcomes, and one failure for the whole where the runner came to no end."""
    outcomes = reader(report) if report.exists() else []
    if said or not outcomes:
        outcomes.append(Outcome("the whole suite", FAILED, said or "nothing was reported: see the log beside it"))
    return outcomes


SUITES: tuple[type[Suite], ...] = (Cent, CentrifugePython, CentrifugeJs)
