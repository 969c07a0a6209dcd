"""One plain WebSocket, handled by user code: what ``hub.connect`` gives.

Theory of operation. The transport calls in (``on_messages``, ``on_lost``, ``on_fault``); the body of the
``async with`` block reads from the inbox. Whatever ends the connection goes through ``_end``, once: it notes
the goodbye, leaves the channels and ends the body. A body that waits for a message sees its loop end. One
that has never read (a loop of sends) is cancelled at once. One that reads, and is busy, has ``leave_grace``
seconds to work off what its peer had sent, and is cancelled then. The cancellation is ours, so it stops at
the end of the block, as that of ``asyncio.timeout`` does.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeVar

from starlette.exceptions import WebSocketException
from starlette.websockets import WebSocketDisconnect

from hubbub.errors import (
    Disconnect,
    Goodbye,
    HandlerFailed,
    InboxFull,
    InvalidMessage,
    UsageError,
    WrongMessageType,
)
from hubbub.hub.cancellation import is_stray
from hubbub.hub.deadlines import Deadline
from hubbub.hub.encodings import plain
from hubbub.hub.reading import Reading
from hubbub.hub.threads import ensure_on_loop, from_thread
from hubbub.hub.transport import Transport
from hubbub.identifiers import ensure_text
from hubbub.protocol.frames import fitting_reason
from hubbub.protocol.publication import Payload, encode, size_of

if TYPE_CHECKING:
    from hubbub.hub.engine import Engine

_log = logging.getLogger("hubbub")

Message_co = TypeVar("Message_co", covariant=True)

_SENDS_A_TURN = 64


class ClientInfo(NamedTuple):
    """Who a client is. ``id`` is new for each connection; ``user`` and ``data`` are what ``connect`` was given."""

    id: str
    user: str
    address: str
    path: str
    subprotocol: str | None
    data: Any
    connected_at: float
    """Seconds since the epoch."""


class Client(Generic[Message_co]):
    """A connected WebSocket. Iterate it for messages, send to it, let it join channels.

    Iteration ends when the connection does, and never raises for it. Any task of the hub's event loop may call
    ``send``, ``join``, ``leave`` and ``close``; only the body iterates. From a thread use ``send_sync``, and for
    the other methods ``hub.run_sync(client.join, "lobby")``.
    """

    __slots__ = (
        "__weakref__",
        "_backlog",
        "_cancelled",
        "_cancelling",
        "_channels",
        "_context",
        "_engine",
        "_grace",
        "_inbox",
        "_inbox_bytes",
        "_loop_ended",
        "_rate",
        "_reading",
        "_reads",
        "_task",
        "_transport",
        "_turns",
        "_waiter",
        "goodbye",
        "info",
    )  # fmt: skip

    def __init__(self, engine: "Engine", transport: Transport, info: ClientInfo, reading: Reading) -> None:
        self.info = info
        self.goodbye: Goodbye | None = None
        """How the connection ended; None while it lives."""
        self._context = engine.contexts.current()
        self._engine = engine
        self._transport = transport
        self._reading = reading
        self._channels: set[str] | None = None
        # Two lists instead of a deque, which takes 600 bytes even when empty: messages are put into the
        # inbox, and taken from the backlog, which is the inbox of before, turned round.
        self._inbox: list[Payload] = []
        self._backlog: list[Payload] = []
        self._inbox_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._reads = False
        self._loop_ended = False
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False
        self._cancelling = 0
        self._turns = 0
        self._grace: Deadline | None = None
        self._rate = engine.client_rates.limit(engine.loop.time())

    # What the body uses

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message_co:
        """The next message, as text, bytes or parsed JSON, as ``receive`` of ``connect`` asked for."""
        ensure_on_loop(self._engine, "client.__anext__")
        self._reads = True
        while not self._backlog:
            if self._inbox:
                self._backlog, self._inbox = self._inbox, self._backlog
                self._backlog.reverse()
            elif self.goodbye is not None:
                self._loop_ended = True
                raise StopAsyncIteration
            elif self._waiter is not None:
                raise UsageError("two tasks iterate one client; let one of them read and hand the messages on")
            else:
                # Not in a coroutine of its own, which every idle client would hold.
                waiter = self._waiter = self._engine.loop.create_future()
                try:
                    await waiter
                finally:
                    self._waiter = None
        message = self._backlog.pop()
        self._inbox_bytes -= size_of(message)
        parse = self._reading.parse
        if parse is None:
            return message  # type: ignore[return-value]
        try:
            return parse(message)  # type: ignore[arg-type, no-any-return]
        except InvalidMessage as fault:
            self._discard()
            self.on_fault(fault)
            raise StopAsyncIteration from None

    async def send(self, data: Any) -> None:
        """Sends one message: text and bytes as such, everything else as JSON text.

        Waits while the peer is behind, so that a loop of sends goes at the peer's pace. Sending to a client
        that is gone does nothing.

        Raises:
            UsageError: ``data`` has no JSON form, or this is not the hub's event loop (then: ``send_sync``).
        """
        ensure_on_loop(self._engine, "client.send", "client.send_sync")
        payload = encode(data)
        transport = self._transport
        if self.goodbye is None:
            await transport.send(transport.framing.join((payload,)))
            # A peer that keeps up never makes a loop of sends wait: the other clients need their turn.
            self._turns += 1
            if self._turns == _SENDS_A_TURN:
                self._turns = 0
                await asyncio.sleep(0)
        else:
            # Gives way, so that a loop of sends can be cancelled.
            await asyncio.sleep(0)

    def send_sync(self, data: Any, timeout: float | None = 10.0) -> None:
        """As ``send``, from any other thread: a sync function, a worker, a callback.

        Raises:
            UsageError: as ``send``; and on the event loop's own thread, which must not block.
            TimeoutError: the message was not sent within ``timeout`` seconds; it may be sent yet.
        """
        from_thread(self._engine, partial(self.send, data), timeout, "client.send_sync")

    async def join(self, channel: str) -> None:
        """From its return on the client receives what is published to ``channel``. Joining twice is joining once.

        Raises:
            UsageError: ``channel`` is no text, or this is not the hub's event loop (then: ``hub.run_sync``).
        """
        ensure_on_loop(self._engine, "client.join")
        ensure_text(channel, "channel")
        if self.goodbye is not None:
            return
        if self._channels is None:
            self._channels = set()
        self._channels.add(channel)
        try:
            await self._engine.join(channel, self._transport, plain(self._transport.framing))
        except BaseException:
            self._channels.discard(channel)
            raise
        if self.goodbye is not None:
            await self._engine.leave(channel, self._transport)

    async def leave(self, channel: str) -> None:
        """The client receives no more of ``channel``; what was published before still arrives.

        Raises:
            UsageError: ``channel`` is no text, or this is not the hub's event loop (then: ``hub.run_sync``).
        """
        ensure_on_loop(self._engine, "client.leave")
        ensure_text(channel, "channel")
        if self._channels and channel in self._channels:
            self._channels.discard(channel)
            await self._engine.leave(channel, self._transport)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Says goodbye: the peer gets a close frame behind all that was sent; iteration ends.

        A close frame has room for 123 bytes of UTF-8 as the reason: a longer one is cut, between characters.

        Raises:
            UsageError: ``code`` may not be sent (RFC 6455 §7.4: 1000 to 1003, 1007 to 1014, 3000 to 4999), or this
                is not the hub's event loop (then: ``hub.run_sync``).
        """
        ensure_on_loop(self._engine, "client.close")
        if not _may_be_sent(code):
            raise UsageError(f"{code} is no close code that may be sent; use 1000 or one from 4000 to 4999")
        self.end(code, reason)

    # What the hub calls

    @property
    def id(self) -> str:
        """As in ``info``."""
        return self.info.id

    def end(self, code: int, reason: str) -> None:
        """As ``close``, with a code that may be sent."""
        self._end(Goodbye(code, reason, "app"))

    # What the transport calls

    def on_messages(self, messages: Sequence[Payload], count: int, size: int) -> None:
        if self.goodbye is not None:
            return
        if self._rate is not None:
            exceeded = self._rate.spend(count, size, self._engine.loop.time())
            if exceeded is not None:
                self.on_fault(exceeded)
                return
        settings = self._engine.settings
        expected = self._reading.frame
        for message in messages:
            if type(message) is not expected:
                self.on_fault(WrongMessageType(f"this endpoint reads {self._reading.name} messages"))
                break
            self._inbox.append(message)
            # Not ``size``: control frames wait for nobody.
            self._inbox_bytes += size_of(message)
        waiting = len(self._inbox) + len(self._backlog)
        if waiting > settings.max_inbox_messages or self._inbox_bytes > settings.max_inbox_bytes:
            self.on_fault(InboxFull(f"{waiting} messages wait for the handler"))
        else:
            self._wake()

    def on_lost(self, goodbye: Goodbye) -> None:
        self._end(goodbye)

    def on_fault(self, fault: Disconnect) -> None:
        self._end(fault.goodbye(), fault)

    # The life of the block

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task is not None else 0
        if self.goodbye is not None:
            self._stop_body()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        task, self._task = self._task, None
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        ours = False
        stray = is_stray(error)
        if self._cancelled and task is not None:
            # As asyncio.timeout does: the cancellation is ours alone if nobody else has asked for one.
            ours = task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError)
        swallow = ours or (isinstance(error, WebSocketDisconnect) and self.goodbye is not None)
        if error is None or swallow:
            self._end(Goodbye(1000, "", "app"))
        elif isinstance(error, WebSocketException) and _may_be_sent(error.code):
            self._end(Goodbye(error.code, error.reason, "app"))
            swallow = True
        elif isinstance(error, Exception) or stray:
            _log.error("client %s: the handler of %s failed", self.info.id, self.info.path, exc_info=error)
            mark_logged(error)
            self._end(HandlerFailed("internal error").goodbye())
            # FastAPI would close with the code that may not be sent.
            swallow = isinstance(error, WebSocketException)
        else:
            self._end(Goodbye(1001, "going away", "hub"))
        await self._transport.settle()
        return swallow

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _discard(self) -> None:
        self._inbox.clear()
        self._backlog.clear()

    def _end(self, goodbye: Goodbye, fault: Disconnect | None = None) -> None:
        if self.goodbye is not None:
            return
        self.goodbye = goodbye._replace(reason=fitting_reason(goodbye.reason))
        self._context.copy().run(self._engine.forget, self, self._transport, self._channels or (), fault)
        self._stop_body()

    def _stop_body(self) -> None:
        self._wake()
        task = self._task
        if task is None or self.goodbye is None:
            return
        if self.goodbye.by == "app" and task is asyncio.current_task():
            return
        delay = self._engine.settings.leave_grace if self._reads else 0.0
        self._grace = Deadline(self._engine.loop, delay, self._cancel_body)

    def _cancel_body(self) -> None:
        if self._task is not None and not self._cancelled:
            self._cancelled = True
            self._task.cancel()
            if self._loop_ended:
                _log.warning(
                    "client %s (%s): the code after its loop is cancelled, %g s after the connection ended; "
                    "HUBBUB_LEAVE_GRACE gives it longer",
                    self.info.id,
                    self.info.path,
                    self._engine.settings.leave_grace,
                )


def _may_be_sent(code: int) -> bool:
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def mark_logged(error: BaseException) -> None:
    """Notes on ``error`` that the hub has logged it, so that nobody needs to again."""
    with suppress(AttributeError):
        error._hubbub_logged = True  # type: ignore[attr-defined]


def is_logged(error: BaseException) -> bool:
    """Whether the hub has logged ``error``."""
    return getattr(error, "_hubbub_logged", False)
