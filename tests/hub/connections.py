"""What handlers are called with: a session that asks, and connections as a server would describe them."""

from typing import Any

from hubbub.hub.dependencies import ConnectionScope, SessionInfo

ANNA = SessionInfo("s1", "anna", None, None, "websocket", "json", 0.0)


def connected(
    *, kind: str = "websocket", headers: dict[str, str] | None = None, query: str = "", **scope: Any
) -> ConnectionScope:
    """A connection to ``/ws``, as ASGI tells of it."""
    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    described = {"type": kind, "scheme": "ws", "path": "/ws", "root_path": "", "server": ("hub.example", 80)}
    return ConnectionScope({**described, "headers": raw, "query_string": query.encode(), **scope})
