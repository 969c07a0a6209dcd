"""An example is one short file that needs nothing but what its reader has installed."""

import ast
import sys
from pathlib import Path

import pytest
from tests.examples.conftest import EXAMPLES

from hubbub.console.site import SYSTEMS

CHANNELS = (
    "jwt_auth",
    "live_cursors",
    "personal_notifications",
    "presence",
    "recovery",
    "rpc",
    "shared_prices",
    "typed_channels",
)
SERVERS = sorted(EXAMPLES.glob("*.py"))
CLIENTS = sorted((EXAMPLES / "clients").glob("*.py"))


def imported_by(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add((node.module or "").split(".")[0])
    return names


def test_there_is_a_test_for_each_example() -> None:
    assert {path.stem for path in SERVERS} == {*SYSTEMS, *CHANNELS}
    for path in SERVERS:
        assert (Path(__file__).parent / f"test_{path.name}").is_file()
    assert [path.stem for path in CLIENTS] == ["echo_client", "stream_client"]


@pytest.mark.parametrize("path", [*SERVERS, *CLIENTS], ids=lambda path: path.stem)
def test_an_example_is_short_and_says_how_to_run_it(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 60
    says = ast.get_docstring(ast.parse(source))
    assert says is not None
    assert f"{path.stem}" in says.partition("Run: ")[2]


@pytest.mark.parametrize("path", SERVERS, ids=lambda path: path.stem)
def test_a_server_needs_nothing_but_fastapi_and_hubbub(path: Path) -> None:
    assert imported_by(path) - sys.stdlib_module_names <= {"fastapi", "pydantic", "hubbub"}


@pytest.mark.parametrize("path", CLIENTS, ids=lambda path: path.stem)
def test_a_client_needs_nothing_but_websockets(path: Path) -> None:
    assert imported_by(path) - sys.stdlib_module_names == {"websockets"}
