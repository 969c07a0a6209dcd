"""The contract of brokers. Abilities that not every broker has are small contracts of their own."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from hubbub.protocol.position import Position
from hubbub.protocol.publication import Event, Member, Presence, Publication

Deliver = Callable[[str, Event], None]
"""Called by a broker with channel and event, on the hub's event loop, publications in offset order per channel.

It never blocks and never raises."""


class Retention(NamedTuple):
    """How much of a channel is kept: at most ``size`` publications, none older than ``ttl`` seconds.

    Offset and epoch are kept for ``meta_ttl`` seconds after the last use, so that a client that was away learns
    exactly what it missed, or that it cannot be known; 0 is ten times ``ttl``.
    """

    size: int
    ttl: float
    meta_ttl: float = 0.0


class Guard(NamedTuple):
    """What makes a repeated publication harmless.

    A publication whose ``idempotency_key`` was used in its channel during the last five minutes is not made
    again. One whose ``version`` is not above the newest of the same ``version_epoch`` in its channel is dropped;
    versions are of what the history keeps, so that of a publication that is not kept neither counts nor is remembered.
    """

    idempotency_key: str = ""
    version: int = 0
    version_epoch: str = ""


NO_GUARD = Guard()


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
    async def publish(
        self, channel: str, publication: Publication, retention: Retention, guard: Guard = NO_GUARD
    ) -> Position:
        """Publishes to every subscribed hub, and appends to the history where ``retention`` keeps any.

        ``publication`` comes without offset and epoch, which the history gives it. Where ``guard`` holds it
        back, the position is that of the publication made before.
        """

    @abstractmethod
    async def announce(self, channel: str, presence: Presence) -> None:
        """Tells every subscribed hub who came or left. Nothing of it is kept."""

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

        With ``reverse`` the newest come first, and ``since`` gives those before it. A ``since`` of another epoch
        matches nothing: the caller sees the other epoch in the position. An empty epoch matches any.
        """

    @abstractmethod
    async def remove_history(self, channel: str) -> None:
        """Forgets the kept publications; offsets go on."""


class Roster(ABC):
    """The ability to say who is in a channel, on all hubs."""

    @abstractmethod
    async def enter(self, channel: str, member: Member) -> None:
        """Adds a member, by its client id."""

    @abstractmethod
    async def exit(self, channel: str, client: str) -> None:
        """Removes a member."""

    @abstractmethod
    async def members(self, channel: str) -> Mapping[str, Member]:
        """Who is in the channel, by client id."""
