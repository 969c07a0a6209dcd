"""Deadlines of sessions, from one timer: to the second, and without an object for each."""

import asyncio
import heapq
import logging
import math
from typing import Protocol

_log = logging.getLogger("hubbub")

_SPARE = 64
"""Seconds without a sleeper that are not worth forgetting."""


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
        self._seconds: list[int] = []  # a heap of the keys of _due, and of some that were
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
        if sleeper not in self._of:
            return
        second = self._of.pop(sleeper)
        due = self._due.get(second)
        if due is None:  # those of this second are being woken
            return
        due.discard(sleeper)
        if not due:
            del self._due[second]
            if len(self._seconds) > 2 * len(self._due) + _SPARE:
                self._seconds = sorted(self._due)

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
            second = heapq.heappop(self._seconds)
            for sleeper in self._due.pop(second, ()):
                # Unless one of those before it has cleared it, or put it off.
                if self._of.get(sleeper) == second:
                    del self._of[sleeper]
                    self._wake(sleeper)
        if self._seconds:
            self._arm()

    def _wake(self, sleeper: Sleeper) -> None:
        try:
            sleeper.on_alarm()
        except Exception:
            _log.exception("a deadline could not be kept")
