"""What was published."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from pydantic_core import PydanticSerializationError, to_json

from hubbub.errors import UsageError
from hubbub.identifiers import ensure_text
from hubbub.protocol.halves import without_halves


class Json(str):
    """Text that is one JSON value, on one line: what goes into a session's message as it is."""

    __slots__ = ()


Payload = str | bytes
"""What is published: text, JSON text (``Json``) or bytes."""

NO_DATA = Json("")
"""No data at all, as a removed entry of a map has none."""
NO_TAGS: Mapping[str, str] = MappingProxyType({})

_any_json = msgspec.json.Decoder(msgspec.Raw).decode
"""Looks at the grammar alone: 1e999 is JSON, though no float."""


class Member(NamedTuple):
    """Who is in a channel, or published to it: the user, the session, and what tokens or handlers say of them."""

    user: str
    client: str
    info: Payload | None = None
    """Of the connection."""
    channel_info: Payload | None = None
    """Of the subscription."""


class Publication(NamedTuple):
    """One publication of a channel: ``data`` as it goes out, ``offset`` in the history (0: not kept)."""

    data: Payload
    offset: int = 0
    epoch: str = ""
    """What ``offset`` counts in."""
    publisher: Member | None = None
    """The session that published; None if the server did."""
    tags: Mapping[str, str] = NO_TAGS
    """What subscribers may filter by."""
    delta: bool = False
    """Whether subscribers that agreed to deltas may get the difference to the publication before."""
    key: str = ""
    """In a map channel: which entry this is the new value of."""
    removed: bool = False
    """In a map channel: the entry is gone."""
    version: int = 0
    """What the publisher numbers its publications with; in a shared poll channel, that of the entry."""
    before: "Publication | None" = None
    """In a map channel, as it is delivered: the publication that the entry was until now."""


class Presence(NamedTuple):
    """A member came to a channel (``joined``), or left it."""

    member: Member
    joined: bool


Event = Publication | Presence
"""What a channel's receivers are told."""


def encode(data: Any) -> Payload:
    """What goes on the wire for ``data``: text and bytes as they are, everything else as JSON text.

    JSON is Pydantic's: models (by alias, as FastAPI answers them), dataclasses, datetimes, UUIDs and
    collections of them. NaN and infinities, which JSON has no word for, are null.

    Raises:
        UsageError: ``data`` has no JSON form, or is text that has no UTF-8 form.
    """
    if isinstance(data, bytes):
        return data
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    try:
        if isinstance(data, str):
            if not data.isascii():
                data.encode()  # half a surrogate pair would spoil the batch of a whole channel, later
            return data if type(data) in (str, Json) else str.__str__(data)  # a StrEnum is its text
        return Json(to_json(data, inf_nan_mode="null").decode())
    except (PydanticSerializationError, ValueError) as error:
        raise UsageError(
            f"cannot send a {type(data).__name__}: give text, bytes, a Pydantic model or what JSON can hold ({error})"
        ) from None


def encode_for_sessions(data: Any, where: str, *, binary: bool = False) -> Payload:
    """As ``encode``, for what sessions are sent: bytes that are JSON are JSON text.

    Args:
        data: what the app gives.
        where: what it is, for the error: "the result of 'sum'".
        binary: whether other bytes may be sent, though no session that speaks JSON can be sent them.

    Raises:
        UsageError: as ``encode``; or they are other bytes, and may not.
    """
    payload = encode(data)
    if isinstance(payload, bytes):
        payload = from_bytes(payload)
        if isinstance(payload, bytes) and not binary:
            raise UsageError(
                f"{where} is bytes that are not JSON, which would disconnect every client that speaks JSON: give "
                "JSON as bytes, or anything that JSON can hold; only a channel with binary=True carries other bytes"
            )
    return payload


def ensure_tags(tags: Mapping[str, str]) -> None:
    """Refuses tags that no message could hold.

    Raises:
        UsageError: one is no text, or has half a surrogate pair.
    """
    for name, value in tags.items():
        ensure_text(name, "a tag's name")
        ensure_text(value, f"the tag {name!r}")


def from_bytes(data: bytes) -> Payload:
    """JSON text where ``data`` is that, for those who speak JSON; else the bytes as they are."""
    try:
        text = data.decode()
        _any_json(without_halves(text))
        return one_line(text)
    except (ValueError, RecursionError):
        return data


def one_line(text: str) -> Json:
    """JSON text without its line ends, which separate the messages of sessions, and none of which is in a string."""
    return Json(text.replace("\n", "").replace("\r", ""))


def size_of(payload: Payload) -> int:
    """Bytes of a payload on the wire."""
    return len(payload) if isinstance(payload, bytes) or payload.isascii() else len(payload.encode())
