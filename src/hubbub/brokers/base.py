"""The contract of brokers. Abilities that not every broker has are small contracts of their own."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hubbub.protocol.position import Position
from hubbub.protocol.publication import Payload, Publication

Deliver = Callable[[str, Publication], None]
"""Called by a broker with channel and publication, on the hub's event loop, in offset order per channel.

It never blocks and never raises."""


class Retention(NamedTuple):
    """How much of a channel is kept: at most ``size`` publications, none older than ``ttl`` seconds."""

    size: int
    ttl: float


class Broker(ABC):
    """Carries publications to every hub that subscribed to their channel.

    Promises: ``publish`` appends to the history and publishes as one atomic step per channel; each hub gets
    a channel's publications once and in offset order. Not promised: delivery to a hub that is cut off.
    """

    @abstractmethod
    async def start(self, deliver: Deliver) -> None:
        """Opens what it needs; from now on publications of subscribed channels go to ``deliver``."""

    @abstractmethod
    async def stop(self) -> None:
        """Closes what it opened. Stopping twice does nothing."""

    @abstractmethod
    async def publish(self, channel: str, data: Payload, retention: Retention) -> Position:
        """Publishes to every subscribed hub, and appends to the history where ``retention`` keeps any."""

    @abstractmethod
    async def subscribe(self, channel: str) -> None:
        """From its return on, publications of ``channel`` are delivered here."""

    @abstractmethod
    async def unsubscribe(self, channel: str) -> None:
        """Ends what ``subscribe`` began."""


class History(ABC):
    """The ability to hand out what a channel keeps."""

    @abstractmethod
    async def history(
        self, channel: str, since: Position | None = None, limit: int | None = None, *, reverse: bool = False
    ) -> tuple[Sequence[Publication], Position]:
        """Kept publications after ``since`` (all, without it), at most ``limit``, and the channel's top.

        A ``since`` of another epoch matches nothing: the caller sees the other epoch in the position.
        """

    @abstractmethod
    async def remove_history(self, channel: str) -> None:
        """Forgets the kept publications; offsets go on."""
