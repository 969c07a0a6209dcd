"""Keeps secrets and forged lines out of logs: what a peer chose is made safe before a line is written."""

import logging
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from hubbub.redaction import HIDDEN, is_secret, lines, one_line, redact

_LOGGERS = ("hubbub", "uvicorn", "uvicorn.access", "uvicorn.error", "uvicorn.asgi", "gunicorn.access",
            "gunicorn.error", "hypercorn.access", "hypercorn.error", "granian.access", "_granian",
            "websockets.server")  # fmt: skip
_QUERIES = ("q", "query_string")
"""What the access logs and scopes of servers call a query without its question mark."""
_UNNAMED = ("subprotocols", "subprotocol")
"""What carries a token for browsers that cannot set a header."""


_LONGEST = 8192
"""Characters of one argument that are shown. A peer may choose eight times as many, and each takes its time."""
_ENDS = "?&;#/ \"'"
"""What a longer one is cut in front of, as half a secret may not look like one."""


class SafeFilter(logging.Filter):
    """Makes every record safe, its arguments one by one; drops none.

    The form of a line is the logger's own, with its line breaks and colours. What is put into it is not: it loses its
    secrets, and its control characters become escapes. A traceback keeps its lines, and the further lines of an
    exception's text are indented, so that none looks like a line of the log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.args:
            record.msg = _safe_message(record.msg)
        elif isinstance(record.args, tuple):
            record.args = _safe_arguments(record.msg, record.args)
        else:
            record.args = _Atoms(record.args)
        if record.exc_info and not record.exc_text:
            record.exc_text = _safe_traceback(*record.exc_info)
        return True


class _Atoms(dict[str, Any]):
    """The arguments of a line by name, made safe when the line takes them; some servers make them then as well."""

    def __init__(self, original: Mapping[str, Any]) -> None:
        super().__init__(original)
        self._original = original

    def __getitem__(self, name: str) -> Any:
        header = name[1:-2] if name.startswith("{") else ""
        return _safe_value(header or name, self._original[name])


def _safe_message(message: Any) -> Any:
    text = str(message)
    safe = redact(lines(text))
    return message if safe == text else safe


def _safe_arguments(message: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    match arguments:
        case (str(name), str()) if str(message).endswith("%s: %s") and is_secret(name):  # a header
            return (one_line(name), HIDDEN)
    return tuple(_safe(argument) for argument in arguments)


def _safe(argument: Any) -> Any:
    """The argument itself where its text is safe, since a line may need it as it is: as a number, say."""
    if isinstance(argument, int | float | None):
        return argument
    if isinstance(argument, Mapping):
        argument = {name: _safe_value(name, value) for name, value in argument.items()}
    text = str(argument)
    safe = redact(one_line(_cut(text)))
    return argument if safe == text else safe


def _cut(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    end = max(0, *(text.rfind(mark, 0, _LONGEST) for mark in _ENDS))
    return f"{text[:end]}… ({len(text) - end} more characters)"


def _safe_value(name: Any, value: Any) -> Any:
    if name in _QUERIES and isinstance(value, str | bytes):
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        return redact(one_line(_cut(f"?{text}")))[1:]
    if value and (name in _UNNAMED or is_secret(str(name))):
        return HIDDEN
    return _safe(value) if isinstance(value, str) else value


def _safe_traceback(
    kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
) -> str | None:
    if error is None:
        return None
    parts = traceback.TracebackException(type(error), error, trace, compact=True).format()
    indented = (part if part[:1].isspace() else part.rstrip("\n").replace("\n", "\n    ") + "\n" for part in parts)
    return redact(lines("".join(indented))).rstrip("\n")


_filter = SafeFilter()


def protect_logs() -> None:
    """Puts the filter on the loggers of the hub and of the ASGI servers; calling it again changes nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_filter)
