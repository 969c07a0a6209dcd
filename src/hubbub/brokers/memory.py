"""The embedded broker: one process, nothing to install, nothing survives a restart."""

import secrets
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice

from hubbub.brokers.base import NO_GUARD, Broker, Deliver, Guard, History, Retention, Roster
from hubbub.errors import UsageError
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Member, Presence, Publication

_IDEMPOTENT_FOR = 300.0
"""Seconds that an idempotency key is remembered."""
_VERSIONS = 65_536
"""Channels whose newest version is remembered."""
_SWEEP_EVERY = 256
"""Publications with history between two looks for channels that have expired: about 1 % of their cost."""


class _Log:
    """What one channel keeps: publications and when each expires, oldest first."""

    __slots__ = ("entries", "epoch", "idle_until", "top")

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self.top = 0
        self.entries: deque[tuple[float, Publication]] = deque()
        self.idle_until = 0.0

    def drop_expired(self, now: float) -> None:
        entries = self.entries
        while entries and entries[0][0] <= now:
            entries.popleft()


class _Once:
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


class MemoryBroker(Broker, History, Roster):
    """Publications go straight to this process's hub; history is a bounded log for each channel."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deliver: Deliver | None = None
        self._logs: dict[str, _Log] = {}
        self._once = _Once()
        self._members: dict[str, dict[str, Member]] = {}
        self._until_sweep = _SWEEP_EVERY
        self._epoch = secrets.token_hex(4)

    async def start(self, deliver: Deliver) -> None:
        self._deliver = deliver

    async def stop(self) -> None:
        self._deliver = None
        self._forget(list(self._logs))

    async def subscribe(self, channel: str) -> None:
        """Nothing to do: every publication of this process is delivered here."""

    async def unsubscribe(self, channel: str) -> None:
        """Nothing to do, as in ``subscribe``."""

    async def publish(
        self, channel: str, publication: Publication, retention: Retention, guard: Guard = NO_GUARD
    ) -> Position:
        deliver = self._deliver
        if deliver is None:
            raise UsageError("the hub is not running: give FastAPI its lifespan, FastAPI(lifespan=hub.lifespan)")
        if guard is NO_GUARD and retention.size == 0:
            deliver(channel, publication)
            return Position(0, self._epoch)
        now = self._clock()
        done = self._once.find(channel, guard, now)
        if done is not None:
            return done
        if retention.size == 0:
            position = Position(0, self._epoch)
        else:
            position, publication = self._append(channel, publication, retention, now)
        if guard is not NO_GUARD:
            self._once.note(channel, guard, position, now)
        deliver(channel, publication)
        self._until_sweep -= 1
        if self._until_sweep <= 0:
            self._sweep(now)
        return position

    def _append(
        self, channel: str, publication: Publication, retention: Retention, now: float
    ) -> tuple[Position, Publication]:
        log = self._log(channel)
        log.top += 1
        log.drop_expired(now)
        publication = publication._replace(offset=log.top, epoch=log.epoch)
        log.entries.append((now + retention.ttl, publication))
        while len(log.entries) > retention.size:
            log.entries.popleft()
        log.idle_until = now + (retention.meta_ttl or 10 * retention.ttl)
        return Position(log.top, log.epoch), publication

    async def announce(self, channel: str, presence: Presence) -> None:
        if self._deliver is not None:
            self._deliver(channel, presence)

    async def history(
        self, channel: str, since: Position | None = None, limit: int | None = None, *, reverse: bool = False
    ) -> tuple[Sequence[Publication], Position]:
        log = self._logs.get(channel)
        if log is None:
            return (), Position(0, self._epoch)
        log.drop_expired(self._clock())
        top = Position(log.top, log.epoch)
        if since is not None and since.epoch not in ("", log.epoch):
            return (), top
        entries = reversed(log.entries) if reverse else iter(log.entries)
        kept = (publication for _, publication in entries)
        if since is not None:
            at = since.offset
            kept = (
                publication for publication in kept if (publication.offset < at if reverse else publication.offset > at)
            )
        return tuple(islice(kept, limit)), top

    async def remove_history(self, channel: str) -> None:
        log = self._logs.get(channel)
        if log is not None:
            log.entries.clear()

    async def enter(self, channel: str, member: Member) -> None:
        self._members.setdefault(channel, {})[member.client] = member

    async def exit(self, channel: str, client: str) -> None:
        members = self._members.get(channel, {})
        members.pop(client, None)
        if not members:
            self._members.pop(channel, None)

    async def members(self, channel: str) -> Mapping[str, Member]:
        return self._members.get(channel, {}).copy()

    def _log(self, channel: str) -> _Log:
        log = self._logs.get(channel)
        if log is None:
            # That of a position in a channel not used before, so that who stood there has missed nothing else.
            log = self._logs[channel] = _Log(self._epoch)
        return log

    def _sweep(self, now: float) -> None:
        self._until_sweep = max(_SWEEP_EVERY, len(self._logs))
        self._forget([channel for channel, log in self._logs.items() if log.idle_until <= now])

    def _forget(self, channels: Sequence[str]) -> None:
        for channel in channels:
            del self._logs[channel]
        if channels:
            self._once.forget(set(channels))
            # A channel that was forgotten and comes back must not look like the old one.
            self._epoch = secrets.token_hex(4)
