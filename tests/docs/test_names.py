"""The docs name nothing that is not there, and count nothing that changes."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from tests.docs.test_docs import FENCE, PAGES, ROOT, kinds_of, prose

import hubbub
from hubbub.cli.commands import app as command_line
from hubbub.errors import CommandError, Disconnect
from hubbub.settings import BROKER_VARIABLE, Settings

WRITTEN = [path for path in PAGES if path.name not in ("CHANGELOG.md", "conformance.md")]
"""Not the changelog, which speaks of the past, and not a page that quotes other projects."""
ON_PAGES = [*WRITTEN, *sorted((ROOT / "src" / "hubbub" / "console").glob("*.html")), ROOT / "Makefile"]
RANGES = {3499, 3999, 3600}
"""Ends of ranges of close codes, and the seconds of an hour."""
MISSPELT = {"mesage_rate"}
"""On purpose, to show what a type checker says."""
COUNTED = re.compile(
    r"\b(three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|\d+)\s+(?:\w+\s+)?"
    r"(settings|systems|commands|example apps|examples|languages|close codes|error codes|SDKs|endpoints)\b",
    re.IGNORECASE,
)
ALL_PAGES = pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))


def blocks(path: Path, *languages: str) -> Iterator[str]:
    for block in FENCE.finditer(path.read_text(encoding="utf-8")):
        if block["language"] in languages:
            yield block["code"]


def error_codes(root: type[CommandError]) -> Iterator[int]:
    for kind in root.__subclasses__():
        yield kind.code
        yield from error_codes(kind)


@ALL_PAGES
def test_every_member_of_the_hub_that_is_named_is_there(path: Path) -> None:
    named = set(re.findall(r"\b[Hh]ub\.([a-z]\w*)", path.read_text(encoding="utf-8"))) - {"example"}
    assert {name for name in named if not hasattr(hubbub.Hub, name) and name not in hubbub.Hub.__annotations__} <= {
        "settings"  # set by the constructor
    }


@ALL_PAGES
def test_every_setting_that_is_named_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    known = {BROKER_VARIABLE, *(f"HUBBUB_{name.upper()}" for name in Settings.model_fields)}
    assert set(re.findall(r"\bHUBBUB_[A-Z]\w*", text)) <= known
    given = [name for call in re.findall(r"\bHub\(([^()]*)\)", text) for name in re.findall(r"\b(\w+)=", call)]
    assert set(given) - MISSPELT <= {*Settings.model_fields, "broker", "auth"}


@ALL_PAGES
def test_every_command_and_option_that_is_typed_is_there(path: Path) -> None:
    group = typer.main.get_command(command_line)
    commands = getattr(group, "commands", {})
    for block in blocks(path, "console", "text", "ini"):
        for command, rest in re.findall(r"(?:^|[ /])hubbub ([a-z]+)\b([^\n|]*)", block):
            assert command in commands, f"hubbub {command}"
            options = {option for one in commands[command].params for option in (*one.opts, *one.secondary_opts)}
            given = set(re.findall(r"(?<!\S)--[a-z][\w-]*", rest.partition("  #")[0]))
            assert given <= options | {"--help"}, f"hubbub {command}"


@ALL_PAGES
def test_every_code_that_is_named_is_there(path: Path) -> None:
    ends = {kind.code for kind in kinds_of(Disconnect) if hasattr(kind, "code")}
    named = {int(code) for code in re.findall(r"(?<![\d:=.,])\b3\d{3}\b(?![.,]\d)", prose(path))}
    assert named - RANGES <= ends
    errors = {int(code) for code in re.findall(r"\berror (\d{3})\b", prose(path))}
    assert errors <= set(error_codes(CommandError))


@pytest.mark.parametrize("path", ON_PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_counted_that_grows(path: Path) -> None:
    text = path.read_text(encoding="utf-8") if path.suffix != ".md" else prose(path)
    assert [match[0] for match in COUNTED.finditer(text)] == []


def test_methods_are_shown_as_methods_and_properties_as_properties() -> None:
    text = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    shown = re.findall(r"^### `(\w+)\.(\w+)(\(\))?`$", text, re.MULTILINE)
    assert len(shown) > 40
    for owner, member, call in shown:
        assert callable(getattr(getattr(hubbub, owner), member)) == bool(call), f"{owner}.{member}"
