"""Runs the suite with the newest and with the oldest dependencies, on every Python that is here."""

import argparse
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
ENVIRONMENTS = ROOT / ".venv" / "versions"
OLDEST_PYTHON = (3, 11)
ENDS = ("newest", "oldest")
SHORT = ["tests/test_canaries.py", "tests/test_extras.py", "tests/test_app.py", "tests/test_settings.py", "tests/auth",
         "tests/hub/test_dependencies.py", "tests/hub/test_handlers.py", "tests/hub/test_messages.py",
         "tests/hub/test_session.py", "tests/hub/test_client.py", "tests/protocol/codecs",
         "tests/transports/test_wire.py", "tests/transports/test_doors.py", "tests/cli/test_help.py"]  # fmt: skip


def pythons() -> dict[tuple[int, int], str]:
    """One interpreter of each version, by its version: of pyenv, and on PATH."""
    places = [*Path.home().glob(".pyenv/versions/3.*/bin"), *map(Path, os.get_exec_path())]
    found: dict[tuple[int, int], str] = {}
    for place in places:
        for file in sorted(place.glob("python3.*")):
            if (match := re.fullmatch(r"python3\.(\d+)", file.name)) and (3, int(match[1])) >= OLDEST_PYTHON:
                found.setdefault((3, int(match[1])), str(file))
    return dict(sorted(found.items()))


def oldest() -> Iterator[str]:
    """Every lower bound of pyproject.toml as the only version."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = declared["project"]
    for requirement in (*project["dependencies"], *project["optional-dependencies"]["standard"],
                        *declared["dependency-groups"]["dev"]):  # fmt: skip
        yield re.sub(r"\[.*?\]", "", requirement).replace(">=", "==")


def environment(python: str, end: str) -> Path:
    """An environment with those versions, made or brought up to date; its interpreter."""
    version = re.search(r"3\.\d+$", python)
    assert version is not None
    place = ENVIRONMENTS / f"{version[0]}-{end}"
    interpreter = place / "bin" / "python"
    if not interpreter.exists():
        subprocess.run([python, "-m", "venv", str(place)], check=True)
        subprocess.run([interpreter, "-m", "pip", "install", "-q", "--upgrade", "pip"], check=True)
    constraints = place / "constraints.txt"
    constraints.write_text("\n".join(oldest()) if end == "oldest" else "")
    install = [interpreter, "-m", "pip", "install", "-q", "--upgrade", "-c", constraints]
    subprocess.run([*install, "-e", ".[standard]", "--group", "dev"], cwd=ROOT, check=True)
    return interpreter


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/versions", description=__doc__)
    parser.add_argument(
        "--short", action="store_true", help="the core, newest on the newest Python, oldest on the oldest"
    )
    parser.add_argument("--python", action="append", help="only this version of Python, such as 3.13; repeatable")
    parser.add_argument("--end", choices=ENDS, help="only these versions of the dependencies")
    options, arguments = parser.parse_known_args()
    found = {version: python for version, python in pythons().items()
             if not options.python or f"{version[0]}.{version[1]}" in options.python}  # fmt: skip
    if not found:
        sys.exit("there is no such Python here")
    runs = [(python, end) for python in found.values() for end in ENDS]
    if options.short:
        runs = [(found[max(found)], "newest"), (found[min(found)], "oldest")]
    failed = 0
    for python, end in runs:
        if options.end in (None, end):
            print(f"--- {Path(python).name}, {end} versions", flush=True)
            suite = [environment(python, end), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
            if end == "oldest":  # they warn of what the newer dependencies of theirs deprecate
                suite += ["-W", "ignore::DeprecationWarning", "-W", "ignore:Protobuf gencode version"]
            chosen = arguments or (SHORT if options.short else [])
            failed += subprocess.run([*suite, *chosen], cwd=ROOT).returncode != 0
    print(f"--- {failed} of these failed" if failed else "--- all passed")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
