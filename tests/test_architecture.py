"""Imports point one way only, the boundary of the wire is pure, and packages hold exports only."""

import ast
from pathlib import Path

import pytest

import hubbub

SOURCE = Path(hubbub.__file__).parent
MODULES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if "examples" not in path.parts)

LAYERS = (
    {"canaries", "errors", "settings", "logs", "redaction", "spelling", "identifiers", "workers", "hosting"},
    {"protocol"},
    {"brokers", "channels", "auth"},
    {"hub"},
    {"transports"},
    {"api", "asyncapi"},
    {"app", "connecting", "declared", "javascript", "stopping", "wire"},
    {"console"},
    {"cli"},
    {"__main__"},
)
IMPURE = {"asyncio", "socket", "time", "random", "secrets", "threading", "uvicorn", "starlette", "fastapi", "anyio"}


def name_of(path: Path) -> str:
    """`hub/client.py` is `hub.client`, `hub/__init__.py` is `hub`, and the top is empty."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """Everything that a module imports, wherever in it, by full name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((SOURCE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            found.add(node.module)
    return found


def layer_of(name: str) -> int:
    part = name.split(".", maxsplit=1)[0]
    for number, layer in enumerate(LAYERS):
        if part in layer:
            return number
    raise AssertionError(f"{name!r} is in no layer: say in which it belongs")


def own_imports_of(path: Path) -> set[str]:
    return {name.removeprefix("hubbub.") for name in imports_of(path) if name.startswith("hubbub.")}


def test_every_module_is_in_a_layer() -> None:
    assert len(MODULES) > 25
    for path in MODULES:
        if name_of(path):
            layer_of(name_of(path))


@pytest.mark.parametrize("path", [path for path in MODULES if name_of(path)], ids=str)
def test_imports_point_to_layers_below(path: Path) -> None:
    own = layer_of(name_of(path))
    wrong = [name for name in own_imports_of(path) if layer_of(name) > own]
    assert wrong == []
    assert "hubbub" not in imports_of(path), "the top imports all; nobody imports the top"


def test_modules_do_not_import_one_another_in_circles() -> None:
    """Imports for type checkers do not count: they are not run."""
    edges: dict[str, set[str]] = {}
    names = {name_of(path) for path in MODULES}
    for path in MODULES:
        tree = ast.parse((SOURCE / path).read_text(encoding="utf-8"))
        run = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
        edges[name_of(path)] = {(node.module or "").removeprefix("hubbub.") for node in run} & names
    finished: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " imports ".join([*trail, name])
        if name not in finished:
            for target in edges[name]:
                visit(target, (*trail, name))
            finished.add(name)

    for name in edges:
        visit(name, ())


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[0] == "protocol"], ids=str)
def test_the_wire_is_pure(path: Path) -> None:
    assert {name.split(".")[0] for name in imports_of(path)} & IMPURE == set()


@pytest.mark.parametrize("path", [path for path in MODULES if path.name == "__init__.py"], ids=str)
def test_packages_hold_exports_only(path: Path) -> None:
    docstring, *statements = ast.parse((SOURCE / path).read_text(encoding="utf-8")).body
    assert isinstance(docstring, ast.Expr)
    for statement in statements:
        is_all = isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__"
        assert is_all or isinstance(statement, ast.ImportFrom), ast.unparse(statement)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_module_is_a_drawer_for_everything(path: Path) -> None:
    assert not {"utils", "common", "helpers", "misc"} & set(path.with_suffix("").parts)
    source = (SOURCE / path).read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source)), f"{path} does not say what it is"
