"""How a WebSocket handshake is refused for a while: so that clients come back.

Clients that reconnect by themselves take 403 for final, and ASGI answers every close before the accept with 403.
"""

import random
from collections.abc import Awaitable

from starlette.types import Message, Scope, Send

_TEMPORARY = (1012, 1013)
"""Close codes that tell a client to come back: service restart, try again later."""
_LONGEST_WAIT = 10
"""Seconds until a refused client is asked to come back at the latest."""


def retry_after() -> tuple[bytes, bytes]:
    """The header that tells a refused client when to come back; random, so that not all come back at once."""
    return b"retry-after", b"%d" % random.randint(1, _LONGEST_WAIT)  # noqa: S311


class TemporaryRefusals:
    """The server's ``send`` of one WebSocket; a close with 1012 or 1013 before the accept becomes a 503.

    Where the server has no ``websocket.http.response`` extension, it accepts and then closes with that code.
    """

    __slots__ = ("_answered", "_scope", "_send")

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._answered = False

    def __call__(self, message: Message) -> Awaitable[None]:
        if not self._answered:
            self._answered = True
            if message["type"] == "websocket.close" and message.get("code") in _TEMPORARY:
                return self._refuse(message)
        return self._send(message)

    async def _refuse(self, close: Message) -> None:
        if "websocket.http.response" in self._scope.get("extensions", {}):
            body = (close.get("reason") or "").encode(errors="replace")
            headers = [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", b"%d" % len(body)),
                retry_after(),
            ]
            await self._send({"type": "websocket.http.response.start", "status": 503, "headers": headers})
            await self._send({"type": "websocket.http.response.body", "body": body})
        else:
            await self._send({"type": "websocket.accept"})
            await self._send(close)
