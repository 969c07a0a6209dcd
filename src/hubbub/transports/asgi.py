"""Plain WebSockets on any ASGI server.

ASGI hides the frames, the socket and its buffer. So here the one queue is an outbox of ASGI messages, which
a task empties while there is something in it; a second task reads, always. Pings are the server's. What ASGI
has no word for is taken from uvicorn's protocol objects where they are what they were when this was written
(``_uvicorn_protocol``), and done without elsewhere: the abort of a peer that does not read, and the ping
times. The table in the docs says what that means on each server.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Sequence
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from hubbub.errors import Disconnect, Goodbye, MessageTooLarge, Slow
from hubbub.hub.client import is_logged
from hubbub.hub.deadlines import Deadline
from hubbub.hub.transport import AT_ONCE, Framing, Peer, Policy, Transport
from hubbub.protocol.publication import Payload, size_of
from hubbub.transports.exchange import EXTENSION
from hubbub.transports.handshake import AppSend
from hubbub.transports.sockets import acknowledged, drop, send_at_once, unacknowledged

_SERVER_SEND = "hubbub.server_send"
_HANG_UP: Message = {"type": "hubbub.hang_up"}
"""Stands in the outbox for the end of the connection without a close frame."""
_SLOWEST = 16 * 1024
"""Bytes a second that a peer reads at least, where nobody sees how far it is."""


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
        "_began",
        "_behind",
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
        "_sending",
        "_taken",
        "_websocket",
        "_writer",
        "framing",
        "ping_payload",
        "ping_progress",
        "ping_reach",
        "pinged_at",
    )  # fmt: skip

    def __init__(self, websocket: WebSocket, policy: Policy) -> None:
        self.framing = _FRAMING
        self._websocket = websocket
        self._protocol = _uvicorn_protocol(websocket.scope)
        self._outbox: deque[Message] = deque()
        self._queued = 0
        self._behind = 0
        """Bytes that were pushed behind the batch that came when nothing waited, or behind the last answer."""
        self._taken = 0
        """Bytes that the server has taken."""
        self._sending = 0
        self._began = 0.0
        self._busy = False
        self._idle: asyncio.Event | None = None
        self._closing = False
        self._lost = False
        self._writer: asyncio.Task[None] | None = None
        self.ping_payload: bytes | None = None
        self.pinged_at = 0.0
        self.ping_reach = self.ping_progress = 0
        if self._protocol is not None:
            # Before the accept, which starts the server's pings: none where whoever attaches sends its own, since
            # the server does not wait for a slow reader that is still being sent an answer.
            self._protocol.ping_interval = None if policy.heartbeat is None else policy.ping_interval
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
        if self._busy:
            self._behind += batch.size
            if min(self._behind, self._queued + batch.size) > self._policy.max_queued_bytes:
                self.give_up(Slow(f"more than {self._policy.max_queued_bytes} bytes behind"))
                return
        else:
            self._behind = 0
        self._put(batch)

    def answer(self, batch: Batch) -> None:
        if not self._closing and not self._lost:
            self._put(batch)
            self._behind = 0

    def _put(self, batch: Batch) -> None:
        self._outbox.extend(batch.messages)
        self._queued += batch.size
        self._policy.backlog.note(self, self.waiting())
        if not self._busy:
            self._busy = True
            self._start_writing()

    @property
    def answering(self) -> bool:
        return self._queued > self._behind + AT_ONCE

    async def answered(self) -> None:
        while self.answering and not self._closing and not self._lost:
            await self._until_taken()

    async def send(self, batch: Batch) -> None:
        if self._closing or self._lost:
            await asyncio.sleep(0)  # so that a loop of sends gives way
            return
        if self._busy:
            self.push(batch)
            while self._busy:
                await self._until_taken()
            return
        # Nothing is under way: no need for the writer.
        self._busy = True
        try:
            for message in batch.messages:
                await self._send(message)
        finally:
            self._wake()
            if self._outbox:
                self._start_writing()
            else:
                self._busy = False
                self._note()

    def waiting(self) -> int:
        return self._queued + (self._protocol.transport.get_write_buffer_size() if self._protocol is not None else 0)

    def progress(self) -> int:
        if self._protocol is not None and (taken := acknowledged(self._protocol.transport)):
            return taken
        # Nobody sees how much of a message is taken, so it is given its time.
        spent = asyncio.get_running_loop().time() - self._began
        return self._taken + min(self._sending, int(spent * _SLOWEST))

    def reach(self) -> int:
        ahead = self.waiting() + (unacknowledged(self._protocol.transport) if self._protocol is not None else 0)
        return self.progress() + ahead if ahead > AT_ONCE else 0

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
            if not self._busy:
                self._busy = True
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
            drop(self._protocol.transport)

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
        size = self._sending = _size_of(message)
        self._began = asyncio.get_running_loop().time()
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
        self._sending = 0
        self._taken += size
        self.ping_payload = None

    def _lose(self, goodbye: Goodbye) -> None:
        self._lost = True
        self._outbox.clear()
        self._policy.backlog.clear(self)
        if self._policy.heartbeat is not None:
            self._policy.heartbeat.discard(self)
        self._peer.on_lost(goodbye)

    def _start_writing(self) -> None:
        self._writer = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        outbox = self._outbox
        try:
            while outbox:
                message = outbox.popleft()
                await self._send(message)
                self._queued -= _size_of(message)
                if outbox:
                    self._note()
                    if not self.answering:
                        self._wake()
        finally:
            self._queued = 0
            self._busy = False
            self._writer = None
            self._note()
            self._wake()

    def _note(self) -> None:
        """Tells how much waits, here and in the server's own buffer, behind a ``send`` that has returned."""
        waiting = self.waiting()
        if waiting and not self._closing and not self._lost:
            self._policy.backlog.note(self, waiting)
        else:
            self._policy.backlog.clear(self)

    async def _until_taken(self) -> None:
        if self._idle is None:
            self._idle = asyncio.Event()
        await self._idle.wait()

    def _wake(self) -> None:
        if self._idle is not None:
            self._idle.set()
            self._idle = None


def _size_of(message: Message) -> int:
    return size_of(message.get("text") or message.get("bytes") or b"")


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
    """The event loop's transport behind a request, on uvicorn; None elsewhere."""
    cycle = getattr(scope.get(_SERVER_SEND), "__self__", None)
    transport = getattr(cycle, "transport", None)
    return transport if callable(getattr(transport, "abort", None)) else None


def _uvicorn_protocol(scope: Scope) -> Any:
    """uvicorn's protocol object behind a connection, if it has what is used of it; None elsewhere."""
    protocol = getattr(scope.get(_SERVER_SEND), "__self__", None)
    abort = getattr(getattr(protocol, "transport", None), "abort", None)
    times = ("ping_interval", "ping_timeout", "close_timeout")
    if callable(abort) and all(hasattr(protocol, name) for name in times):
        return protocol
    return None
