"""The tree of errors: as it is drawn, and complete where it ends a connection."""

import inspect
import re

import pytest

from hubbub import errors
from hubbub.errors import CommandError, Disconnect, Goodbye, HubbubError, Refused, SessionEnd, UsageError


def drawn() -> dict[str, tuple[str, int | None]]:
    """Each class of the drawing in the module's docstring, with its base and its code."""
    assert errors.__doc__ is not None
    tree: dict[str, tuple[str, int | None]] = {}
    path: list[str] = []
    for line in errors.__doc__.splitlines():
        match = re.fullmatch(r"((?:[│ ] {3})*)[├└]── (\w+)\s+(.+)", line)
        if match is None:
            if re.fullmatch(r"\w+Error", line):
                path = [line]
            continue
        indent, name, remark = match.groups()
        depth = 1 + len(indent) // 4
        code = re.match(r"\d{3,4}\b", remark)
        tree[name] = (path[depth - 1], int(code[0]) if code else None)
        path[depth:] = [name]
    return tree


def written() -> dict[str, type[HubbubError]]:
    """Each class of the module below the root."""
    return {
        name: thing
        for name, thing in vars(errors).items()
        if inspect.isclass(thing) and issubclass(thing, HubbubError) and thing is not HubbubError
    }


ABSTRACT = (Disconnect, Refused, SessionEnd)
CONCRETE = [kind for kind in written().values() if issubclass(kind, Disconnect) and kind not in ABSTRACT]


def test_the_drawing_shows_the_classes_as_they_are() -> None:
    assert len(drawn()) >= 14
    abstract = (CommandError,)  # it has a default code, for those who raise it with one of their own
    as_written = {
        name: (kind.__bases__[0].__name__, None if kind in abstract else getattr(kind, "code", None))
        for name, kind in written().items()
    }
    assert drawn() == as_written


@pytest.mark.parametrize("kind", CONCRETE, ids=lambda kind: kind.__name__)
def test_what_ends_a_connection_says_its_code_whether_to_come_back_and_what_to_do(kind: type[Disconnect]) -> None:
    assert 1000 <= kind.code <= 1014 or 3000 <= kind.code <= 4999
    assert kind.code not in (1004, 1005, 1006), "these are never sent"
    assert kind.reconnect in (True, False)
    assert re.fullmatch(r"[A-Z].*\.", kind.advice)
    assert kind.__doc__
    assert kind("because").goodbye() == Goodbye(kind.code, "because", "hub")
    assert str(kind("because")) == kind("because").reason == "because"


@pytest.mark.parametrize("kind", CONCRETE, ids=lambda kind: kind.__name__)
def test_a_setting_that_the_advice_names_exists(kind: type[Disconnect]) -> None:
    from hubbub import Settings

    for name in re.findall(r"HUBBUB_(\w+)", kind.advice):
        assert name.lower() in Settings.model_fields


def test_only_who_does_not_read_is_aborted() -> None:
    assert {kind.__name__ for kind in CONCRETE if kind.aborts} == {"Slow", "SlowSession", "Unresponsive"}


def test_a_usage_error_is_also_caught_as_a_runtime_error() -> None:
    assert issubclass(UsageError, RuntimeError)
    assert not issubclass(Disconnect, RuntimeError)
