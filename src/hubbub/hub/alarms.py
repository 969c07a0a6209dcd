"""Deadlines of sessions, from one timer: to the second, and without an object for each."""

import asyncio
import heapq
import math
from typing import Protocol


class Sleeper(Protocol):
    """Something with a deadline."""

    def on_alarm(self) -> None:
        """The deadline has passed. Setting a new one is up to the sleeper."""


class Alarms:
    """Wakes each of its sleepers at most a second after its deadline. Those without one cost nothing."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due: dict[int, set[Sleeper]] = {}
        self._of: dict[Sleeper, int] = {}
        self._seconds: list[int] = []  # a heap of the keys of _due
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0

    def set(self, sleeper: Sleeper, when: float) -> None:
        """Wakes ``sleeper`` at ``when``, by the loop's clock, in place of what was set before."""
        self.clear(sleeper)
        second = math.ceil(when)
        due = self._due.get(second)
        if due is None:
            due = self._due[second] = set()
            heapq.heappush(self._seconds, second)
            self._arm()
        due.add(sleeper)
        self._of[sleeper] = second

    def clear(self, sleeper: Sleeper) -> None:
        """Does not wake ``sleeper``."""
        second = self._of.pop(sleeper, None)
        if second is not None:
            self._due[second].discard(sleeper)

    def stop(self) -> None:
        """Wakes nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        first = self._seconds[0]
        if self._timer is not None:
            if self._timer_at <= first:
                return
            self._timer.cancel()
        self._timer_at = first
        self._timer = self._loop.call_at(first, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._seconds and self._seconds[0] <= now:
            for sleeper in self._due.pop(heapq.heappop(self._seconds)):
                if self._of.pop(sleeper, None) is not None:
                    sleeper.on_alarm()
        if self._seconds:
            self._arm()
