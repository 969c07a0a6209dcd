"""Deadlines of sessions, from one timer: to the second, and without an object for each."""

import asyncio
import heapq
import logging
import math
from typing import Protocol

from hubbub.hub.deadlines import blocked

_log = logging.getLogger("hubbub")

_TICK = 1.0
"""Seconds after which it is looked whether the event loop was blocked."""
_SPARE = 64
"""Seconds without a sleeper that are not worth forgetting."""


class Sleeper(Protocol):
    """Something with a deadline."""

    def on_alarm(self) -> None:
        """The deadline has passed. Setting a new one is up to the sleeper."""


class Alarms:
    """Wakes each of its sleepers at most a second after its deadline. Those without one cost nothing.

    A deadline is put off by the time in which the event loop was blocked: see ``deadlines``.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due: dict[int, set[Sleeper]] = {}
        self._of: dict[Sleeper, int] = {}
        self._seconds: list[int] = []  # a heap of the keys of _due, and of some that were
        self._timer: asyncio.TimerHandle | None = None
        self._armed_at = self._timer_at = 0.0
        self._blocked = 0.0  # seconds, in all; the due seconds are those of a clock that stood still meanwhile

    def set(self, sleeper: Sleeper, when: float) -> None:
        """Wakes ``sleeper`` at ``when``, by the loop's clock, in place of what was set before."""
        self.clear(sleeper)
        second = math.ceil(when - self._blocked)
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

    def _arm(self, least: float = 0.0) -> None:
        now = self._loop.time()
        first = min(max(self._seconds[0] + self._blocked, now + least), now + _TICK)
        if self._timer is not None:
            if self._timer_at <= first:
                return
            self._timer.cancel()
        self._armed_at, self._timer_at = now, first
        self._timer = self._loop.call_at(first, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._loop.time()
        lost = blocked(now - self._timer_at, self._timer_at - self._armed_at)
        self._blocked += lost
        now -= self._blocked
        while self._seconds and self._seconds[0] <= now:
            second = heapq.heappop(self._seconds)
            for sleeper in self._due.pop(second, ()):
                # Unless one of those before it has cleared it, or put it off.
                if self._of.get(sleeper) == second:
                    del self._of[sleeper]
                    self._wake(sleeper)
        if self._seconds:
            self._arm(_TICK if lost else 0.0)  # else a loop that is blocked all the time would never get there

    def _wake(self, sleeper: Sleeper) -> None:
        try:
            sleeper.on_alarm()
        except Exception:
            _log.exception("a deadline could not be kept")
