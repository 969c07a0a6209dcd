"""The fast path: a WebSocket protocol class for uvicorn that the hub can write finished frames to.

Theory of operation. uvicorn's HTTP protocol hands over the socket with the request that asked for the
upgrade. From then on the connection is in one of these states:

    OPENING   the app runs and has neither accepted nor refused
    OPEN      frames go both ways; messages go to the app's ``receive``, or to the peer that attached
    CLOSING   our close frame is out: nothing is written any more, what comes is read for the peer's
    CLOSED    the socket is gone

The one queue towards the peer is an ``Outbox`` of references to batches. A batch goes to the socket directly; what
the socket does not take waits in the outbox, and the event loop's transport gets the next piece when it has written
the last. Its high-water mark is at its lowest, so that ``pause_writing`` says exactly that something waits. All
that is written while it does goes through the outbox, so that nothing gets into the middle of a frame. A transport
of TLS has a second buffer below the one that it tells of; since it is given pieces, little can hide there.

A peer that has been told to go gets ``close_timeout`` seconds to do so, and is then cut off. Meanwhile what
it sends is read and thrown away: closing a socket with unread data resets it, and the peer might never see
why. uvicorn's contract with its protocol classes is not public API: ``hubbub.transports.canary`` tries it before
the first connection, and ``hubbub.wire`` has uvicorn's own classes instead where it does not hold.
"""

import asyncio
import contextlib
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
from hubbub.hub.transport import AT_ONCE, Peer, Policy, Transport
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
from hubbub.transports.outbox import Bytes, Outbox
from hubbub.transports.sockets import acknowledged, drop, send_at_once, unacknowledged

