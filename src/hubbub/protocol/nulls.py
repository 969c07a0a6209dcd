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


def read(decoder: Decoder[ReadT], text: str | bytes) -> ReadT:
    """What the text holds. A null where a value belongs counts as absent; for half an emoji see ``halves``.

    Raises:
        ValueError: it holds something else, or is nested too deeply.
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
        return decoder.decode(_without_nulls(text.encode() if isinstance(text, str) else text, _DEPTH))


def _without_nulls(text: bytes, depth: int) -> bytes:
    if not depth or not text.lstrip().startswith(b"{"):
        return text
    members = {name: bytes(value) for name, value in _members.decode(text).items()}
    return encode(
        {
            name: Raw(value if name in _OF_THE_APP else _without_nulls(value, depth - 1))
            for name, value in members.items()
            if value != b"null" or name in _OF_THE_APP
        }
    )
