"""Which types of a handler's clients see."""

import inspect
from collections.abc import Mapping
from typing import Annotated, Any, Optional

import pytest
from pydantic import BaseModel, Field

from hubbub import Hub, Polled
from hubbub.asyncapi.uses import Part, Use, message_of, published, sent, wanted
from hubbub.hub.handlers import Handler
from hubbub.hub.registry import Registry


class Draft(BaseModel):
    text: str


class Line(BaseModel):
    text: str


Short = Annotated[str, Field(max_length=5)]


def handler(returns: Any = inspect.Signature.empty, takes: Any = Draft) -> Handler:
    async def say(message: takes): ...  # type: ignore[no-untyped-def]

    say.__annotations__["return"] = returns
    if returns is inspect.Signature.empty:
        del say.__annotations__["return"]
    return Handler(say, message=True)


@pytest.mark.parametrize(
    ("returns", "seen"),
    [
        (inspect.Signature.empty, [Draft]),
        (Any, [Draft]),
        (None, [Draft]),
        (Line, [Line]),
        (Line | None, [Line, Draft]),
        (Optional[Line], [Line, Draft]),  # noqa: UP045
        (Line | Draft, [Line | Draft]),
        (Line | str | None, [Line | str, Draft]),
        (dict[str, int], [dict[str, int]]),
    ],
    ids=repr,
)
def test_what_is_published_is_what_is_returned_or_else_what_came(returns: Any, seen: list[Any]) -> None:
    uses = published(handler(returns))
    assert [use and use.type for use in uses] == seen


def test_without_a_handler_or_a_message_anything_is_published() -> None:
    async def note() -> None: ...

    assert published(None) == [None]
    assert published(Handler(note)) == [None]
    assert message_of(Handler(note)) is None


@pytest.mark.parametrize(
    ("returns", "seen"),
    [
        (inspect.Signature.empty, Any),
        (Any, Any),
        (dict, Any),
        (list[Polled], Any),
        (dict[str, Line], Line),
        (Mapping[str, Line | None], Line | None),
        (dict[str, int] | list[Polled] | None, int),
        (None | dict[str, bytes], bytes),
    ],
    ids=repr,
)
def test_what_is_polled_is_what_the_dict_has_for_a_key(returns: Any, seen: Any) -> None:
    hub = Hub()
    prices = hub.poll_channel("prices", every=5, secret="x" * 32)
    assert sent(prices.declaration) == [None], "nothing is asked yet"

    async def load(keys): ...  # type: ignore[no-untyped-def]

    if returns is not inspect.Signature.empty:
        load.__annotations__["return"] = returns
    prices.on_poll(load)
    (use,) = sent(prices.declaration)
    assert use is not None
    assert use.type == seen


def test_of_a_backend_nothing_is_known() -> None:
    prices = Hub().poll_channel("prices", every=5, secret="x" * 32, backend="http://localhost:8001/refresh")
    assert sent(prices.declaration) == [None]


def test_what_is_read_is_told_from_what_is_written() -> None:
    say = handler(Line)
    assert [Use(say, part).mode for part in Part] == ["validation", *["serialization"] * 3]
    assert Use(say, "room").mode == "validation"


def test_a_parameter_of_the_pattern_has_its_annotation() -> None:
    async def enter(room: Short, seat) -> None: ...  # type: ignore[no-untyped-def]

    found = Handler(enter, path=("room", "seat", "floor"))
    assert Use(found, "room").type is Short
    assert Use(found, "seat").type is Any
    assert Use(found, "floor").type is Any


def test_an_empty_registry_has_no_types() -> None:
    assert list(wanted(Registry())) == []
