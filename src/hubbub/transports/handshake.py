"""What the app sends on a WebSocket before the hub has taken it, and after the hub has closed it.

Before: clients that reconnect by themselves take 403 for final, and ASGI answers every close before the accept with
403. A refusal for a while becomes a 503, so that they come back.

After: an exception of a block of ``hub.connect`` goes on to the app's exception handlers, which may close the
WebSocket or return a response. The hub has closed it and logged the exception, and a second error would only hide it.
"""

import random
from collections.abc import Awaitable

from starlette.types import Message, Scope, Send

_APP_SEND = "hubbub.app_send"
_TEMPORARY = (1012, 1013)
"""Close codes that tell a client to come back: service restart, try again later."""
_LONGEST_WAIT = 10
"""Seconds until a refused client is asked to come back at the latest."""


def retry_after() -> tuple[bytes, bytes]:
    """The header that tells a refused client when to come back; random, so that not all come back at once."""
    return b"retry-after", b"%d" % random.randint(1, _LONGEST_WAIT)  # noqa: S311


class AppSend:
    """The server's ``send`` of one WebSocket, as the app gets it.

    A close with 1012 or 1013 before the accept becomes a 503 with Retry-After. Where the server has no
    ``websocket.http.response`` extension, the WebSocket is accepted and then closed with that code.
    """

    __slots__ = ("_answered", "_denies", "_muted", "_send")

    def __init__(self, scope: Scope, send: Send) -> None:
        self._denies = "websocket.http.response" in scope.get("extensions", {})
        self._send = send
        self._answered = False
        self._muted = False
        scope[_APP_SEND] = self

    def mute(self) -> None:
        """Drops what the app sends from now on."""
        self._muted = True

    def __call__(self, message: Message) -> Awaitable[None]:
        if self._muted:
            return _drop()
        if not self._answered:
            self._answered = True
            if message["type"] == "websocket.close" and message.get("code") in _TEMPORARY:
                return self._refuse(message)
        return self._send(message)

    async def _refuse(self, close: Message) -> None:
        if self._denies:
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


async def _drop() -> None:
    """Takes a message, and does nothing with it."""


def app_send_of(scope: Scope) -> AppSend | None:
    """The ``AppSend`` of a WebSocket; None where the app runs without the hub's outermost layer."""
    return scope.get(_APP_SEND)