_CLOSE_TIMEOUT = 1.0
"""Seconds for the peer's close frame where no hub has attached; a hub brings its own."""
_PARTING = 0.1
"""Seconds between the close frame to a silent peer and the abort. uvloop before 0.22 writes over TLS a turn later."""
_READ_AFTER_CLOSE = 64 * 1024
"""Bytes after our close frame that are still parsed, for the peer's close frame."""
_THROWN_AWAY = 16 * 1024 * 1024
"""Bytes after our close frame that are read at all: enough for the rest of a message that was too large."""
_PIECE = 64 * 1024
"""Bytes that the event loop's transport is given at once when something waits."""
_HIDDEN = 2 * _PIECE
"""Bytes that a transport of TLS has at most in the buffer that it does not tell of: its limit, and a piece above it."""
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
        "_behind",
        "_close_timer",
        "_drained",
        "_early",
        "_exchange",
        "_heartbeat",
        "_last_act",
        "_late_fault",
        "_outbox",
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
        "ping_progress",
        "ping_reach",
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
        self._outbox: Outbox | None = None
        self._behind = 0
        """Bytes that were pushed behind the batch that came when nothing waited, or behind the last answer."""
        self._last_act: Callable[[], None] | None = None
        self._pong: bytes | None = None  # the newest ping's, while something waits: RFC 6455 §5.5.3 asks for no more
        self.reading = True
        self._drained: asyncio.Future[None] | None = None
        self._late_fault: Disconnect | None = None
        self._close_timer: Deadline | None = None
        self.ping_payload: bytes | None = None
        self.pinged_at = 0.0
        self.ping_reach = self.ping_progress = 0

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
        self._outbox = None
        self.paused = False
        self._wake()
        self._tell_lost(Goodbye(1006, "", "peer"))

    def pause_writing(self) -> None:
        self.paused = True
        self._release_socket()
        self._note()

    def resume_writing(self) -> None:
        self.paused = False
        outbox = self._outbox
        if outbox is not None:
            self._hand_on(outbox)
        if not self.paused and self._pong is not None and self._state is _State.OPEN:
            pong, self._pong = self._pong, None
            self._transport.write(pong_frame(pong))
        if self.paused:
            self._note()
            if not self.answering:
                self._wake()
            return
        self._outbox = None
        self._borrow_socket()
        if self._policy is not None:
            self._policy.backlog.clear(self)
        self._wake()
        act, self._last_act = self._last_act, None
        if act is not None:
            act()

    def _hand_on(self, outbox: Outbox) -> None:
        """Gives the event loop's transport what waits, until it has enough."""
        while outbox.size and not self.paused:
            self._transport.write(outbox.take(_PIECE))

    def _note(self) -> None:
        if self._policy is not None and self._state is _State.OPEN:
            self._policy.backlog.note(self, self.waiting())

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
                    self._write(pong_frame(event.payload))
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
        self._write(close_frame(close.code, ""))
        self._part()
        self._tell_lost(Goodbye(close.code, close.reason, "peer"))

    def _on_data_after_close(self, data: bytes) -> None:
        self._after_close += len(data)
        if self._after_close > _THROWN_AWAY:
            self._transport.pause_reading()
        elif self._parser is not None:
            if any(type(event) is Close for event in self._parser.receive_data(data)):
                self._when_written(self._transport.close)
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
            if sent != len(batch):
                self.queue(memoryview(batch)[sent:] if sent else batch)
        else:
            self.queue(batch)

    def queue(self, batch: Bytes) -> None:
        """As ``push``, for what the socket does not take at once."""
        if self._state is not _State.OPEN:
            return
        if self.paused:
            policy = self._policy
            self._behind += len(batch)
            if policy is not None and min(self._behind, self.waiting() + len(batch)) > policy.max_queued_bytes:
                self.give_up(Slow(f"more than {policy.max_queued_bytes} bytes behind"))
                return
        else:
            self._behind = 0
        self._write(batch)

    def answer(self, batch: bytes) -> None:
        sent = 0
        if self.write_now is not None:
            with contextlib.suppress(OSError):
                sent = self.write_now(batch)
        if sent != len(batch) and self._state is _State.OPEN:
            if self._outbox is None:
                self._outbox = Outbox()
            self._outbox.put_copied(memoryview(batch)[sent:])
            self._hand_on_or_wait(self._outbox)
        self._behind = 0

    @property
    def answering(self) -> bool:
        return self.paused and self.waiting() > self._behind + AT_ONCE

    async def answered(self) -> None:
        while self.answering and self._state is _State.OPEN:
            await self._until_taken()

    def waiting(self) -> int:
        waits = self._transport.get_write_buffer_size()
        return waits + self._outbox.size if self._outbox is not None else waits

    def progress(self) -> int:
        return acknowledged(self._transport)

    def reach(self) -> int:
        ahead = unacknowledged(self._transport) + self.waiting()
        if ahead <= AT_ONCE:
            return 0
        return self.progress() + ahead + (_HIDDEN if is_ssl(self._transport) else 0)

    def _write(self, data: Bytes) -> None:
        """Writes behind all that waits."""
        if not self.paused and len(data) <= _PIECE:
            self._transport.write(data)
            return
        outbox = self._outbox
        if outbox is None:
            outbox = self._outbox = Outbox()
        outbox.put(data)
        self._hand_on_or_wait(outbox)

    def _hand_on_or_wait(self, outbox: Outbox) -> None:
        self._hand_on(outbox)
        if self.paused:
            self._note()
        else:
            self._outbox = None

    def _when_written(self, act: Callable[[], None]) -> None:
        """Does something behind all that waits."""
        if self._outbox is not None and self._outbox.size:
            self._last_act = act
        else:
            act()

    async def send(self, batch: bytes) -> None:
        self.push(batch)
        if self.paused:
            await self.drain()

    async def drain(self) -> None:
        """Waits until nothing waits in the socket's buffer, or the connection is no longer open."""
        while self.paused and self._state is _State.OPEN:
            await self._until_taken()

    async def _until_taken(self) -> None:
        if self._drained is None:
            self._drained = self.loop.create_future()
        await asyncio.shield(self._drained)

    def close(self, code: int, reason: str) -> None:
        if self._state is _State.OPEN:
            frame = close_frame(code, reason)
            self._leave_open()
            self._state = _State.CLOSING
            self._write(frame)
            self._start_close_timer()
            if not self.reading:
                self._transport.resume_reading()

    def hang_up(self) -> None:
        if self._state is _State.OPEN:
            self._leave_open()
            self._state = _State.CLOSING
            self._part()

    def abort(self) -> None:
        self._outbox = None
        drop(self._transport)

    async def serve(self) -> None:
        """Nothing to wait for, as in ``settle``."""

    async def settle(self) -> None:
        """Nothing to wait for: the connection ends by itself, without the endpoint."""

    def give_up(self, fault: Disconnect) -> None:
        if self._peer is not None:
            self._peer.on_fault(fault)

    def ping(self, payload: bytes) -> None:
        if self.reading:
            self._write(ping_frame(payload))
        else:
            # The app is behind and reading pauses, so that an answer would not be seen.
            self.ping_payload = None

    def on_silence(self) -> None:
        if not self.reading and self._heartbeat is not None:
            self.ping_payload = None
            self._heartbeat.add(self)
            return
        self._fail(Unresponsive("no answer to a ping"))
        self._cut_off_in(_PARTING)

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
        self._when_written(self._write_end)

    def _write_end(self) -> None:
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def _part(self) -> None:
        """Closes behind what is queued: the server does so first (RFC 6455 §7.1.1)."""
        self._start_close_timer()
        self._when_written(self._transport.close)

    def _start_close_timer(self) -> None:
        self._cut_off_in(self._policy.close_timeout if self._policy is not None else _CLOSE_TIMEOUT)

    def _cut_off_in(self, seconds: float) -> None:
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._close_timer = Deadline(self.loop, seconds, self.abort)

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
