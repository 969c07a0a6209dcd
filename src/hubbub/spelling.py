"""Names and values that were misspelt: what was meant, for the errors that say so."""

import difflib
from collections.abc import Collection, Iterable, Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hubbub.errors import UsageError


def meant_by(name: str, known: Iterable[str]) -> str:
    """The one of ``known`` that looks most like ``name``; empty if none does."""
    return next(iter(difflib.get_close_matches(name, known, 1)), "")


def question(given: object, known: Iterable[object]) -> str:
    """``did you mean 'force'?``, if text was given that looks like one of ``known``; else empty."""
    meant = meant_by(given, (one for one in known if isinstance(one, str) and one)) if isinstance(given, str) else ""
    return f"did you mean {meant!r}?" if meant else ""


def ensure_rules(given: Iterable[str], known: Collection[str], channel: str) -> None:
    """Refuses rules that a kind of channel does not have.

    Args:
        given: the names of the rules.
        known: all that there are.
        channel: the kind, as in "a map channel".

    Raises:
        UsageError: one is none of them.
    """
    for name in given:
        if name not in known:
            asked = " ".join(filter(None, (question(name, known), "there are")))
            raise UsageError(f"{channel} has no rule {name!r}; {asked} {', '.join(known)}")


def ensure_choice(given: object, choices: Collection[str], name: str) -> None:
    """Refuses a value that is none of the choices.

    Raises:
        UsageError: that; the message says what ``name`` may be.
    """
    if given not in choices:
        raise UsageError(f"{name}: {_should_be(given, choices)}")


def wrong_values(error: ValidationError, kinds: Mapping[str, Any]) -> dict[str, str]:
    """What to say of each field that has a value it cannot have.

    Args:
        error: of Pydantic, which has several faults for a field that takes values of several types.
        kinds: the types of the fields, by name.
    """
    faults: dict[str, ErrorDetails] = {}
    for fault in error.errors():
        faults.setdefault(str(fault["loc"][0]), fault)
    return {name: _say(fault, _choices(kinds.get(name))) for name, fault in faults.items()}


def _say(fault: ErrorDetails, choices: tuple[object, ...]) -> str:
    if fault["type"] == "value_error":  # a sentence of ours, which names the value
        return str(fault["ctx"]["error"])
    if any(isinstance(one, str) for one in choices):
        return _should_be(fault["input"], choices)
    message = fault["msg"].partition(", unable to ")[0]
    return f"{message}, not {fault['input']!r}"


def _should_be(given: object, choices: Iterable[object]) -> str:
    *most, last = map(repr, choices)
    asked = question(given, choices)
    return f"Input should be {', '.join(most)} or {last}, not {given!r}" + (f"; {asked}" if asked else "")


def _choices(kind: Any) -> tuple[object, ...]:
    """The values that a type has, if it has only a few."""
    if kind is bool:
        return (True, False)
    if get_origin(kind) is Literal:
        return get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return tuple(value for one in get_args(kind) for value in _choices(one))
    return ()
