"""The ASGI conversation of one WebSocket on the fast path: scope, ``receive``, ``send``, and the app's task.

The message forms and their order are those of the ASGI specification (WebSocket, spec version 2.4, and the
``websocket.http.response`` extension); log lines and answers are those of uvicorn's own implementations.
"""

import asyncio
import email.utils
import logging
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from hubbub.errors import Goodbye
from hubbub.hub.client import is_logged
from hubbub.protocol.handshake import Headers, Upgrade
from hubbub.protocol.publication import Payload
from hubbub.redaction import one_line, redact

if TYPE_CHECKING:
    from hubbub.transports.wire import Protocol

EXTENSION = "hubbub.wire"
"""The ASGI extension's name: ``scope["extensions"]["hubbub.wire"]["transport"]`` is the ``Protocol``."""

_log = logging.getLogger("uvicorn.error")

Event = dict[str, Any]


class Disconnected(OSError):
    """Raised by ``send`` after the connection has gone (ASGI spec version 2.4)."""


class Exchange:
    """One run of the app for one connection."""

    __slots__ = (
        "_answer",
        "_disconnected",
        "_events",
        "_protocol",
        "_upgrade",
        "_waiters",
        "accepted",
        "scope",
    )

    def __init__(self, protocol: "Protocol", upgrade: Upgrade, scope: Event) -> None:
        self._protocol = protocol
        self._upgrade = upgrade
        self.scope = scope
        self.accepted = False
        self._answer: tuple[int, Headers, bytes] | None = None
        self._disconnected: Goodbye | None = None
        # A deque takes 600 bytes even when empty, for as long as the connection lives: it goes at the takeover.
        self._events: deque[Event] | None = deque([{"type": "websocket.connect"}])
        self._waiters: list[asyncio.Future[None]] = []

    async def run(self, app: Any) -> None:
        """Runs the app to its end, and ends the connection where the app has not."""
        failed = True
        try:
            result = await app(self.scope, self.receive, self.send)
            failed = result is not None
            if failed:
                _log.error("ASGI callable should return None, but returned '%s'.", result)
        except Disconnected:
            failed = False
        except BaseException as error:
            if not is_logged(error):
                _log.exception("Exception in ASGI application\n")
        self._protocol.on_app_done(failed=failed, accepted=self.accepted)

    # What the connection tells

    def on_messages(self, messages: Sequence[Payload]) -> None:
        events = self._events
        assert events is not None
        for message in messages:
            key = "text" if isinstance(message, str) else "bytes"
            events.append({"type": "websocket.receive", key: message})
        self._wake()

    def on_disconnect(self, goodbye: Goodbye) -> None:
        if self._disconnected is None:
            self._disconnected = goodbye
            if self._events is not None:
                self._events.append({"type": "websocket.disconnect", "code": goodbye.code, "reason": goodbye.reason})
                self._wake()

    @property
    def waiting(self) -> int:
        """Events that the app has not taken."""
        return len(self._events or ())

    def take_over(self) -> tuple[list[Payload], Goodbye | None]:
        """What the app has not received, for whom it attaches to the connection."""
        kept = [
            event["text"] if "text" in event else event["bytes"]
            for event in self._events or ()
            if event["type"] == "websocket.receive"
        ]
        self._events = None
        self._wake()
        return kept, self._disconnected

    def _wake(self) -> None:
        """Lets all pending ``receive`` look again; the first of them takes what there is."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # What the app calls

    async def receive(self) -> Event:
        if self._events is not None and not self._events:
            self._protocol.on_idle()
        while self._events is not None and not self._events:
            # One for each call: several may be pending, and any of them may be cancelled.
            waiter = self._protocol.loop.create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                raise
        events = self._events
        if events is None:
            raise RuntimeError("hub.connect reads this WebSocket: iterate the client instead")
        if events[0]["type"] == "websocket.disconnect":
            return events[0]  # to every other call too: nothing else will come
        event = events.popleft()
        if not self._protocol.reading:
            self._protocol.on_received(len(events))
        return event

    async def send(self, message: Event) -> None:
        self._ensure_there()
        kind = message["type"]
        if kind == "websocket.send" and self.accepted:
            payload = message.get("bytes")
            protocol = self._protocol
            protocol.push(protocol.framing.join((message["text"] if payload is None else payload,)))
            if protocol.paused:
                await protocol.drain()
                self._ensure_there()
        elif kind == "websocket.close" and self.accepted:
            self._close(message.get("code", 1000), message.get("reason") or "")
        elif kind == "websocket.accept" and not self.accepted and self._answer is None:
            self._accept(message)
        elif kind == "websocket.close" and self._answer is None:
            self._refuse(403, [], b"")
        elif kind == "websocket.http.response.start" and not self.accepted and self._answer is None:
            self._answer = (message["status"], list(message.get("headers", [])), b"")
        elif kind == "websocket.http.response.body" and self._answer is not None:
            status, headers, body = self._answer
            self._answer = (status, headers, body + message.get("body", b""))
            if not message.get("more_body", False):
                self._refuse(*self._answer)
        else:
            state = "accepted" if self.accepted else "not accepted"
            raise RuntimeError(f"Unexpected ASGI message {kind!r} while the WebSocket is {state}.")

    def _ensure_there(self) -> None:
        """Raises ``Disconnected`` where the peer has gone, or had to go; an app that has closed itself knows it."""
        if self._disconnected is not None and self._disconnected.by != "app":
            raise Disconnected("the client is gone")

    def _accept(self, message: Event) -> None:
        headers: Headers = [(name.lower(), value) for name, value in message.get("headers") or ()]
        subprotocol = message.get("subprotocol")
        if subprotocol:
            headers.append((b"sec-websocket-protocol", subprotocol.encode("latin-1")))
        self._protocol.accept(self._upgrade, headers, deflate=message.get("hubbub.deflate", True))
        self.accepted = True
        self._note("[accepted]")
        del self._upgrade

    def _refuse(self, status: int, headers: Headers, body: bytes) -> None:
        self._note(str(status))
        names = {name.lower() for name, _ in headers}
        for name, value in (
            (b"date", email.utils.formatdate(usegmt=True).encode()),
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ):
            if name not in names:
                headers.append((name, value))
        self._protocol.refuse(status, headers, body)
        self.on_disconnect(Goodbye(1006, "", "app"))

    def _close(self, code: int, reason: str) -> None:
        if self._disconnected is not None:
            raise RuntimeError("Unexpected ASGI message 'websocket.close', after sending 'websocket.close'.")
        self._protocol.close(code, reason)
        self.on_disconnect(Goodbye(code, reason, "app"))

    def _note(self, outcome: str) -> None:
        if self._protocol.config.access_log:
            client = self.scope["client"]
            query = self.scope["query_string"].decode("latin-1")
            path = quote(self.scope["path"]) + (f"?{query}" if query else "")
            address = "%s:%d" % client if client else ""  # noqa: UP031
            _log.info('%s - "WebSocket %s" %s', address, redact(one_line(path)), outcome)


def websocket_scope(upgrade: Upgrade, root_path: str, **given: Any) -> Event:
    """The connection scope, as uvicorn's own implementations give it."""
    raw_path, _, query = upgrade.target.partition(b"?")
    return {
        "type": "websocket",
        "http_version": "1.1",
        "root_path": root_path,
        "path": root_path + unquote(raw_path.decode("latin-1")),
        "raw_path": root_path.encode() + raw_path,
        "query_string": query,
        "headers": upgrade.headers,
        "subprotocols": upgrade.subprotocols,
        **given,
    }
