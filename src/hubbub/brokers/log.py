"""What the embedded broker remembers of a channel: its newest publications, and what was published already."""

import secrets
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any
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
    """The publications that one channel keeps, oldest first, and its position.

    Offsets follow one another, so the place of a publication is known by its offset, however many there are.
    """

    __slots__ = ("_entries", "_epoch", "_start", "_top", "idle_until")

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self._top = 0
        self._entries: list[Any] = []
        """When a publication expires, and the publication; those before ``_start`` are forgotten."""
        self._start = 0
        self.idle_until = 0.0
        """When the position may be forgotten."""

    def __len__(self) -> int:
        return len(self._entries) - self._start

    @property
    def position(self) -> Position:
        return Position(self._top, self._epoch)

    @property
    def expires_at(self) -> float:
        """When its oldest publication does; where it has none, when the position may be forgotten."""
        return float(self._entries[self._start][0]) if len(self) else self.idle_until

    def append(self, publication: Publication, size: int, ttl: float, now: float) -> Publication:
        """Keeps a publication, and forgets what is more than ``size`` or older than ``ttl``; returns it with offset."""
        self._top += 1
        self.expire(now)
        publication = publication._replace(offset=self._top, epoch=self._epoch)
        self._entries.append((now + ttl, publication))
        if len(self) > size:
            self._forget(len(self) - size)
        return publication

    def read(
        self, since: Position | None, limit: int | None, now: float, *, reverse: bool
    ) -> tuple[Sequence[Publication], Position]:
        """See ``History.history``."""
        self.expire(now)
        if since is not None and since.epoch not in ("", self._epoch):
            return (), self.position
        low, high = 0, len(self)
        if since is not None:
            before = self._top - high  # the offset before the oldest
            if reverse:
                high = max(0, min(high, since.offset - before - 1))
            else:
                low = max(0, min(high, since.offset - before))
        if limit is not None and reverse:
            low = max(low, high - limit)
        elif limit is not None:
            high = min(high, low + limit)
        found = self._entries[self._start + low : self._start + high]
        if reverse:
            found.reverse()
        return tuple([publication for _, publication in found]), self.position

    def clear(self) -> None:
        """Forgets the publications; offsets go on."""
        self._forget(len(self))

    def expire(self, now: float) -> None:
        """Forgets the publications that are too old."""
        entries, at = self._entries, self._start
        while at < len(entries) and entries[at][0] <= now:
            at += 1
        if at > self._start:
            self._forget(at - self._start)

    def _forget(self, count: int) -> None:
        """Forgets the oldest. The list is moved up only now and then, since that takes as long as it is."""
        start = self._start
        self._entries[start : start + count] = [None] * count
        self._start = start + count
        if len(self) <= self._start:
            del self._entries[: self._start]
            self._start = 0


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
