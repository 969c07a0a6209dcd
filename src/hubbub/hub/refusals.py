"""What a peer is told when input does not fit, or when the app's code refuses in FastAPI's words."""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.exceptions import HTTPException, WebSocketException

from hubbub.errors import CommandError, Forbidden, InvalidRequest, TooManyRequests, Unauthorized

_MESSAGE_LIMIT = 300
"""Characters: a reply is no place for the report on a whole document."""

_OF_HTTP: Mapping[int, type[CommandError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    422: InvalidRequest,
    429: TooManyRequests,
}
"""The statuses that the protocol has a code of its own for."""

_OF_WEBSOCKET: Mapping[int, type[CommandError]] = {3000: Unauthorized, 3003: Forbidden, 1008: Forbidden}
"""IANA's close codes for the same, and the one that FastAPI's documentation refuses with."""


def invalid(errors: Iterable[Mapping[str, Any]], name: str = "") -> InvalidRequest:
    """``text: Field required; tags.0: Input should be …``, from the errors of Pydantic or FastAPI.

    ``name`` stands where an error is about the value as a whole. Values are never repeated.
    """
    text = "; ".join(f"{'.'.join(map(str, error['loc'])) or name}: {_reason(error)}" for error in errors)
    return InvalidRequest(text if len(text) <= _MESSAGE_LIMIT else text[: _MESSAGE_LIMIT - 1] + "…")


def _reason(error: Mapping[str, Any]) -> str:
    if error["type"] == "union_tag_invalid":  # the one text of Pydantic's that repeats what it was given
        return f"Input should have one of the tags {error['ctx']['expected_tags']}"
    return str(error["msg"])


def refusal(error: HTTPException | WebSocketException) -> CommandError | None:
    """What a command is answered with when the app's code raised ``error``; None: it is no refusal, but a failure.

    A status from 400 to 499 that the protocol has no code for is a code of the app's own, which begin at 400:
    ``HTTPException(404, "no such room")`` is error 404. A detail that is text becomes the message. Close codes
    below 3000 other than 1008 and all statuses outside of 400 to 499 are failures.
    """
    if isinstance(error, HTTPException):
        detail = error.detail if isinstance(error.detail, str) else None
        if error.status_code in _OF_HTTP:
            return _OF_HTTP[error.status_code](detail)
        if 400 <= error.status_code < 500:
            return CommandError(detail or "refused", code=error.status_code)
        return None
    if error.code in _OF_WEBSOCKET:
        return _OF_WEBSOCKET[error.code](error.reason or None)
    return Forbidden(error.reason or None) if error.code >= 3000 else None
