"""The contract between the hub and how bytes reach one peer."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from hubbub.errors import Disconnect, Goodbye
from hubbub.hub.backlog import Backlog
from hubbub.hub.heartbeat import Heartbeat
from hubbub.protocol.publication import Payload

_log = logging.getLogger("hubbub")

AT_ONCE = 16 * 1024
"""Bytes on their way to a peer that do not delay what is sent behind them."""


class Framing(ABC):
    """How payloads become what a kind of transport writes; one per kind, shared by its transports."""

    @abstractmethod
    def join(self, payloads: Sequence[Payload]) -> Any:
        """One batch for all ``payloads``, made once for every receiver of this framing."""

    def push_all(self, batch: Any, receivers: "Iterable[Transport]") -> None:
        """Pushes a batch to receivers of this framing; what one of them raises reaches no other."""
        for receiver in receivers:
            try:
                receiver.push(batch)
            except Exception:
                drop_broken(receiver)


class Peer(Protocol):
    """What a transport tells about its peer. None of these raises or blocks."""

    def on_messages(self, messages: Sequence[Payload], count: int, size: int) -> None:
        """Messages came, in order. ``count`` and ``size`` (bytes) include control frames, for the rates."""

    def on_lost(self, goodbye: Goodbye) -> None:
        """The connection has ended or is ending, from outside the hub. Called at most once."""

    def on_fault(self, fault: Disconnect) -> None:
        """The connection must end, and the reason is ours: too slow, silent."""


class Policy(NamedTuple):
    """What the hub asks of every transport that it attaches to."""

    max_message_size: int
    max_queued_bytes: int
    close_timeout: float
    ping_interval: float
    ping_timeout: float
    heartbeat: Heartbeat | None
    """The wheel that pings the peer; None where whoever attaches does that in its own protocol."""
    backlog: Backlog


class Transport(ABC):
    """One peer's connection: exactly one bounded queue towards it, and a way out that always works.

    A batch that comes when nothing waits is taken whatever its size; ``max_queued_bytes`` bounds what is pushed
    behind it, or behind an answer. So what makes a peer slow is what piles up while it does not get on, not the
    size of one message. A peer that takes nothing at all is given up by the ``Backlog``.

    A transport belongs to one event loop and is used from there alone.
    """

    __slots__ = ()

    framing: Framing
    """How batches for ``push`` are made."""

    @abstractmethod
    def attach(self, peer: Peer, policy: Policy) -> None:
        """From now on ``peer`` is told what comes, and ``policy`` is kept."""

    @abstractmethod
    def push(self, batch: Any) -> None:
        """Queues a batch. Returns at once, whatever the peer does; over the bound it tells ``on_fault``."""

    def answer(self, batch: Any) -> None:
        """As ``push``, for what the peer has asked for: neither this nor what lies before it makes the peer slow.

        Whoever answers bounds an answer, and waits for ``answered`` before the next.
        """
        self.push(batch)

    @property
    def answering(self) -> bool:
        """Whether more than a little of the last answer still waits for the peer."""
        return False

    async def answered(self) -> None:  # noqa: B027 - nothing to wait for where an answer is never on its way
        """Waits while that is so, and the connection is open."""

    @abstractmethod
    async def send(self, batch: Any) -> None:
        """As ``push``, and waits while the peer is behind."""

    @abstractmethod
    def close(self, code: int, reason: str) -> None:
        """Sends a close frame behind what is queued; aborts when ``close_timeout`` has passed."""

    @abstractmethod
    def hang_up(self) -> None:
        """Ends the connection behind what is queued, without a close frame; aborts after ``close_timeout``."""

    @abstractmethod
    def abort(self) -> None:
        """Drops the connection and what is queued, now."""

    @abstractmethod
    def give_up(self, fault: Disconnect) -> None:
        """Tells ``on_fault``: what waits for the peer is too much, or cannot be written for it."""

    def waiting(self) -> int:
        """Bytes that wait for the peer on our side."""
        return 0

    def progress(self) -> int:
        """A number that grows whenever the peer takes something of what was sent."""
        return 0

    def reach(self) -> int:
        """What ``progress`` will be at least when the peer has taken all that was sent so far; 0 if that is soon."""
        return 0

    @abstractmethod
    async def serve(self) -> None:
        """After ``attach``: waits for as long as the endpoint must live for the connection to."""

    @abstractmethod
    async def settle(self) -> None:
        """After ``close``: waits for as long as the endpoint must live for the close frame to get out."""


def drop_broken(transport: Transport) -> None:
    """Logs the exception at hand and drops the connection that raised it."""
    _log.exception("a receiver could not be written to; its connection is dropped")
    transport.abort()
