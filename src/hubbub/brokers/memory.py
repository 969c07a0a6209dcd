"""The embedded broker: one process, nothing to install, nothing survives a restart."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from hubbub.brokers.base import NO_GUARD, Broker, Deliver, Guard, History, Retention, Roster
from hubbub.brokers.log import Epochs, Log, Once
from hubbub.brokers.memory_maps import MemoryMaps
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Member, Presence, Publication

_SWEEP_EVERY = 256
"""Publications with history between two looks for channels that have expired: about 2 % of their cost."""
_SWEEP_AFTER = 1.0
"""Seconds after which it is looked for them at the earliest, where publications are too few or end."""
_SWEEP_SHARE = 0.1
"""What such looks take of the CPU time, at most."""


class MemoryBroker(MemoryMaps, Broker, History, Roster):
    """Publications go straight to this process's hub; history is a bounded log for each channel.

    Args:
        clock: seconds, for what expires.
        max_idle_channels: how many channels that are empty and have no subscriber have their position remembered. Of
            more, those used longest ago are forgotten, and begin with a new epoch when they are used again. So clients
            that name channels cannot fill the memory.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, max_idle_channels: int = 10_000) -> None:
        super().__init__(clock, max_idle_channels)
        self._logs: dict[str, Log] = {}
        self._once = Once()
        self._members: dict[str, dict[str, Member]] = {}
        self._until_sweep = _SWEEP_EVERY
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self, deliver: Deliver) -> None:
        self._deliver = deliver

    async def stop(self) -> None:
        self._deliver = None
        self._forget(list(self._logs))
        self._forget_maps()
        self._epochs = Epochs()
        self._members.clear()
        self._subscribed.clear()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._once = Once()

    async def subscribe(self, channel: str) -> None:
        """Every publication of this process is delivered here anyway; from now on the channel is not idle."""
        self._subscribed[channel] = self._epochs.of(channel)
        self._use_map(channel)

    async def unsubscribe(self, channel: str) -> None:
        """Ends what ``subscribe`` began."""
        self._subscribed.pop(channel, None)
        self._leave_map(channel)

    async def publish(
        self, channel: str, publication: Publication, retention: Retention, guard: Guard = NO_GUARD
    ) -> Position:
        deliver = self._running
        if retention.size == 0:
            if not guard.idempotency_key:
                deliver(channel, publication)
                return Position(0, self._first_epoch(channel))
            guard = Guard(guard.idempotency_key)
        now = self._clock()
        done = self._once.find(channel, guard, now)
        if done is not None:
            return done
        if retention.size == 0:
            position = Position(0, self._first_epoch(channel))
        else:
            log = self._log(channel)
            publication = log.append(publication, retention.size, retention.ttl, now)
            log.idle_until = now + (retention.meta_ttl or 10 * retention.ttl)
            position = log.position
        if guard != NO_GUARD:
            self._once.note(channel, guard, position, now)
        deliver(channel, publication)
        self._until_sweep -= 1
        if self._until_sweep <= 0:
            self._sweep(now)
        if self._sweeper is None and retention.size:
            self._sweep_in(retention.ttl)
        return position

    async def announce(self, channel: str, presence: Presence) -> None:
        if self._deliver is not None:
            self._deliver(channel, presence)

    async def history(
        self, channel: str, since: Position | None = None, limit: int | None = None, *, reverse: bool = False
    ) -> tuple[Sequence[Publication], Position]:
        log = self._logs.get(channel)
        if log is None:
            return (), Position(0, self._first_epoch(channel))
        return log.read(since, limit, self._clock(), reverse=reverse)

    async def remove_history(self, channel: str) -> None:
        log = self._logs.get(channel)
        if log is not None:
            log.clear()

    async def enter(self, channel: str, member: Member) -> None:
        self._members.setdefault(channel, {})[member.client] = member

    async def exit(self, channel: str, client: str) -> None:
        members = self._members.get(channel, {})
        members.pop(client, None)
        if not members:
            self._members.pop(channel, None)

    async def members(self, channel: str) -> Mapping[str, Member]:
        return self._members.get(channel, {}).copy()

    def _log(self, channel: str) -> Log:
        log = self._logs.get(channel)
        if log is None:
            # That of a position in a channel not used before, so that who stood there has missed nothing else.
            log = self._logs[channel] = Log(self._first_epoch(channel))
        return log

    def _sweep_in(self, delay: float) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(max(delay, _SWEEP_AFTER), self._sweep_up)

    def _sweep_up(self) -> None:
        """Forgets what has expired, though nobody publishes."""
        self._sweeper = None
        began = time.thread_time()
        now = self._clock()
        self._sweep(now)
        ends = [log.expires_at for log in self._logs.values()]
        if ends:
            self._sweep_in(max(min(ends) - now, (time.thread_time() - began) / _SWEEP_SHARE))

    def _sweep(self, now: float) -> None:
        self._until_sweep = max(_SWEEP_EVERY, len(self._logs) // 2)
        for log in self._logs.values():
            log.expire(now)
        self._forget([channel for channel, log in self._logs.items() if log.idle_until <= now])
        idle = [channel for channel, log in self._logs.items() if not len(log) and channel not in self._subscribed]
        if len(idle) > self._max_idle:
            idle.sort(key=lambda channel: self._logs[channel].idle_until)
            self._forget(idle[: len(idle) - self._max_idle])

    def _forget(self, channels: Sequence[str]) -> None:
        for channel in channels:
            del self._logs[channel]
            self._forget_position(channel)
        if channels:
            self._once.forget(set(channels))
