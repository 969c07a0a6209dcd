"""The fast path: a WebSocket protocol class for uvicorn that the hub can write finished frames to.

Theory of operation. uvicorn's HTTP protocol hands over the socket with the request that asked for the
upgrade. From then on the connection is in one of these states:

    OPENING   the app runs and has neither accepted nor refused
    OPEN      frames go both ways; messages go to the app's ``receive``, or to the peer that attached
    CLOSING   our close frame is out: nothing is written any more, what comes is read for the peer's
    CLOSED    the socket is gone

The one queue towards the peer is the socket's own write buffer. Its high-water mark is zero, so that
``pause_writing`` says exactly that something waits: only then does a write cost the look at its size.

A peer that has been told to go gets ``close_timeout`` seconds to do so, and is then cut off. Meanwhile what
it sends is read and thrown away: closing a socket with unread data resets it, and the peer might never see
why. uvicorn's contract with its protocol classes is not public API: ``hubbub.transports.canary`` tries it before
the first connection, and ``hubbub.wire`` has uvicorn's own classes instead where it does not hold.
"""

import asyncio
import enum
import functools
import socket
from collections.abc import Callable, Sequence
from typing import Any, cast
from weakref import WeakKeyDictionary

from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from hubbub.errors import (
    Disconnect,
    Goodbye,
    HandlerFailed,
    InvalidMessage,
    MessageTooLarge,
    ProtocolViolation,
    Restarting,
    Slow,
    Unresponsive,
)
from hubbub.hub.deadlines import Deadline
from hubbub.hub.heartbeat import Heartbeat
from hubbub.hub.transport import Peer, Policy, Transport
from hubbub.protocol.deflate import negotiate
from hubbub.protocol.frames import (
    Close,
    FrameParser,
    Ping,
    Pong,
    close_frame,
    ping_frame,
    pong_frame,
)
from hubbub.protocol.handshake import Headers, Refusal, Upgrade, accept_response, parse_upgrade, response
from hubbub.protocol.publication import Payload, size_of
from hubbub.transports.exchange import EXTENSION, Exchange, websocket_scope
from hubbub.transports.frames import FRAMINGS, PLAIN
from hubbub.transports.handshake import retry_after
from hubbub.transports.sockets import send_at_once

_CLOSE_TIMEOUT = 1.0
"""Seconds for the peer's close frame where no hub has attached; a hub brings its own."""
_READ_AFTER_CLOSE = 64 * 1024
"""Bytes after our close frame that are still parsed, for the peer's close frame."""
_THROWN_AWAY = 16 * 1024 * 1024
"""Bytes after our close frame that are read at all: enough for the rest of a message that was too large."""
_EARLY = 16 * 1024
"""Bytes that may come before the handshake is answered: none should (RFC 6455 §4.1)."""

_FAULTS: dict[int, type[Disconnect]] = {1002: ProtocolViolation, 1007: InvalidMessage, 1009: MessageTooLarge}
_heartbeats: WeakKeyDictionary[ServerState, Heartbeat] = WeakKeyDictionary()


class _State(enum.Enum):
    OPENING = enum.auto()
    OPEN = enum.auto()
    CLOSING = enum.auto()
    CLOSED = enum.auto()


