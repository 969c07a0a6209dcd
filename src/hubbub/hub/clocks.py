"""Watches the two clocks of a hub, twice a second while there are connections: the event loop's and the wall's.

A timer that comes late shows that the loop was blocked. Nobody was read meanwhile, and what peers sent in that time
comes all at once, so it must not count as a flood of theirs. A wall clock that has moved apart from the loop's clock
shows a jump (NTP, a virtual machine that was resumed): deadlines that tokens set are due at another moment then.
"""

import asyncio
from collections import deque
from collections.abc import Callable

_TICK = 0.5
"""Seconds between two looks. Shorter stalls may go unnoticed: the burst of the rates covers them."""
_REMEMBERED = 60.0
"""Seconds that a stall counts for, and the most that all of them count."""
_JUMP = 1.0
"""Seconds by which the clocks may move apart."""


class Clocks:
    """What the clocks of one hub have shown lately.

    Args:
        wall: seconds since the epoch.
        on_jump: called when the wall clock has jumped, at most half a second later.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, wall: Callable[[], float], on_jump: Callable[[], None]) -> None:
        self._loop = loop
        self._wall = wall
        self._on_jump = on_jump
        self._watchers = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due = float("inf")
        self._offset = 0.0
        self._stalls: deque[tuple[float, float]] = deque()
        self._stalled = 0.0

    def watch(self) -> None:
        """Counts in a connection, for which the clocks are to be watched."""
        self._watchers += 1
        if self._timer is None:
            now = self._loop.time()
            self._offset = self._wall() - now
            self._set(now)

    def unwatch(self) -> None:
        """Counts one out."""
        self._watchers -= 1
        if not self._watchers:
            self.stop()

    def stop(self) -> None:
        """Watches no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._due = float("inf")

    def stalled(self, now: float) -> float:
        """Seconds in which nobody was read, of the last minute: the stalls that are over, and one that just ends."""
        if now <= self._due:
            return self._stalled
        return min(_REMEMBERED, self._stalled + now - self._due)

    def _set(self, now: float) -> None:
        self._due = now + _TICK
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        late, stalls = now - self._due, self._stalls
        if late > 0:
            stalls.append((now, late))
        while stalls and stalls[0][0] <= now - _REMEMBERED:
            stalls.popleft()
        self._stalled = min(_REMEMBERED, sum(seconds for _, seconds in stalls))
        self._set(now)
        offset = self._wall() - now
        if abs(offset - self._offset) > _JUMP:
            self._offset = offset
            self._on_jump()
