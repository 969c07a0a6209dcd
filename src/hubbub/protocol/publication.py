"""What was published."""

from typing import Any, NamedTuple

from pydantic_core import PydanticSerializationError, to_json

from hubbub.errors import UsageError

Payload = str | bytes


class Publication(NamedTuple):
    """One publication of a channel: ``data`` as it goes out, ``offset`` in the history (0: not kept)."""

    data: Payload
    offset: int = 0


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
            return data
        return to_json(data, inf_nan_mode="null").decode()
    except (PydanticSerializationError, ValueError) as error:
        raise UsageError(
            f"cannot send a {type(data).__name__}: give text, bytes, a Pydantic model or what JSON can hold ({error})"
        ) from None


def size_of(payload: Payload) -> int:
    """Bytes of a payload on the wire."""
    return len(payload) if isinstance(payload, bytes) or payload.isascii() else len(payload.encode())
