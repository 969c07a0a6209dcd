"""Plain WebSockets on any ASGI server.

ASGI hides the frames, the socket and its buffer. So here the one queue is an outbox of ASGI messages, which
a task empties while there is something in it; a second task reads, always. Pings are the server's. What ASGI
has no word for is taken from uvicorn's protocol objects where they are what they were when this was written
(``_uvicorn_protocol``), and done without elsewhere: the abort of a peer that does not read, and the ping
times. The table in the docs says what that means on each server.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from hubbub.errors import Disconnect, Goodbye, MessageTooLarge, Slow
from hubbub.hub.client import is_logged
from hubbub.hub.deadlines import Deadline
from hubbub.hub.transport import Framing, Peer, Policy, Transport
from hubbub.protocol.publication import Payload, size_of
from hubbub.transports.exchange import EXTENSION
from hubbub.transports.handshake import AppSend
from hubbub.transports.sockets import send_at_once

_SERVER_SEND = "hubbub.server_send"
_HANG_UP: Message = {"type": "hubbub.hang_up"}
"""Stands in the outbox for the end of the connection without a close frame."""


class Batch(NamedTuple):
    """ASGI messages, shared by all receivers, and the bytes in them."""

    messages: tuple[Message, ...]
    size: int


class Messages(Framing):
    """One ``websocket.send`` message for each payload."""

    def join(self, payloads: Sequence[Payload]) -> Batch:
        messages = tuple(
            {"type": "websocket.send", "text" if isinstance(payload, str) else "bytes": payload} for payload in payloads
        )
        return Batch(messages, sum(size_of(payload) for payload in payloads))


_FRAMING = Messages()


class AsgiTransport(Transport):
    """A connection of an ASGI server that offers nothing but ASGI."""

    __slots__ = (
        "__weakref__",
        "_busy",
        "_closing",
        "_idle",
        "_lost",
        "_outbox",
        "_peer",
        "_policy",
        "_protocol",
        "_queued",
        "_reader",
        "_websocket",
        "_writer",
        "framing",
        "ping_payload",
        "pinged_at",
    )  # fmt: skip

    def __init__(self, websocket: WebSocket, policy: Policy) -> None:
        self.framing = _FRAMING
        self._websocket = websocket
        self._protocol = _uvicorn_protocol(websocket.scope)
        self._outbox: deque[Message] = deque()
        self._queued = 0
        self._busy = False
        self._idle: asyncio.Event | None = None
        self._closing = False
        self._lost = False
        self._writer: asyncio.Task[None] | None = None
        self.ping_payload: bytes | None = None
        self.pinged_at = 0.0
        if self._protocol is not None:
            # Before the accept, which starts the server's pings.
            self._protocol.ping_interval = policy.ping_interval
            self._protocol.ping_timeout = policy.ping_timeout
            self._protocol.close_timeout = policy.close_timeout
            send_at_once(self._protocol.transport)

    def attach(self, peer: Peer, policy: Policy) -> None:
        self._peer = peer
        self._policy = policy
        if policy.heartbeat is not None:
            policy.heartbeat.add(self)
        self._reader = asyncio.get_running_loop().create_task(self._read())

    def push(self, batch: Batch) -> None:
        if self._closing or self._lost:
            return
        queued = self._queued + batch.size
        if queued > self._policy.max_queued_bytes and self._busy:
            self.give_up(Slow(f"more than {self._policy.max_queued_bytes} bytes behind"))
            return
        self._outbox.extend(batch.messages)
        self._queued = queued
        self._policy.backlog.note(self, queued)
        self._start_writing()

    async def send(self, batch: Batch) -> None:
        if self._closing or self._lost:
            await asyncio.sleep(0)  # so that a loop of sends gives way
            return
        if self._busy:
            self.push(batch)
            while self._busy:
                await self._wait_idle()
            return
        # Nothing is under way: no need for the writer.
        self._busy = True
        try:
            for message in batch.messages:
                await self._send(message)
        finally:
            self._busy = False
            self._wake()
            if self._outbox:
                self._start_writing()

    def close(self, code: int, reason: str) -> None:
        self._end_with({"type": "websocket.close", "code": code, "reason": reason})

    def hang_up(self) -> None:
        # ASGI has no word for it. 1001 tells an SDK as little as a lost connection: it comes back.
        self._end_with({"type": "websocket.close", "code": 1001} if self._protocol is None else _HANG_UP)

    def _end_with(self, last: Message) -> None:
        if self._closing:
            return
        self._closing = True
        if self._policy.heartbeat is not None:
            self._policy.heartbeat.discard(self)
        self._policy.backlog.clear(self)
        if self._lost:
            self._outbox.clear()
        else:
            self._outbox.append(last)
            self._start_writing()
        if self._protocol is None:
            # Granian does not send while it is asked to receive.
            self._reader.cancel()
        else:
            # uvicorn's close waits until all is flushed, which a peer that does not read prevents for ever.
            Deadline(asyncio.get_running_loop(), self._policy.close_timeout, self.abort)

    def abort(self) -> None:
        self._outbox.clear()
        if self._writer is not None:
            self._writer.cancel()
        if self._protocol is not None:
            self._protocol.transport.abort()

    async def serve(self) -> None:
        try:
            await asyncio.wait([self._reader])
        finally:
            await self.settle()

    async def settle(self) -> None:
        try:
            if self._writer is not None:
                await asyncio.wait([self._writer], timeout=self._policy.close_timeout)
        finally:
            if self._writer is not None:
                self.abort()
            self._reader.cancel()

    def ping(self, payload: bytes) -> None:
        """The server pings; this only notes whether something is being sent, which then must get on."""
        if not self._busy:
            self.ping_payload = None

    def on_silence(self) -> None:
        self.give_up(Slow(f"nothing could be sent for {self._policy.ping_timeout:g} seconds"))

    def give_up(self, fault: Disconnect) -> None:
        self._peer.on_fault(fault)

    async def _read(self) -> None:
        websocket = self._websocket
        limit = self._policy.max_message_size
        try:
            while not self._closing:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    code = message.get("code", 1005)
                    by: Any = "hub" if code == 1012 else "peer"
                    self._lose(Goodbye(code, message.get("reason") or "", by))
                    return
                text = message.get("text")
                data: Payload = text if text is not None else message["bytes"]
                size = size_of(data)
                if size > limit:
                    self._peer.on_fault(MessageTooLarge(f"message is larger than {limit} bytes"))
                else:
                    self._peer.on_messages((data,), 1, size)
        except (RuntimeError, OSError):
            # The app has closed the WebSocket itself, or the server has no way to say that it is gone.
            self._lose(Goodbye(1006, "", "peer"))

    async def _send(self, message: Message) -> None:
        if message is _HANG_UP:
            self._protocol.transport.close()
            return
        try:
            await self._websocket.send(message)
        except Exception:
            # Servers raise what they like for a peer that is gone: OSError, RuntimeError, their own. The reader
            # will see it too, behind what the peer had sent before; it has a moment for that.
            if not self._lost:
                self._lost = True
                self._outbox.clear()
                timeout = self._policy.close_timeout
                Deadline(asyncio.get_running_loop(), timeout, self._lose, Goodbye(1006, "", "peer"))
        self.ping_payload = None

    def _lose(self, goodbye: Goodbye) -> None:
        self._lost = True
        self._outbox.clear()
        self._peer.on_lost(goodbye)

    def _start_writing(self) -> None:
        if not self._busy:
            self._busy = True
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        outbox = self._outbox
        try:
            while outbox:
                message = outbox.popleft()
                await self._send(message)
                self._queued -= size_of(message.get("text") or message.get("bytes") or b"")
        finally:
            self._queued = 0
            self._busy = False
            self._writer = None
            self._policy.backlog.clear(self)
            self._wake()

    async def _wait_idle(self) -> None:
        if self._idle is None:
            self._idle = asyncio.Event()
        await self._idle.wait()

    def _wake(self) -> None:
        if self._idle is not None:
            self._idle.set()
            self._idle = None


class ServerDoor:
    """The outermost ASGI layer of an app with a hub.

    It keeps the server's own ``send`` where the transport finds it, past all middleware; it answers 503 to a
    WebSocket that is refused for a while; and it ends the way of exceptions that the hub has logged, so that the
    server does not log them again without the client's id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            scope.setdefault(_SERVER_SEND, send)
        if scope["type"] != "websocket":
            return self._app(scope, receive, send)
        # On the fast path, which needs nothing else, without a coroutine that each connection would hold.
        if EXTENSION in scope.get("extensions", ()):
            return self._app(scope, receive, AppSend(scope, send))
        return self._guard(scope, receive, send)

    async def _guard(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault(_SERVER_SEND, send)
        try:
            await self._app(scope, receive, AppSend(scope, send))
        except BaseException as error:
            if not is_logged(error):
                raise


def server_transport(scope: Scope) -> Any:
    """The event loop's transport behind a request, on uvicorn; elsewhere None."""
    cycle = getattr(scope.get(_SERVER_SEND), "__self__", None)
    transport = getattr(cycle, "transport", None)
    return transport if callable(getattr(transport, "abort", None)) else None


def dropping(scope: Scope) -> Callable[[], None]:
    """What ends the connection behind a request at once, on uvicorn; elsewhere it does nothing."""
    transport = server_transport(scope)
    return transport.abort if transport is not None else lambda: None


def _uvicorn_protocol(scope: Scope) -> Any:
    """uvicorn's protocol object behind a connection, if it has what is used of it; None elsewhere."""
    protocol = getattr(scope.get(_SERVER_SEND), "__self__", None)
    abort = getattr(getattr(protocol, "transport", None), "abort", None)
    times = ("ping_interval", "ping_timeout", "close_timeout")
    if callable(abort) and all(hasattr(protocol, name) for name in times):
        return protocol
    return None
