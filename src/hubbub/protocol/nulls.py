"""JSON as many libraries write it, where a field that nobody set is null."""

from functools import partial
from typing import TypeVar

from msgspec import DecodeError, Raw, ValidationError
from msgspec.json import Decoder, encode

from hubbub.protocol import halves

ReadT = TypeVar("ReadT")

_members = Decoder(dict[str, Raw])
_OF_THE_APP = ("data", "info", "params", "stream_data")
"""What may be null and mean it."""
_DEPTH = 5
"""Objects in one another that are looked into, since each is read again: the filter in a subscription of a connect."""
_MOST = 4096
"""Members of objects that are looked into in one command: each takes a microsecond, at each depth."""


def read(decoder: Decoder[ReadT], text: str | bytes) -> ReadT:
    """What the text holds. A null where a value belongs counts as absent; for half an emoji see ``halves``.

    Raises:
        ValueError: it holds something else, is nested too deeply, or has a null and more members than are looked into.
    """
    try:
        try:
            return decoder.decode(text)
        except DecodeError:
            return halves.read(partial(_read_nulls, decoder), text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _read_nulls(decoder: Decoder[ReadT], text: str | bytes) -> ReadT:
    try:
        return decoder.decode(text)
    except ValidationError:
        data = text.encode() if isinstance(text, str) else text
        if b"null" not in data:
            raise
        return decoder.decode(_without_nulls(data, _DEPTH, [_MOST]))


def _without_nulls(text: bytes, depth: int, left: list[int]) -> bytes:
    if not depth or not text.lstrip().startswith(b"{") or b"null" not in text:
        return text
    members = _members.decode(text)
    left[0] -= len(members)
    if left[0] < 0:
        raise ValueError(f"more than {_MOST} members, and a null where a value belongs")
    return encode(
        {
            name: value if name in _OF_THE_APP else Raw(_without_nulls(bytes(value), depth - 1, left))
            for name, value in members.items()
            if name in _OF_THE_APP or bytes(value) != b"null"
        }
    )
