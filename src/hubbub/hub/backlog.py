"""What waits for slow receivers: the total of all queues, its bound, and who does not get on at all."""

import asyncio
from typing import Protocol

from hubbub.errors import Disconnect, Slow
from hubbub.hub.deadlines import blocked


class Waiting(Protocol):
    """Something with a queue that can be given up."""

    def waiting(self) -> int:
        """Bytes that wait in the queue."""

    def progress(self) -> int:
        """A number that grows whenever the peer takes something of what was sent."""

    def give_up(self, fault: Disconnect) -> None:
        """Drops the queue and the connection behind it."""


class _Delay:
    """How far one receiver is behind, and since when it has taken nothing."""

    __slots__ = ("progress", "queued", "since")

    def __init__(self, progress: int, since: float) -> None:
        self.queued = 0
        self.progress = progress
        self.since = since


class Backlog:
    """Adds up the queued bytes of the receivers that are behind; those that keep up cost nothing here.

    A publication that waits for many receivers is counted for each, though its bytes are shared: the bound
    is on what would have to be sent, which is what an amplification attack multiplies.

    Args:
        limit: bytes that may wait for all together.
        patience: seconds in which each must take something. One that does not is given up, a quarter of that
            later at most.
    """

    __slots__ = ("_delays", "_due", "_timer", "limit", "patience", "total")

    def __init__(self, limit: int, patience: float) -> None:
        self.limit = limit
        self.total = 0
        self.patience = patience
        self._delays: dict[Waiting, _Delay] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def note(self, receiver: Waiting, queued: int) -> None:
        """``receiver`` now has ``queued`` bytes waiting; over the total, those furthest behind are given up."""
        delay = self._delays.get(receiver)
        if delay is None:
            loop = asyncio.get_running_loop()
            delay = self._delays[receiver] = _Delay(receiver.progress(), loop.time())
            if self._timer is None:
                self._arm(loop)
        self.total += queued - delay.queued
        delay.queued = queued
        if self.total > self.limit:
            self._relieve()

    def clear(self, receiver: Waiting) -> None:
        """Nothing waits for ``receiver`` any more."""
        delay = self._delays.pop(receiver, None)
        if delay is not None:
            self.total -= delay.queued
            if not self._delays and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def __len__(self) -> int:
        return len(self._delays)

    def _relieve(self) -> None:
        # Down to somewhat less than the limit, so that the search for the worst is not made at every write.
        enough = self.limit - self.limit // 10
        for receiver in sorted(self._delays, key=lambda receiver: self._delays[receiver].queued, reverse=True):
            if self.total <= enough:
                return
            if receiver in self._delays:
                self._give_up(receiver, f"all receivers together are more than {self.limit} bytes behind")

    def _look_after(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        lost = blocked(now - self._due, self.patience / 4)  # what a peer was ready to take then was not written
        self._arm(loop)
        for receiver in tuple(self._delays):
            if receiver in self._delays:  # else it went with one before it
                self._look_at(receiver, self._delays[receiver], now, lost)

    def _look_at(self, receiver: Waiting, delay: _Delay, now: float, lost: float) -> None:
        waiting = receiver.waiting()
        if not waiting:
            self.clear(receiver)
            return
        self.total += waiting - delay.queued  # what the server had in its own buffer may have gone unseen
        delay.queued = waiting
        delay.since += lost
        progress = receiver.progress()
        if progress != delay.progress:
            delay.progress, delay.since = progress, now
        elif now - delay.since >= self.patience:
            self._give_up(receiver, f"took nothing for {self.patience:g} seconds")

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + self.patience / 4
        self._timer = loop.call_at(self._due, self._look_after)

    def _give_up(self, receiver: Waiting, reason: str) -> None:
        self.clear(receiver)
        receiver.give_up(Slow(reason))
