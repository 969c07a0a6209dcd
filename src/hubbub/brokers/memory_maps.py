"""The maps of the embedded broker.

Theory of operation. The entries of a map stand in the order in which they were put, and all have the same time to
live: so the first is the first to expire. A heap has the moments at which maps are looked at for that, and one timer
waits for the first of them. An entry that was put anew meanwhile only makes the look come too early.
"""

import asyncio
import math
import secrets
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from hubbub.brokers.base import NO_GUARD, Deliver, Guard
from hubbub.brokers.log import Epochs, Log, Once
from hubbub.brokers.maps import MapRetention, Maps, Only, Outcome, Page, Suppressed, removal
from hubbub.errors import UsageError
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Publication

_ROUND = 0.1
"""Seconds between two looks for what has expired, so that many removals go out together."""


class _Entry(NamedTuple):
    publication: Publication
    expires_at: float
    version: int
    version_epoch: str


class _Map:
    """The entries of one channel, and the stream of what changed."""

    __slots__ = ("_keys", "_retention", "entries", "log", "looked_at")

    def __init__(self, retention: MapRetention, epoch: str) -> None:
        self.entries: dict[str, _Entry] = {}  # the first to expire first
        self._keys: list[str] = []  # in their order
        self._retention = retention
        self.log = Log(epoch)
        self.looked_at = math.inf
        """When it is looked at for what has expired."""

    def put(self, publication: Publication, guard: Guard, now: float) -> Publication:
        """Makes a publication the entry of its key; returns it as it is delivered."""
        key = publication.key
        before = self.entries.get(key)
        version, version_epoch = guard.version, guard.version_epoch
        if before is not None and not version:
            version, version_epoch = before.version, before.version_epoch
        if before is None:
            insort(self._keys, key)
        publication = self._append(publication, now)
        self._keep(key, _Entry(publication, 0.0, version, version_epoch), now)
        return publication if before is None else publication._replace(before=before.publication)

    def touch(self, key: str, now: float) -> None:
        """Makes an entry live as long as if it had been put."""
        self._keep(key, self.entries[key], now)

    def remove(self, key: str, now: float) -> Publication:
        """Removes an entry; returns the change as it is delivered."""
        removed = self.entries.pop(key).publication
        del self._keys[bisect_left(self._keys, key)]
        return self._append(removal(removed), now)._replace(before=removed)

    def page(self, after: str, limit: int | None) -> Page:
        first = bisect_right(self._keys, after) if after else 0
        keys = self._keys[first : None if limit is None else first + limit]
        more = bool(keys) and first + len(keys) < len(self._keys)
        return Page([self.entries[key].publication for key in keys], self.log.position, keys[-1] if more else "")

    def keys_from_the_last(self) -> list[str]:
        """All keys, in the order in which removing them is cheapest."""
        return self._keys[::-1]

    def use(self, now: float) -> None:
        """Puts off the moment when the position is forgotten."""
        if self._retention.stream:
            self.log.idle_until = now + (self._retention.meta_ttl or math.inf)

    @property
    def expires_at(self) -> float:
        """When its first entry expires; where it has none, when all of it does."""
        return next((entry.expires_at for entry in self.entries.values()), self.log.idle_until)

    def _append(self, change: Publication, now: float) -> Publication:
        self.use(now)
        retention = self._retention
        return self.log.append(change, retention.stream, retention.stream_ttl, now) if retention.stream else change

    def _keep(self, key: str, entry: _Entry, now: float) -> None:
        self.entries.pop(key, None)
        self.entries[key] = entry._replace(expires_at=now + (self._retention.key_ttl or math.inf))


def _why_not(known: _Entry | None, guard: Guard, only: Only) -> Suppressed:
    """Why an entry is not to be put where another one, or none, is."""
    if known is None:
        return "key_not_found" if only == "if_exists" else ""
    if guard.version and guard.version_epoch in ("", known.version_epoch) and guard.version <= known.version:
        return "version"
    return "key_exists" if only in ("if_new", "touch") else ""


