"""What was published."""

from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json

from hubbub.errors import UsageError

Payload = str | bytes


class Publication(NamedTuple):
    """One publication of a channel: ``data`` as it goes out, ``offset`` in the history (0: not kept)."""

    data: Payload
    offset: int = 0


def encode(data: Any) -> Payload:
    """What goes on the wire for ``data``: text and bytes as they are, everything else as JSON text.

    JSON is Pydantic's: models, dataclasses, datetimes, UUIDs and collections of them.

    Raises:
        UsageError: ``data`` has no JSON form.
    """
    if isinstance(data, str | bytes):
        return data
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    if isinstance(data, BaseModel):
        return data.model_dump_json()
    try:
        return to_json(data).decode()
    except (PydanticSerializationError, ValueError) as error:
        raise UsageError(
            f"cannot send a {type(data).__name__}: give text, bytes, a Pydantic model or what JSON can hold ({error})"
        ) from None
