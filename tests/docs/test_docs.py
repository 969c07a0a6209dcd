"""The docs say what the code does: nothing is missing, nothing is stale, and no link is dead."""

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from tests.cli.processes import run

import hubbub
from hubbub.channels import Who
from hubbub.cli.commands import app as command_line
from hubbub.errors import Disconnect
from hubbub.settings import Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
SHOWN = [
    path
    for folder in ("examples", "measurements")
    for path in sorted((DOCS / folder).rglob("*.*"))
    if path.suffix != ".pyc" and path.name != "machine.py"
]
COMMANDS = [command.callback.__name__ for command in command_line.registered_commands if command.callback]

FENCE = re.compile(r"^(?P<fence>`{3,})(?P<language>\w*)\n(?P<code>.*?)^(?P=fence)$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def prose(path: Path) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def kinds_of(root: type[Disconnect]) -> Iterator[type[Disconnect]]:
    for kind in root.__subclasses__():
        if kind.__module__.startswith("hubbub.errors"):
            yield kind
            yield from kinds_of(kind)


def check_pages(script: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), "--check"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


# Complete.


def test_the_generated_parts_are_fresh() -> None:
    checked = check_pages(ROOT / "scripts" / "docs.py")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_stale_page_is_noticed(tmp_path: Path) -> None:
    for name in ("scripts/docs.py", "docs/reference/settings.md"):
        copy = tmp_path / name
        copy.parent.mkdir(parents=True)
        copy.write_text((ROOT / name).read_text(encoding="utf-8").replace("| `ping_timeout` |", "| `pong_timeout` |"))
    checked = check_pages(tmp_path / "scripts" / "docs.py")
    assert checked.returncode == 1
    assert "stale: run scripts/docs for docs/reference/settings.md" in checked.stdout


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_its_row(name: str) -> None:
    start = rf"^\| `{name}` \| `HUBBUB_{name.upper()}` "
    row = re.search(start + r"\| .+ \| .+ \| (.+) \|$", page("reference/settings.md"), re.M)
    assert row is not None
    assert len(row[1]) > 20


KINDS = [kind for kind in kinds_of(Disconnect) if hasattr(kind, "code")]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_close_code_has_its_row(kind: type[Disconnect]) -> None:
    rows = page("reference/close-codes.md").splitlines()
    assert [row for row in rows if row.startswith(f"| {kind.code} | `{kind.__name__}` |")]


@pytest.mark.parametrize("name", hubbub.__all__)
def test_every_public_name_has_its_heading(name: str) -> None:
    assert re.search(rf"^## `{name}`$", page("reference/api.md"), re.M)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_options(command: str, tmp_path: Path) -> None:
    section = page("reference/command-line.md").partition(f"## `hubbub {command}`\n")[2].partition("\n## ")[0]
    said = set(re.findall(r"`(--[\w-]+)`", section))
    finished = run(command, "--help", cwd=tmp_path)
    assert said == set(re.findall(r"--[a-z][\w-]*", finished.stdout)) - {"--help"}


# True.


RESULTS = {
    "one message to 1,000, deliveries/s": "Fan-out to 1,000, deliveries/s",
    "64 messages in flight to 1,000, deliveries/s": "Burst: 64 in flight to 1,000, deliveries/s",
    "p99 latency of the other clients when one stalls, ms": "One reader falls asleep, p99 ms of the healthy",
    "memory of an idle connection, KiB": "Memory of an idle connection, KiB per connection",
    "new connections/s": "New connections, connections/s",
}


def table(text: str) -> dict[str, dict[str, str]]:
    """The first table of a text: cells by row and column."""
    lines = re.search(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    assert lines is not None
    head, _, *rows = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in lines[0].splitlines()]
    return {name: dict(zip(head[1:], cells, strict=True)) for name, *cells in rows}


@pytest.mark.parametrize("results", ["benchmarks/results/results.md", "benchmarks/results/sessions/results.md"])
def test_figures_of_the_readme_are_those_of_the_results(results: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = table(readme.partition(f"[all figures]({results})")[2])
    measured = table((ROOT / results).read_text(encoding="utf-8").partition("## At a glance")[2])
    assert len(shown) >= 2
    for name, cells in shown.items():
        assert cells == {column: measured[name][RESULTS[column]] for column in cells}, name


def test_the_readme_begins_with_the_commands_for_a_wheel_and_for_a_checkout() -> None:
    block = FENCE.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert block is not None
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    commands = [shlex.split(line.removeprefix("$ "), comments=True) for line in block["code"].splitlines()]
    wheel = f"hubbub-{version}-py3-none-any.whl[standard]"
    assert commands == [["pip", "install", wheel], ["make", "serve"], ["make", "test"]]
    assert f"'{wheel}'" in block["code"], "without quotes, zsh takes the brackets for a pattern"


def test_the_readme_names_everyone_that_a_rule_may_allow() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    said = readme.partition("Everything you don't allow is denied.")[2].partition("\n\n")[0]
    for value in get_args(Who):
        assert f'`"{value}"`' in said


# Connected.


def test_every_page_is_in_the_index() -> None:
    linked = {(DOCS / target).resolve() for target in LINK.findall(page("README.md"))}
    missing = [path for path in DOCS.rglob("*.md") if path.name != "README.md" and path.resolve() not in linked]
    assert missing == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in LINK.findall(prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{path.name} links to {target}"
        if anchor:
            assert anchor in anchors(there), f"{path.name} links to {target}"


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_python_block_is_a_file(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for block in FENCE.finditer(text):
        if block["language"] not in ("python", "py"):
            continue
        marker = re.search(r"<!-- file: (\S+) -->\n\Z", text[: block.start()])
        assert marker is not None, f"no file is named above:\n{block['code'][:200]}"
        assert block["code"] == (ROOT / marker[1]).read_text(encoding="utf-8"), f"run scripts/docs: {marker[1]}"


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: path.name)
def test_every_file_is_on_a_page(path: Path) -> None:
    assert [page for page in PAGES if f"{path.parent.name}/{path.name}" in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", [path for path in SHOWN if path.suffix == ".py"], ids=lambda path: path.name)
def test_every_file_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
