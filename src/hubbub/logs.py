"""Keeps secrets out of logs: tokens in query strings are replaced before a line is written."""

import logging
import re

# Separate patterns, so that the time is linear in the text: a peer chooses what is in a request line.
_PARAMETER = re.compile(r"([?&;])([\w.-]+)=([^&;\s\"'#]+)")
_NESTED = re.compile(r"\?([\w.-]+)=")
_SECRET = re.compile(
    r"token|secret|password|passwd|passphrase|api[-_]?key|signature|ticket|jwt|credential"
    r"|^(?:auth|authorization|key|sig|session|sid|code|pwd|cf_connect)$",
    re.IGNORECASE,
)
_SERVERS = ("uvicorn", "uvicorn.access", "uvicorn.error", "uvicorn.asgi", "hypercorn.access", "hypercorn.error",
            "granian.access", "_granian", "websockets.server")  # fmt: skip


def redact(text: str) -> str:
    """``text`` with the values of query parameters that carry secrets (token, key, ticket, …) as ``***``."""
    return _PARAMETER.sub(_hide, text)


def _hide(parameter: re.Match[str]) -> str:
    mark, name, value = parameter.groups()
    if _SECRET.search(name):
        return f"{mark}{name}=***"
    for nested in _NESTED.finditer(value):  # an address as the value, with a query of its own
        if _SECRET.search(nested[1]):
            return f"{mark}{name}={value[: nested.end()]}***"
    return parameter[0]


class RedactingFilter(logging.Filter):
    """Redacts the message and the arguments of every record; drops none."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.msg, str):
            record.msg = redact(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(redact(arg) if isinstance(arg, str) else arg for arg in record.args)
        elif isinstance(record.args, dict):
            record.args = {name: redact(arg) if isinstance(arg, str) else arg for name, arg in record.args.items()}
        return True


_filter = RedactingFilter()


def redact_server_logs() -> None:
    """Puts the filter on the loggers of the ASGI servers; calling it again changes nothing."""
    for name in _SERVERS:
        logging.getLogger(name).addFilter(_filter)
