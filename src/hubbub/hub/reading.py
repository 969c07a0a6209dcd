"""How the messages of a plain WebSocket become what its handler iterates over."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import from_json

from hubbub.errors import InvalidMessage, UsageError
from hubbub.hub.refusals import invalid
from hubbub.protocol.halves import without_halves
from hubbub.spelling import question

Mode = Literal["text", "bytes", "json"]


class Reading(NamedTuple):
    """What a message must be, and what becomes of it."""

    frame: type[str] | type[bytes]
    name: str
    """What a peer that sends something else is told to send."""
    parse: Callable[[str], Any] | None = None
    """Raises InvalidMessage. None: a message is given as it came."""


def reading_of(receive: Any) -> Reading:
    """How a handler reads that asked for ``receive``: a ``Mode``, or a type that Pydantic validates JSON by.

    Raises:
        UsageError: it is neither.
    """
    if not isinstance(receive, str):
        return _validated(receive)
    if receive not in _MODES:
        asked = " ".join(filter(None, (question(receive, _MODES), "give 'text', 'bytes', 'json',")))
        raise UsageError(f"receive is {receive!r}; {asked} or a type such as a Pydantic model")
    return _MODES[receive]


@lru_cache(256)
def _validated(kind: Any) -> Reading:
    try:
        validate = TypeAdapter(kind).validate_json
    except PydanticUserError as error:
        raise UsageError(f"receive: Pydantic cannot validate {kind!r} ({str(error).splitlines()[0]})") from None

    def parse(message: str) -> Any:
        try:
            return validate(without_halves(message))
        except ValidationError as error:
            told = invalid(error.errors(include_url=False, include_input=False), "message")
            raise InvalidMessage(told.message) from None

    return Reading(str, "JSON text", parse)


def _json(message: str) -> Any:
    try:
        return from_json(without_halves(message), allow_inf_nan=False)
    except ValueError as error:
        raise InvalidMessage(f"not JSON: {error}") from None


_MODES: dict[str, Reading] = {
    "text": Reading(str, "text"),
    "bytes": Reading(bytes, "binary"),
    "json": Reading(str, "JSON text", _json),
}
