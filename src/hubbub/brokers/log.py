"""What the embedded broker remembers of a channel: its newest publications, and what was published already."""

import secrets
from collections import Counter, deque
from collections.abc import Collection, Sequence
from itertools import islice
from zlib import crc32

from hubbub.brokers.base import Guard
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Publication

_IDEMPOTENT_FOR = 300.0
"""Seconds that an idempotency key is remembered."""
_VERSIONS = 65_536
"""Channels whose newest version is remembered."""
_SHARES = 4096
"""Channels that are forgotten are counted in so many shares, instead of each."""


class Epochs:
    """The epochs that channels begin with. One that was forgotten and comes back does not look like the old one.

    Nothing is kept of a channel as such: where one is forgotten, those of its share begin with another epoch too.
    All others keep theirs, so that who stood at the beginning of an unused channel has missed nothing.
    """

    def __init__(self) -> None:
        self._first = secrets.token_hex(4)
        self._forgotten: Counter[int] = Counter()

    def of(self, channel: str) -> str:
        """That of a channel which is not there yet."""
        count = self._forgotten[_share(channel)] if self._forgotten else 0
        return f"{self._first}{count:x}" if count else self._first

    def forget(self, channel: str) -> None:
        """A channel is there no more."""
        self._forgotten[_share(channel)] += 1


def _share(channel: str) -> int:
    return crc32(channel.encode(errors="surrogatepass")) % _SHARES


class Log:
    """The publications that one channel keeps, oldest first, and its position."""

    __slots__ = ("_entries", "_epoch", "_top", "idle_until")

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self._top = 0
        self._entries: deque[tuple[float, Publication]] = deque()
        self.idle_until = 0.0
        """When the position may be forgotten."""

    @property
    def position(self) -> Position:
        return Position(self._top, self._epoch)

    def append(self, publication: Publication, size: int, ttl: float, now: float) -> Publication:
        """Keeps a publication, and forgets what is more than ``size`` or older than ``ttl``; returns it with offset."""
        self._top += 1
        self.expire(now)
        publication = publication._replace(offset=self._top, epoch=self._epoch)
        self._entries.append((now + ttl, publication))
        while len(self._entries) > size:
            self._entries.popleft()
        return publication

    def read(
        self, since: Position | None, limit: int | None, now: float, *, reverse: bool
    ) -> tuple[Sequence[Publication], Position]:
        """See ``History.history``."""
        self.expire(now)
        if since is not None and since.epoch not in ("", self._epoch):
            return (), self.position
        entries = reversed(self._entries) if reverse else iter(self._entries)
        kept = (publication for _, publication in entries)
        if since is not None:
            at = since.offset
            kept = (
                publication for publication in kept if (publication.offset < at if reverse else publication.offset > at)
            )
        return tuple(islice(kept, limit)), self.position

    def clear(self) -> None:
        """Forgets the publications; offsets go on."""
        self._entries.clear()

    def expire(self, now: float) -> None:
        """Forgets the publications that are too old."""
        entries = self._entries
        while entries and entries[0][0] <= now:
            entries.popleft()


class Once:
    """Idempotency keys and versions: what was published already."""

    def __init__(self) -> None:
        self._done: dict[tuple[str, str], tuple[float, Position]] = {}  # oldest first
        self._newest: dict[tuple[str, str], tuple[int, Position]] = {}

    def find(self, channel: str, guard: Guard, now: float) -> Position | None:
        """The position of the publication that makes another one needless."""
        while self._done and (oldest := next(iter(self._done)), self._done[oldest][0] <= now)[1]:
            del self._done[oldest]
        if guard.idempotency_key and (done := self._done.get((channel, guard.idempotency_key))):
            return done[1]
        if guard.version and (newest := self._newest.get((channel, guard.version_epoch))):
            return newest[1] if guard.version <= newest[0] else None
        return None

    def note(self, channel: str, guard: Guard, position: Position, now: float) -> None:
        """Remembers a publication."""
        if guard.idempotency_key:
            self._done[channel, guard.idempotency_key] = (now + _IDEMPOTENT_FOR, position)
        if guard.version:
            self._newest.pop((channel, guard.version_epoch), None)
            self._newest[channel, guard.version_epoch] = (guard.version, position)
            if len(self._newest) > _VERSIONS:
                del self._newest[next(iter(self._newest))]

    def forget(self, channels: Collection[str]) -> None:
        """Forgets the versions of channels."""
        for key in [key for key in self._newest if key[0] in channels]:
            del self._newest[key]
