"""Deadlines of peers: what was sent in time counts, though the event loop was blocked when it came."""

import asyncio

import pytest
from tests.clock import Clock, ticks

from hubbub.hub.deadlines import Deadline, deadline


def test_it_calls_back_once_when_its_time_is_over(clock: Clock) -> None:
    async def scenario() -> None:
        called: list[tuple[float, str]] = []
        Deadline(asyncio.get_running_loop(), 10, lambda name: called.append((clock.time(), name)), "head")
        began = clock.time()
        await asyncio.sleep(100)
        assert called == [(began + 10, "head")]

    clock.run(scenario())


@pytest.mark.parametrize(("blocked", "more"), [(3.0, 2.0), (100.0, 10.0), (1.2, 0.0)])
def test_after_a_blocked_loop_it_waits_as_long_as_it_was_late_but_not_longer_than_before(
    clock: Clock, blocked: float, more: float
) -> None:
    async def scenario() -> None:
        called: list[float] = []
        Deadline(asyncio.get_running_loop(), 10, lambda: called.append(clock.time()))
        await asyncio.sleep(9)
        clock.block(blocked)
        went_on = clock.time()
        await asyncio.sleep(100)
        assert called == [pytest.approx(went_on + more)]

    clock.run(scenario())


def test_it_ends_though_the_loop_is_blocked_again_and_again(clock: Clock) -> None:
    async def scenario() -> None:
        called: list[float] = []
        began = clock.time()
        Deadline(asyncio.get_running_loop(), 10, lambda: called.append(clock.time()))
        for _ in range(100):
            clock.block(0.5)  # each time that the loop comes to look
            await ticks(1)
        assert len(called) == 1
        assert called[0] <= began + 31

    clock.run(scenario())


def test_it_can_be_cancelled_before_and_after_it_was_put_off(clock: Clock) -> None:
    async def scenario() -> None:
        called: list[str] = []
        for blocked in (0, 20):
            one = Deadline(asyncio.get_running_loop(), 10, called.append, "x")
            clock.block(blocked)
            await ticks(3)
            one.cancel()
        await asyncio.sleep(100)
        assert called == []
        assert clock.timers() == 0

    clock.run(scenario())


def test_a_block_with_a_deadline_ends_in_time_unless_the_loop_was_blocked(clock: Clock) -> None:
    async def scenario() -> None:
        began = clock.time()
        with pytest.raises(TimeoutError):
            async with deadline(10):
                await asyncio.sleep(3600)
        assert clock.time() == began + 10
        async with deadline(10):
            clock.block(100)
            await asyncio.sleep(9)
        assert clock.timers() == 0

    clock.run(scenario())