class MemoryMaps(Maps):
    """Maps in the memory of this process."""

    def __init__(self, clock: Callable[[], float], max_idle: int) -> None:
        self._clock = clock
        self._max_idle = max_idle
        self._subscribed: dict[str, str] = {}
        """The channels that have subscribers, and the epoch that they began with."""
        self._deliver: Deliver | None = None
        self._maps: dict[str, _Map] = {}
        self._idle_maps: dict[str, None] = {}
        """Those without an entry and without a subscriber, in the order in which they became so."""
        self._changed = Once()
        self._looks: list[tuple[float, str]] = []  # a heap of when, at which map
        self._timer: asyncio.TimerHandle | None = None
        self._epochs = Epochs()
        self._streamless_epoch = secrets.token_hex(4)

    async def put_entry(
        self,
        channel: str,
        entry: Publication,
        retention: MapRetention,
        guard: Guard = NO_GUARD,
        only: Only = "",
        most: int = 0,
    ) -> Outcome:
        deliver, now, once = self._running, self._clock(), Guard(guard.idempotency_key)
        done = self._changed.find(channel, once, now)
        if done is not None:
            return Outcome(done, "idempotency")
        map_ = self._maps.get(channel) or _Map(retention, self._epoch_of(channel, retention))
        known = map_.entries.get(entry.key)
        why_not = _why_not(known, guard, only)
        if known is None and 0 < most <= len(map_.entries):
            why_not = why_not or "full"
        if why_not:
            if only == "touch" and known is not None:
                map_.touch(entry.key, now)
            return Outcome(map_.log.position, why_not)
        self._maps[channel] = map_
        self._use_map(channel)
        change = map_.put(entry, guard, now)
        position = map_.log.position
        self._changed.note(channel, once, position, now)
        deliver(channel, change)
        self._look_in_time(channel, map_)
        return Outcome(position)

    async def remove_entry(self, channel: str, key: str, retention: MapRetention, guard: Guard = NO_GUARD) -> Outcome:
        deliver, now, once = self._running, self._clock(), Guard(guard.idempotency_key)
        done = self._changed.find(channel, once, now)
        if done is not None:
            return Outcome(done, "idempotency")
        map_ = self._maps.get(channel)
        if map_ is None or key not in map_.entries:
            return Outcome(Position(0, "") if map_ is None else map_.log.position, "key_not_found")
        change = map_.remove(key, now)
        position = map_.log.position
        self._changed.note(channel, once, position, now)
        deliver(channel, change)
        self._look(channel, map_, now)
        return Outcome(position)

    async def entries(
        self, channel: str, retention: MapRetention, after: str = "", limit: int | None = None, *, key: str = ""
    ) -> Page:
        map_ = self._maps.get(channel)
        if map_ is None:
            return Page((), self._position(channel, retention))
        map_.use(self._clock())
        if key:
            entry = map_.entries.get(key)
            return Page(() if entry is None else (entry.publication,), map_.log.position)
        return map_.page(after, limit)

    async def changes(
        self,
        channel: str,
        retention: MapRetention,
        since: Position | None = None,
        limit: int | None = None,
        *,
        reverse: bool = False,
    ) -> tuple[Sequence[Publication], Position]:
        map_ = self._maps.get(channel)
        if map_ is None:
            return (), self._position(channel, retention)
        now = self._clock()
        map_.use(now)
        return map_.log.read(since, limit, now, reverse=reverse)

    async def count_entries(self, channel: str) -> int:
        map_ = self._maps.get(channel)
        return 0 if map_ is None else len(map_.entries)

    async def clear_entries(self, channel: str) -> None:
        deliver = self._running
        map_ = self._maps.get(channel)
        if map_ is not None:
            now = self._clock()
            for key in map_.keys_from_the_last():
                deliver(channel, map_.remove(key, now))
            self._forget_map(channel)

    @property
    def _running(self) -> Deliver:
        if self._deliver is None:
            raise UsageError("the hub is not running: give FastAPI its lifespan, FastAPI(lifespan=hub.lifespan)")
        return self._deliver

    def _epoch_of(self, channel: str, retention: MapRetention) -> str:
        """That of a map which is not there yet."""
        return self._first_epoch(channel) if retention.stream else self._streamless_epoch

    def _first_epoch(self, channel: str) -> str:
        """That of a channel which is not there yet. While it has subscribers, it stays what they were told."""
        return self._subscribed.get(channel) or self._epochs.of(channel)

    def _forget_position(self, channel: str) -> None:
        """The channel begins with another epoch when it is used again."""
        self._epochs.forget(channel)
        if channel in self._subscribed:
            self._subscribed[channel] = self._epochs.of(channel)

    def _position(self, channel: str, retention: MapRetention) -> Position:
        map_ = self._maps.get(channel)
        return Position(0, self._epoch_of(channel, retention)) if map_ is None else map_.log.position

    # What expires

    def _look_in_time(self, channel: str, map_: _Map) -> None:
        when = map_.expires_at
        if when < map_.looked_at:
            map_.looked_at = when
            heappush(self._looks, (when, channel))
            if self._looks[0][0] == when:
                self._wait(0.0)

    def _look(self, channel: str, map_: _Map, now: float) -> None:
        """Removes what has expired of a map, and forgets it when it is empty and its position has expired too."""
        while map_.entries and map_.expires_at <= now:
            self._running(channel, map_.remove(next(iter(map_.entries)), now))
        if map_.expires_at <= now:
            self._forget_map(channel)
        else:
            self._look_in_time(channel, map_)
            self._leave_map(channel)

    def _wait(self, at_least: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        delay = max(self._looks[0][0] - self._clock(), at_least)
        self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def _wake(self) -> None:
        self._timer = None
        now = self._clock()
        while self._looks and self._looks[0][0] <= now:
            _, channel = heappop(self._looks)
            map_ = self._maps.get(channel)
            if map_ is not None and map_.looked_at <= now:
                map_.looked_at = math.inf
                self._look(channel, map_, now)
        if self._looks:
            self._wait(_ROUND)

    # What nobody uses

    def _use_map(self, channel: str) -> None:
        """A map has an entry or a subscriber."""
        self._idle_maps.pop(channel, None)

    def _leave_map(self, channel: str) -> None:
        """A map may have lost the last of both. Where too many are idle, that which is so for longest is forgotten."""
        map_ = self._maps.get(channel)
        if map_ is not None and not map_.entries and channel not in self._subscribed:
            self._idle_maps[channel] = None
            if len(self._idle_maps) > self._max_idle:
                self._forget_map(next(iter(self._idle_maps)))

    def _forget_map(self, channel: str) -> None:
        self._idle_maps.pop(channel, None)
        if self._maps.pop(channel).log.idle_until:
            self._forget_position(channel)

    def _forget_maps(self) -> None:
        self._maps.clear()
        self._idle_maps.clear()
        self._looks.clear()
        self._streamless_epoch = secrets.token_hex(4)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
