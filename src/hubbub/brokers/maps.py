"""The contract of brokers that keep maps: entries by key, and a stream of what changed in them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, NamedTuple

from hubbub.brokers.base import NO_GUARD, Guard
from hubbub.protocol.position import Position
from hubbub.protocol.publication import NO_DATA, Publication

Only = Literal["", "if_new", "if_exists", "touch"]
"""When an entry is put: always; if there is none of its key; if there is one. ``touch`` is ``if_new``, and an entry
that is there lives as long as if it had been put."""
Suppressed = Literal["", "idempotency", "version", "key_exists", "key_not_found", "full"]
"""Why nothing was done: put or removed under this idempotency key before; a newer version is there; an entry of this
key is there, or none is; the map has as many entries as it may. Empty: it was done."""


class MapRetention(NamedTuple):
    """How long a map's entries are kept, and how much of what changed. It is the same for all uses of one channel.

    An entry is there for ``key_ttl`` seconds after it was put or touched (0: until it is removed). The stream has the
    newest ``stream`` changes, none older than ``stream_ttl`` seconds; with 0, changes have no offset, and
    the epoch is always the same. Offset and epoch are kept for ``meta_ttl`` seconds after the last use (0: for ever),
    and as long as there are entries.
    """

    key_ttl: float = 0.0
    stream: int = 0
    stream_ttl: float = 60.0
    meta_ttl: float = 0.0


class Outcome(NamedTuple):
    """What came of a change: the map's position behind it, or that of the change that made it needless."""

    position: Position
    suppressed: Suppressed = ""


class Page(NamedTuple):
    """Entries of a map, and the position that they are the state at."""

    entries: Sequence[Publication]
    position: Position
    cursor: str = ""
    """The key after which the next page begins; empty where this is the last."""


def removal(entry: Publication) -> Publication:
    """The change that removes an entry."""
    return Publication(NO_DATA, key=entry.key, removed=True, tags=entry.tags)


class Maps(ABC):
    """The ability to keep maps.

    Promises: a change of an entry, its place in the stream and its delivery are one atomic step per channel; each
    hub that subscribed to the channel gets its changes once and in order, each with the entry ``before`` it. An
    entry that has expired is removed within a second, as by ``remove_entry``; until then it is there.

    Changes are publications with a ``key``. A removal has no data and the tags of what it removes.
    """

    @abstractmethod
    async def put_entry(
        self,
        channel: str,
        entry: Publication,
        retention: MapRetention,
        guard: Guard = NO_GUARD,
        only: Only = "",
        most: int = 0,
    ) -> Outcome:
        """Makes ``entry``, which comes without offset and epoch, the one of its key.

        The version of ``guard`` counts for the key alone, and stays where an entry without one is put. With ``most``,
        an entry of another key is not put where there are so many.
        """

    @abstractmethod
    async def remove_entry(self, channel: str, key: str, retention: MapRetention, guard: Guard = NO_GUARD) -> Outcome:
        """Removes the entry of ``key``. Of ``guard``, the idempotency key counts.

        Where there is no map at all, nothing is begun: the position has no epoch.
        """

    @abstractmethod
    async def entries(
        self, channel: str, retention: MapRetention, after: str = "", limit: int | None = None, *, key: str = ""
    ) -> Page:
        """The entries behind the key ``after``, in ascending order of code points; or the one of ``key``."""

    @abstractmethod
    async def changes(
        self,
        channel: str,
        retention: MapRetention,
        since: Position | None = None,
        limit: int | None = None,
        *,
        reverse: bool = False,
    ) -> tuple[Sequence[Publication], Position]:
        """What the stream has, as ``History.history``."""

    @abstractmethod
    async def count_entries(self, channel: str) -> int:
        """How many entries there are."""

    @abstractmethod
    async def clear_entries(self, channel: str) -> None:
        """Removes every entry, as by ``remove_entry``, and forgets the map: the next change is in another epoch."""
