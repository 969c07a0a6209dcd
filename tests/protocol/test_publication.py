"""What can be published, and what goes on the wire for it."""

import json
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from hubbub import Publication, UsageError
from hubbub.protocol.publication import Json, encode, ensure_tags, from_bytes, one_line, size_of


class Message(BaseModel):
    text: str
    at: datetime | None = None
    sender: str = Field("me", serialization_alias="from")


class Anything(BaseModel):
    value: Any


@dataclass
class Point:
    x: int
    y: float


class Colour(Enum):
    RED = "red"


def test_a_publication_that_is_not_kept_has_offset_zero() -> None:
    assert (Publication("text").offset, Publication("text").epoch) == (0, "")


@pytest.mark.parametrize("data", ["", "text", "ünï \U0001f600", b"", b"\x00\xff"])
def test_text_and_bytes_are_sent_as_they_are(data: str | bytes) -> None:
    assert encode(data) is data


@pytest.mark.parametrize("data", [bytearray(b"abc"), memoryview(b"abc"), memoryview(b"xabcx")[1:4]])
def test_what_holds_bytes_is_sent_as_bytes(data: Any) -> None:
    payload = encode(data)
    assert payload == b"abc"
    assert type(payload) is bytes


class Mood(StrEnum):
    GOOD = "fine"


class Shout(str):
    """Text of another type, as templates and translations are."""

    def __str__(self) -> str:
        return self.upper()


@pytest.mark.parametrize(("data", "text"), [(Mood.GOOD, "fine"), (Shout("hey"), "hey")])
def test_text_of_another_type_is_sent_as_what_it_holds(data: str, text: str) -> None:
    payload = encode(data)
    assert payload == text
    assert type(payload) is str


def test_bytes_that_change_later_do_not_change_what_was_published() -> None:
    data = bytearray(b"abc")
    payload = encode(data)
    data[0] = 0
    assert payload == b"abc"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, "null"),
        (True, "true"),
        (7, "7"),
        (2**70, str(2**70)),
        (1.5, "1.5"),
        ({"a": [1, None, "ü"]}, '{"a":[1,null,"ü"]}'),
        ((1, 2), "[1,2]"),
        ({1: "one"}, '{"1":"one"}'),
        ({3}, "[3]"),
        (datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), '"2030-01-02T03:04:05Z"'),
        (date(2030, 1, 2), '"2030-01-02"'),
        (timedelta(seconds=90), '"PT1M30S"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Decimal("1.10"), '"1.10"'),
        (Colour.RED, '"red"'),
        (Point(1, 2.5), '{"x":1,"y":2.5}'),
        ([Point(1, 2.5)], '[{"x":1,"y":2.5}]'),
        (Message(text="hi"), '{"text":"hi","at":null,"from":"me"}'),
        ({"message": Message(text="hi")}, '{"message":{"text":"hi","at":null,"from":"me"}}'),
    ],
)
def test_everything_else_is_sent_as_json_text(data: Any, text: str) -> None:
    assert encode(data) == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
        max_leaves=20,
    ).filter(lambda value: not isinstance(value, str))
)
def test_json_says_what_was_published(value: Any) -> None:
    payload = encode(value)
    assert isinstance(payload, str)
    assert json.loads(payload) == value


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have_are_null_as_in_a_model_and_in_a_browser(number: float) -> None:
    assert encode({"a": number}) == '{"a":null}'
    assert encode(Anything(value=number)) == '{"value":null}'


class Cycle:
    def __init__(self) -> None:
        self.list: list[Any] = []
        self.list.append(self.list)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (object(), "object"),
        ({"a": object()}, "dict"),
        (Cycle().list, "list"),
        (lambda: None, "function"),
        ({"a": b"\xff"}, "dict"),
        (Anything(value=object()), "Anything"),
        ({"a": "\ud800"}, "dict"),
        (Anything(value="\ud800"), "Anything"),
        ("a \ud800 b", "str"),
    ],
)
def test_what_has_no_form_on_the_wire_is_refused_with_the_remedy(data: Any, kind: str) -> None:
    with pytest.raises(UsageError, match=f"^cannot send a {kind}: give text, bytes, a Pydantic model or what JSON"):
        encode(data)


@given(st.text() | st.binary())
def test_the_size_is_that_on_the_wire(payload: str | bytes) -> None:
    assert size_of(payload) == len(payload.encode() if isinstance(payload, str) else payload)


def test_json_text_is_told_from_other_text() -> None:
    assert type(encode({"a": 1})) is Json
    assert type(encode("text")) is str
    assert encode(Json("[1]")) == "[1]"
    assert type(encode(Json("[1]"))) is Json, "what is JSON already is not encoded again"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'{"a": 1.0,\t"a":1e999}', '{"a": 1.0,\t"a":1e999}'),
        (b"null", "null"),
        (rb'"cut \ud83d"', r'"cut \ud83d"'),
        (b' "text" ', ' "text" '),
        ('"ü"'.encode(), '"ü"'),
        (b'[1,\n "a\\nb",\r\n2]\n', '[1, "a\\nb",2]'),
    ],
)
def test_bytes_that_are_json_become_json_text_on_one_line(data: bytes, text: str) -> None:
    payload = from_bytes(data)
    assert payload == text
    assert type(payload) is Json


@pytest.mark.parametrize(
    "data",
    [b"", b"text", b"{", b"01", b"NaN", b"1 2", b'"\n"', b"\xff", b'"\xff"', b"[" * 60_000, b"1\n2"],
)
def test_bytes_that_are_no_json_stay_as_they_are(data: bytes) -> None:
    assert from_bytes(data) is data


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=8,
    )
)
def test_json_on_one_line_says_the_same(value: Any) -> None:
    text = json.dumps(value, indent=1).replace("\n", "\r\n")
    line = one_line(text)
    assert not {"\n", "\r"} & set(line)
    assert json.loads(line) == value
    assert from_bytes(text.encode()) == line


# Tags


@given(st.dictionaries(st.text(), st.text()))
def test_tags_may_be_any_text_that_has_a_utf8_form(tags: dict[str, str]) -> None:
    ensure_tags(tags)


@pytest.mark.parametrize("text", ["\ud800", "x\udfff", "\udc00\ud800"])
def test_half_a_surrogate_pair_is_refused_wherever_it_is(text: str) -> None:
    for tags in ({text: "a"}, {"a": text}):
        with pytest.raises(UsageError, match="half a surrogate pair has no UTF-8 form; take it out"):
            ensure_tags(tags)


@pytest.mark.parametrize("value", [1, None, b"a", ["a"]])
def test_what_is_no_text_is_no_tag(value: Any) -> None:
    with pytest.raises(UsageError, match=r"the tag 'a' is .*, which is no text; give"):
        ensure_tags({"a": value})