class Protocol(asyncio.Protocol, Transport):
    """``uvicorn app:app --ws hubbub.wire:Protocol``: a complete ASGI WebSocket server, and a transport."""

    __slots__ = (
        "__weakref__",
        "_after_close",
        "_close_timer",
        "_drained",
        "_early",
        "_exchange",
        "_heartbeat",
        "_late_fault",
        "_parser",
        "_peer",
        "_policy",
        "_pong",
        "_server_state",
        "_state",
        "_transport",
        "app_state",
        "config",
        "framing",
        "loop",
        "paused",
        "ping_payload",
        "pinged_at",
        "reading",
        "write_now",
    )

    _transport: asyncio.Transport
    write_now: Callable[[bytes], int] | None
    """The socket's own ``send``, while the connection is open and nothing waits.

    Past the event loop's transport, whose ``write`` takes a seventh more CPU time for a small frame to each of
    1,000 receivers. It takes as much of a batch as there is room for, and returns how much that is.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.config = config
        self.app_state = app_state
        self.loop = _loop or asyncio.get_running_loop()
        self._server_state = server_state
        self._state = _State.OPENING
        self._exchange: Exchange | None = None
        self._peer: Peer | None = None
        self._policy: Policy | None = None
        self._heartbeat: Heartbeat | None = None
        self._parser: FrameParser | None = None
        self.framing = PLAIN
        self.write_now = None
        self._early = b""
        self._after_close = 0
        self.paused = False
        self._pong: bytes | None = None  # the newest ping's, while something waits: RFC 6455 §5.5.3 asks for no more
        self.reading = True
        self._drained: asyncio.Future[None] | None = None
        self._late_fault: Disconnect | None = None
        self._close_timer: Deadline | None = None
        self.ping_payload: bytes | None = None
        self.pinged_at = 0.0

    # asyncio and uvicorn call these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by name
        send_at_once(transport)
        # Plain transports pause above the limit, those of TLS at it: with 0 they would pause when nothing waits.
        self._transport.set_write_buffer_limits(high=1 if is_ssl(self._transport) else 0)
        self._server_state.connections.add(self)  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        self._server_state.connections.discard(self)
        self._leave_open()
        self._state = _State.CLOSED
        if self._close_timer is not None:
            self._close_timer.cancel()
        if self._policy is not None:
            self._policy.backlog.clear(self)
        self.paused = False
        self._wake()
        self._tell_lost(Goodbye(1006, "", "peer"))

    def pause_writing(self) -> None:
        self.paused = True
        self._release_socket()
        if self._policy is not None:
            self._policy.backlog.note(self, self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self.paused = False
        if self._pong is not None and self._state is _State.OPEN:
            self._transport.write(pong_frame(self._pong))
            self._pong = None
            if self.paused:
                return
        self._borrow_socket()
        if self._policy is not None:
            self._policy.backlog.clear(self)
        self._wake()

    def data_received(self, data: bytes) -> None:
        if self._state is _State.OPEN:
            if self._parser is not None:
                self._on_events(self._parser.receive_data(data), len(data))
        elif self._state is _State.CLOSING:
            self._on_data_after_close(data)
        elif self._state is _State.CLOSED:
            pass  # early data, which was put off, of a peer that has gone meanwhile
        elif self._exchange is None:
            self._on_request(data)
        else:
            self._early += data
            if len(self._early) > _EARLY:
                self.abort()

    def eof_received(self) -> None:
        """The peer sends no more: the transport closes itself."""

    def shutdown(self) -> None:
        """uvicorn stops."""
        fault = Restarting("the server restarts: come back in a moment")
        if self._state is _State.OPENING:
            self.refuse(503, [retry_after(), (b"connection", b"close"), (b"content-length", b"0")], b"")
            self._tell_lost(fault.goodbye())
        else:
            self._fail(fault)

    # The opening handshake

    def _on_request(self, head: bytes) -> None:
        config = self.config
        state = self._server_state
        upgrade = parse_upgrade(head)
        limit = config.limit_concurrency
        if limit is not None and (len(state.connections) > limit or len(state.tasks) >= limit):
            upgrade = Refusal(503, "Service Unavailable", [retry_after()])
        if isinstance(upgrade, Refusal):
            body = upgrade.text.encode()
            own = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
            self.refuse(upgrade.status, [*upgrade.headers, *own, (b"connection", b"close")], body)
            return
        transport = self._transport
        scope = websocket_scope(
            upgrade,
            config.root_path,
            asgi=_asgi(config.asgi_version),
            scheme="wss" if is_ssl(transport) else "ws",
            server=_shared(get_local_addr(transport)),
            client=get_remote_addr(transport),
            state=self.app_state.copy(),
            extensions={"websocket.http.response": {}, EXTENSION: {"transport": self}},
        )
        self._exchange = Exchange(self, upgrade, scope)
        # A name of its own and a done callback would cost every idle connection 300 bytes.
        state.tasks.add(self.loop.create_task(self._exchange.run(config.loaded_app), name="websocket"))

    def accept(self, upgrade: Upgrade, headers: Headers, *, deflate: bool = True) -> None:
        """Answers the handshake with 101; without ``deflate``, compression is not agreed to."""
        if self._state is not _State.OPENING:
            return
        compression = None
        offered = deflate and self.config.ws_per_message_deflate
        if offered and (agreed := negotiate(upgrade.extensions)) is not None:
            answer, compression = agreed
            headers.append((b"sec-websocket-extensions", answer.encode()))
        self._transport.write(accept_response(upgrade, [*self._server_state.default_headers, *headers]))
        self.framing = FRAMINGS[compression]
        self._parser = FrameParser(self.config.ws_max_size, compression)
        self._state = _State.OPEN
        self._borrow_socket()
        interval = self.config.ws_ping_interval
        if interval:
            heartbeat = _heartbeats.get(self._server_state)
            if heartbeat is None:
                heartbeat = Heartbeat(interval, self.config.ws_ping_timeout)
                _heartbeats[self._server_state] = heartbeat
            self._heartbeat = heartbeat
            heartbeat.add(self)
        if self._early:
            early, self._early = self._early, b""
            self.loop.call_soon(self.data_received, early)

    def refuse(self, status: int, headers: Headers, body: bytes) -> None:
        """Answers the handshake with a response other than 101."""
        if self._state is _State.OPENING:
            self._state = _State.CLOSING
            self._transport.write(response(status, headers, body))
            self._close_timer = Deadline(self.loop, _CLOSE_TIMEOUT, self.abort)
            self._transport.close()

    # Messages from the peer

    def _on_events(self, events: Sequence[Any], size: int) -> None:
        """Sorts what the parser found: messages go on in one piece, control frames are dealt with here."""
        messages: list[Payload] = []
        last = None
        for event in events:
            kind = type(event)
            if kind is str or kind is bytes:
                messages.append(event)
            elif kind is Ping:
                if self.paused:
                    self._pong = event.payload
                else:
                    self._transport.write(pong_frame(event.payload))
            elif kind is Pong:
                if event.payload == self.ping_payload:
                    self.ping_payload = None
            else:
                last = event
        if self._peer is not None:
            if self.framing is not PLAIN:
                # The rates are on what the handler gets, as where a server decompresses out of sight.
                size = max(size, sum(map(size_of, messages)))
            self._peer.on_messages(messages, len(events), size)
        elif messages and self._exchange is not None:
            self._exchange.on_messages(messages)
            if self.reading and self._exchange.waiting > self.config.ws_max_queue:
                self.reading = False
                self._transport.pause_reading()
        if last is None or self._state is not _State.OPEN:
            return
        if type(last) is Close:
            self._on_close(last)
            return
        fault = _FAULTS[last.code](last.reason)
        if messages and self._exchange is not None:
            # The app may still answer what came before the fault, which is in its order then.
            self._late_fault = fault
            self._parser = None
            self._close_timer = Deadline(self.loop, _CLOSE_TIMEOUT, self.on_idle)
        else:
            self._fail(fault)

    def on_idle(self) -> None:
        """The app has taken all that came before a fault, or has had the time for it."""
        fault, self._late_fault = self._late_fault, None
        if fault is not None:
            self._fail(fault)

    def on_received(self, left: int) -> None:
        """The app took an event and ``left`` are waiting."""
        if not self.reading and left <= self.config.ws_max_queue // 2:
            self.reading = True
            self._transport.resume_reading()

    def _on_close(self, close: Close) -> None:
        self._leave_open()
        self._state = _State.CLOSING
        self._transport.write(close_frame(close.code, ""))
        self._part()
        self._tell_lost(Goodbye(close.code, close.reason, "peer"))

    def _on_data_after_close(self, data: bytes) -> None:
        self._after_close += len(data)
        if self._after_close > _THROWN_AWAY:
            self._transport.pause_reading()
        elif self._parser is not None:
            if any(type(event) is Close for event in self._parser.receive_data(data)):
                self._transport.close()
            elif self._after_close > _READ_AFTER_CLOSE:
                self._go_deaf()

    # Transport: what the hub calls

    @property
    def attached(self) -> bool:
        """Whether messages go to a peer instead of the app's ``receive``."""
        return self._exchange is None

    def attach(self, peer: Peer, policy: Policy) -> None:
        """Takes the connection over, after the accept: from now on ``peer`` gets what comes, by ``policy``."""
        assert self._exchange is not None
        self._peer = peer
        self._policy = policy
        if self._parser is not None:
            self._parser.max_size = policy.max_message_size
        messages, goodbye = self._exchange.take_over()
        if self._state is _State.OPEN:
            if self._heartbeat is not None:
                self._heartbeat.discard(self)
            self._heartbeat = policy.heartbeat
            if self._heartbeat is not None:
                self._heartbeat.add(self)
            if not self.reading:
                self.reading = True
                self._transport.resume_reading()
        self._exchange = None
        if messages:
            peer.on_messages(messages, len(messages), sum(map(size_of, messages)))
        if self._state is not _State.OPEN:
            peer.on_lost(goodbye or Goodbye(1006, "", "peer"))

    def push(self, batch: bytes) -> None:
        write_now = self.write_now
        if write_now is not None:
            try:
                sent = write_now(batch)
            except OSError:
                sent = 0
            if sent == len(batch):
                return
            batch = batch[sent:]
        elif self._state is not _State.OPEN:
            return
        policy = self._policy
        if self.paused and policy is not None:
            queued = self._transport.get_write_buffer_size() + len(batch)
            if queued > policy.max_queued_bytes:
                if self._peer is not None:
                    self._peer.on_fault(Slow(f"more than {policy.max_queued_bytes} bytes behind"))
                return
            policy.backlog.note(self, queued)
        self._transport.write(batch)

    async def send(self, batch: bytes) -> None:
        self.push(batch)
        if self.paused:
            await self.drain()

    async def drain(self) -> None:
        """Waits until nothing waits in the socket's buffer, or the connection is no longer open."""
        while self.paused and self._state is _State.OPEN:
            if self._drained is None:
                self._drained = self.loop.create_future()
            await asyncio.shield(self._drained)

    def close(self, code: int, reason: str) -> None:
        if self._state is _State.OPEN:
            frame = close_frame(code, reason)
            self._leave_open()
            self._state = _State.CLOSING
            self._transport.write(frame)
            self._start_close_timer()
            if not self.reading:
                self._transport.resume_reading()

    def hang_up(self) -> None:
        if self._state is _State.OPEN:
            self._leave_open()
            self._state = _State.CLOSING
            self._part()

    def abort(self) -> None:
        self._transport.abort()

    async def serve(self) -> None:
        """Nothing to wait for, as in ``settle``."""

    async def settle(self) -> None:
        """Nothing to wait for: the connection ends by itself, without the endpoint."""

    def give_up(self, fault: Disconnect) -> None:
        if self._peer is not None:
            self._peer.on_fault(fault)

    def ping(self, payload: bytes) -> None:
        if self.reading:
            self._transport.write(ping_frame(payload))
        else:
            # The app is behind and reading pauses, so that an answer would not be seen.
            self.ping_payload = None

    def on_silence(self) -> None:
        if not self.reading and self._heartbeat is not None:
            self.ping_payload = None
            self._heartbeat.add(self)
            return
        self._fail(Unresponsive("no answer to a ping"))
        self.abort()

    def on_app_done(self, *, failed: bool, accepted: bool) -> None:
        """The app's task ends: it has returned or raised. Who has attached stays."""
        self._server_state.tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))
        if not accepted and self._state is _State.OPENING:
            body = b"Internal Server Error"
            headers = [
                (b"content-type", b"text/plain"),
                (b"content-length", b"21"),
                (b"connection", b"close"),
            ]
            self.refuse(500, headers, body)
        elif not self.attached:
            if failed:
                self._fail(HandlerFailed("internal error"))
            else:
                self.close(1000, "")

    # Ends

    def _fail(self, fault: Disconnect) -> None:
        """Ends the connection for a reason of ours; for a broken stream that means to stop listening."""
        if self._state is not _State.OPEN:
            return
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.on_fault(fault)
        # Whoever has attached has closed by now, behind what it still owed; this is for the others.
        self.close(fault.code, fault.reason)
        if isinstance(fault, ProtocolViolation | InvalidMessage | MessageTooLarge | Restarting):
            self._go_deaf()
        if self._exchange is not None:
            self._exchange.on_disconnect(fault.goodbye())

    def _tell_lost(self, goodbye: Goodbye) -> None:
        """Tells whom the connection belongs to that it ends; a peer is told once, and then let go."""
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.on_lost(goodbye)
        elif self._exchange is not None:
            self._exchange.on_disconnect(goodbye)

    def _leave_open(self) -> None:
        self._release_socket()
        if self._heartbeat is not None:
            self._heartbeat.discard(self)
            self._heartbeat = None

    def _go_deaf(self) -> None:
        """Parses no more, and shows the peer by the end of our stream that all is said."""
        self._parser = None
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def _part(self) -> None:
        """Closes behind what is queued: the server does so first (RFC 6455 §7.1.1)."""
        self._start_close_timer()
        self._transport.close()

    def _start_close_timer(self) -> None:
        if self._close_timer is not None:
            self._close_timer.cancel()
        timeout = self._policy.close_timeout if self._policy is not None else _CLOSE_TIMEOUT
        self._close_timer = Deadline(self.loop, timeout, self.abort)

    def _borrow_socket(self) -> None:
        """Writes to the socket directly from now on, if it is a plain one and the connection is open."""
        ours = self._transport.get_extra_info("socket")
        if self._state is _State.OPEN and ours is not None and not is_ssl(self._transport):
            direct = socket.SocketType(ours.family, ours.type, ours.proto, ours.fileno())
            direct.setblocking(False)
            self.write_now = direct.send

    def _release_socket(self) -> None:
        """Leaves the writing to the transport, which may have something in its buffer, and owns the descriptor."""
        if self.write_now is not None:
            self.write_now.__self__.detach()  # type: ignore[attr-defined]
            self.write_now = None

    def _wake(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None


@functools.lru_cache(maxsize=128)
def _shared(address: tuple[str, int | None] | None) -> tuple[str, int | None] | None:
    """One object for equal addresses: a server has few, and each connection keeps one."""
    return address


@functools.cache
def _asgi(version: str) -> dict[str, str]:
    """One object for all connections, as above: it only states a fact."""
    return {"version": version, "spec_version": "2.4"}
