"""The two clocks of a hub: stalls of the event loop, and jumps of the wall clock."""

import asyncio
from collections.abc import Iterator

import pytest
from tests.clock import Clock, ticks

from hubbub.hub.clocks import Clocks


class Wall:
    """A wall clock that can be put forward and back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.ahead = 1_900_000_000.0

    def __call__(self) -> float:
        return self._clock.time() + self.ahead


class Watched:
    """Clocks that are watched, and the moments of jumps that they told of."""

    def __init__(self, clock: Clock) -> None:
        self.wall = Wall(clock)
        self.jumps: list[float] = []
        self.clocks = Clocks(asyncio.get_running_loop(), self.wall, lambda: self.jumps.append(clock.time()))
        self.clocks.watch()


@pytest.fixture
def clock() -> Iterator[Clock]:
    with Clock() as clock:
        yield clock


def test_a_stall_counts_from_its_end_on_and_for_a_minute(clock: Clock) -> None:
    async def scenario() -> None:
        clocks = Watched(clock).clocks
        await asyncio.sleep(10)
        assert clocks.stalled(clock.time()) == 0
        clock.block(6)
        assert 5.5 <= clocks.stalled(clock.time()) <= 6, "before any timer has had its turn"
        await ticks(2)
        assert 5.5 <= clocks.stalled(clock.time()) <= 6
        await asyncio.sleep(30)
        clock.block(3)
        assert 8 <= clocks.stalled(clock.time()) <= 9, "stalls add up"
        await asyncio.sleep(35)
        assert 2.5 <= clocks.stalled(clock.time()) <= 3
        await asyncio.sleep(30)
        assert clocks.stalled(clock.time()) == 0

    clock.run(scenario())


def test_all_stalls_together_count_for_a_minute_at_most(clock: Clock) -> None:
    async def scenario() -> None:
        clocks = Watched(clock).clocks
        clock.block(500)
        assert clocks.stalled(clock.time()) == 60
        await ticks(2)
        clock.block(50)
        assert clocks.stalled(clock.time()) == 60
        await ticks(2)
        assert clocks.stalled(clock.time()) == 60

    clock.run(scenario())


@pytest.mark.parametrize("seconds", [3600.0, -3600.0, 1.5])
def test_a_jump_of_the_wall_clock_is_told_within_half_a_second_and_once(clock: Clock, seconds: float) -> None:
    async def scenario() -> None:
        watched = Watched(clock)
        await asyncio.sleep(10)
        assert not watched.jumps
        watched.wall.ahead += seconds
        jumped = clock.time()
        await asyncio.sleep(60)
        assert len(watched.jumps) == 1
        assert watched.jumps[0] - jumped <= 0.5

    clock.run(scenario())


def test_a_blocked_loop_is_no_jump(clock: Clock) -> None:
    async def scenario() -> None:
        watched = Watched(clock)
        clock.block(100)
        await asyncio.sleep(10)
        assert not watched.jumps

    clock.run(scenario())


def test_clocks_are_watched_while_there_are_connections(clock: Clock) -> None:
    async def scenario() -> None:
        watched = Watched(clock)
        watched.clocks.watch()
        watched.clocks.unwatch()
        assert clock.timers() == 1
        watched.clocks.unwatch()
        assert clock.timers() == 0
        clock.block(100)
        watched.wall.ahead += 100
        assert watched.clocks.stalled(clock.time()) == 0, "nobody was there"
        watched.clocks.watch()
        await asyncio.sleep(1)
        assert watched.clocks.stalled(clock.time()) == 0
        assert not watched.jumps
        watched.clocks.stop()
        watched.clocks.stop()
        assert clock.timers() == 0

    clock.run(scenario())
