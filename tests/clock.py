"""An event loop whose time travels: what it would wait for has come, and no second passes."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

Result = TypeVar("Result")

REAL_DEADLINE = 10.0
"""Real seconds to wait for another thread, when the loop itself has nothing to do."""
LIFE_TIME = 7 * 24 * 3600.0
"""Seconds on the travelling clock after which a loop is taken for stuck."""


class TravellingSelector(selectors.DefaultSelector):
    """Adds what it is asked to wait to the clock, instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.started = self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            # Nothing is due, ever: only another thread can go on from here.
            ready = super().select(REAL_DEADLINE)
            if not ready:
                raise AssertionError(f"the loop waits for nothing, and no thread called within {REAL_DEADLINE} s")
            return ready
        ready = super().select(0)
        if not ready:
            self.now += max(0.0, timeout)
            if self.now - self.started > LIFE_TIME:
                raise AssertionError(f"the loop still runs after {LIFE_TIME} s of travelling time")
        return ready


class TravellingLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop, on the clock of its selector."""

    def __init__(self) -> None:
        self.selector = TravellingSelector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now

    def timers(self) -> int:
        """How many timers are set."""
        return sum(not timer.cancelled() for timer in self._scheduled)  # type: ignore[attr-defined]


class Clock:
    """Runs coroutines in travelling time. Not one loop iteration, timer or time-out is skipped."""

    def __init__(self) -> None:
        self._loop = TravellingLoop()
        self._unhandled: list[dict[str, Any]] = []
        self._loop.set_exception_handler(lambda _, context: self._unhandled.append(context))

    def time(self) -> float:
        return self._loop.time()

    def timers(self) -> int:
        return self._loop.timers()

    def block(self, seconds: float) -> None:
        """Lets time pass in which the loop does nothing, as code does that blocks it."""
        self._loop.selector.now += seconds

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Runs to the end; what a task or a callback raised unseen is raised here."""
        result = self._loop.run_until_complete(coroutine)
        self._ensure_all_handled()
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends what still runs, and lets the loop go."""
        running = asyncio.all_tasks(self._loop)

        async def end() -> None:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await self._loop.shutdown_asyncgens()

        self._loop.run_until_complete(end())
        self._loop.close()
        self._ensure_all_handled()

    def _ensure_all_handled(self) -> None:
        unhandled, self._unhandled = self._unhandled, []
        for context in unhandled:
            raise AssertionError(f"nobody handled: {context}") from context.get("exception")


async def ticks(count: int = 1) -> None:
    """Lets the event loop go round ``count`` times."""
    for _ in range(count):
        await asyncio.sleep(0)
