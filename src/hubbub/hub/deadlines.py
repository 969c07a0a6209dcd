"""Deadlines of peers that do not count the time in which the event loop was blocked.

While something blocks the event loop, nothing is read: what a peer sent in time waits in the kernel. When the loop goes
on it finds the deadline passed, and an event loop such as uvloop calls its timers before it reads.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

_BLOCKED = 0.25
"""Seconds: a timer that is called later than this after its time tells that the event loop was blocked."""


def blocked(late: float, period: float) -> float:
    """For how many seconds the event loop was blocked before a timer of this period that is so ``late``.

    It may have been so for most of the period as well; half of it is counted, so that time goes on even if the
    loop is blocked again and again.
    """
    return late + period / 2 if late > _BLOCKED else 0.0


class Deadline:
    """Calls a function when ``delay`` seconds are over; after a blocked loop it waits as long as the timer was late.

    In all it waits ``delay`` seconds more at most, so that it ends even if the loop is blocked again and again.
    """

    __slots__ = ("_arguments", "_callback", "_due", "_loop", "_spare", "_timer")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, delay: float, callback: Callable[..., object], *arguments: Any
    ) -> None:
        self._loop = loop
        self._spare = delay
        self._callback = callback
        self._arguments = arguments
        self._wait(delay)

    def cancel(self) -> None:
        """Does not call the function."""
        self._timer.cancel()

    def _wait(self, delay: float) -> None:
        self._due = self._loop.time() + delay
        self._timer = self._loop.call_at(self._due, self._end)

    def _end(self) -> None:
        late = self._loop.time() - self._due
        more = min(late, self._spare)
        if late > _BLOCKED and more > 0:
            self._spare -= more
            self._wait(more)
        else:
            self._callback(*self._arguments)


@contextlib.asynccontextmanager
async def deadline(delay: float, ends: set[Callable[[], None]] | None = None) -> AsyncIterator[None]:
    """As ``asyncio.timeout``, but for the time in which the event loop was blocked.

    Args:
        delay: seconds.
        ends: while it waits, this set has a function in it that ends the time early.

    Raises:
        TimeoutError: what is inside took too long.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as timeout:

        def expire() -> None:
            if not timeout.expired():
                timeout.reschedule(loop.time())

        ends = set() if ends is None else ends
        ends.add(expire)
        end = Deadline(loop, delay, expire)
        try:
            yield
        finally:
            end.cancel()
            ends.discard(expire)
