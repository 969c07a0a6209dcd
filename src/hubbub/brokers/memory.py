"""The embedded broker: one process, nothing to install, nothing survives a restart."""

import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from hubbub.brokers.base import Broker, Deliver, History, Retention
from hubbub.errors import UsageError
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Payload, Publication

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


class MemoryBroker(Broker, History):
    """Publications go straight to this process's hub; history is a bounded log for each channel.

    A channel's offset and epoch outlive its publications by ten times their age limit, so that a client that
    was away still learns exactly what it missed, or that it cannot be known.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deliver: Deliver | None = None
        self._logs: dict[str, _Log] = {}
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

    async def publish(self, channel: str, data: Payload, retention: Retention) -> Position:
        deliver = self._deliver
        if deliver is None:
            raise UsageError("the hub is not running: give FastAPI its lifespan, FastAPI(lifespan=hub.lifespan)")
        if retention.size == 0:
            deliver(channel, Publication(data))
            return Position(0, self._epoch)
        now = self._clock()
        log = self._log(channel)
        log.top += 1
        log.drop_expired(now)
        publication = Publication(data, log.top)
        log.entries.append((now + retention.ttl, publication))
        while len(log.entries) > retention.size:
            log.entries.popleft()
        log.idle_until = now + 10 * retention.ttl
        deliver(channel, publication)
        self._until_sweep -= 1
        if self._until_sweep <= 0:
            self._sweep(now)
        return Position(log.top, log.epoch)

    async def history(
        self, channel: str, since: Position | None = None, limit: int | None = None, *, reverse: bool = False
    ) -> tuple[Sequence[Publication], Position]:
        log = self._logs.get(channel)
        if log is None:
            return (), Position(0, self._epoch)
        log.drop_expired(self._clock())
        top = Position(log.top, log.epoch)
        if since is not None and since.epoch != log.epoch:
            return (), top
        entries = reversed(log.entries) if reverse else iter(log.entries)
        kept = (publication for _, publication in entries)
        if since is not None:
            after = since.offset
            kept = (publication for publication in kept if publication.offset > after)
        return tuple(islice(kept, limit)), top

    async def remove_history(self, channel: str) -> None:
        log = self._logs.get(channel)
        if log is not None:
            log.entries.clear()

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
            # A channel that was forgotten and comes back must not look like the old one.
            self._epoch = secrets.token_hex(4)
