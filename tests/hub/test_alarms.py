"""Deadlines: nobody is woken early, nor more than a second late, and nobody who has not asked."""

import asyncio
import gc
import weakref
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.clock import Clock

from hubbub.hub.alarms import Alarms


class Sleeper:
    """Notes when it was woken, and may do something then."""

    def __init__(self, clock: Clock, reaction: Callable[[], object] = lambda: None) -> None:
        self._clock = clock
        self._reaction = reaction
        self.woken: list[float] = []

    def on_alarm(self) -> None:
        self.woken.append(self._clock.time())
        self._reaction()


async def sleep_until(clock: Clock, when: float) -> None:
    await asyncio.sleep(when - clock.time())


@pytest.mark.parametrize("delay", [0.0, 0.2, 0.999, 1.0, 1.001, 3600.5])
def test_a_sleeper_is_woken_once_and_within_a_second_of_its_deadline(clock: Clock, delay: float) -> None:
    async def scenario() -> None:
        alarms, sleeper = Alarms(), Sleeper(clock)
        await sleep_until(clock, 1000.3)
        deadline = clock.time() + delay
        alarms.set(sleeper, deadline)
        await sleep_until(clock, deadline + 10)
        assert len(sleeper.woken) == 1
        assert deadline <= sleeper.woken[0] <= deadline + 1

    clock.run(scenario())


def test_a_deadline_that_has_passed_is_told_at_once(clock: Clock) -> None:
    async def scenario() -> None:
        alarms, sleeper = Alarms(), Sleeper(clock)
        alarms.set(sleeper, clock.time() - 5)
        await sleep_until(clock, clock.time() + 0.1)
        assert len(sleeper.woken) == 1

    clock.run(scenario())


def test_a_new_deadline_takes_the_place_of_the_old_one(clock: Clock) -> None:
    async def scenario() -> None:
        alarms, later, sooner = Alarms(), Sleeper(clock), Sleeper(clock)
        start = clock.time()
        alarms.set(later, start + 5)
        alarms.set(later, start + 50)
        alarms.set(sooner, start + 50)
        alarms.set(sooner, start + 5)
        await sleep_until(clock, start + 100)
        assert later.woken == [start + 50]
        assert sooner.woken == [start + 5]

    clock.run(scenario())


def test_a_sleeper_that_is_cleared_sleeps_on(clock: Clock) -> None:
    async def scenario() -> None:
        alarms, one, other = Alarms(), Sleeper(clock), Sleeper(clock)
        alarms.set(one, clock.time() + 5)
        alarms.set(other, clock.time() + 5)
        alarms.clear(one)
        alarms.clear(one)
        alarms.clear(Sleeper(clock))
        await sleep_until(clock, clock.time() + 10)
        assert (len(one.woken), len(other.woken)) == (0, 1)

    clock.run(scenario())


def test_one_timer_serves_all_and_none_is_left_behind(clock: Clock) -> None:
    async def scenario() -> None:
        alarms = Alarms()
        sleepers = [Sleeper(clock) for _ in range(50)]
        for number, sleeper in enumerate(sleepers):
            alarms.set(sleeper, clock.time() + 50 - (number * 7) % 50)
        assert clock.timers() == 1
        await sleep_until(clock, clock.time() + 100)
        assert all(len(sleeper.woken) == 1 for sleeper in sleepers)
        assert clock.timers() == 0

    clock.run(scenario())


def test_a_sleeper_may_set_a_new_deadline_when_it_is_woken(clock: Clock) -> None:
    async def scenario() -> None:
        alarms = Alarms()
        sleeper = Sleeper(clock, lambda: len(sleeper.woken) < 3 and alarms.set(sleeper, clock.time() + 2))
        start = clock.time()
        alarms.set(sleeper, start + 2)
        await sleep_until(clock, start + 100)
        assert sleeper.woken == [start + 2, start + 4, start + 6]

    clock.run(scenario())


def test_a_sleeper_may_clear_another_that_is_due_with_it(clock: Clock) -> None:
    async def scenario() -> None:
        alarms = Alarms()
        pair: list[Sleeper] = []
        pair += [Sleeper(clock, lambda: alarms.clear(pair[1])), Sleeper(clock, lambda: alarms.clear(pair[0]))]
        for sleeper in pair:
            alarms.set(sleeper, clock.time() + 1)
        await sleep_until(clock, clock.time() + 10)
        assert sum(len(sleeper.woken) for sleeper in pair) == 1

    clock.run(scenario())


def test_a_sleeper_may_put_off_another_that_is_due_with_it(clock: Clock) -> None:
    async def scenario() -> None:
        alarms = Alarms()
        start = clock.time()
        pair: list[Sleeper] = []

        def put_off_the_others() -> None:
            for sleeper in pair:
                if not sleeper.woken:
                    alarms.set(sleeper, start + 30)

        pair += [Sleeper(clock, put_off_the_others), Sleeper(clock, put_off_the_others)]
        for sleeper in pair:
            alarms.set(sleeper, start + 1)
        await sleep_until(clock, start + 100)
        assert sorted(sleeper.woken for sleeper in pair) == [[start + 1], [start + 30]]

    clock.run(scenario())


def test_a_stop_wakes_nobody_any_more(clock: Clock) -> None:
    async def scenario() -> None:
        alarms, sleeper = Alarms(), Sleeper(clock)
        alarms.stop()
        alarms.set(sleeper, clock.time() + 1)
        alarms.stop()
        await sleep_until(clock, clock.time() + 10)
        assert sleeper.woken == []
        assert clock.timers() == 0

    clock.run(scenario())


def test_what_was_woken_or_cleared_is_not_held(clock: Clock) -> None:
    async def scenario() -> None:
        alarms = Alarms()
        woken, cleared = Sleeper(clock), Sleeper(clock)
        alarms.set(woken, clock.time() + 1)
        alarms.set(cleared, clock.time() + 1)
        alarms.clear(cleared)
        held = [weakref.ref(woken), weakref.ref(cleared)]
        await sleep_until(clock, clock.time() + 5)
        del woken, cleared
        gc.collect()
        assert [one() for one in held] == [None, None]

    clock.run(scenario())


def test_deadlines_far_away_that_are_cleared_take_no_room(clock: Clock) -> None:
    async def scenario() -> None:
        alarms, stays = Alarms(), Sleeper(clock)
        start = clock.time()
        alarms.set(stays, start + 5000)
        for number in range(1000):
            sleeper = Sleeper(clock)
            alarms.set(sleeper, start + 10_000 + number)
            alarms.clear(sleeper)
        for number in range(1000):
            alarms.set(stays, start + 30_000 + number)
        alarms.set(stays, start + 5000)
        assert len(alarms._due) == 1
        assert len(alarms._seconds) < 100
        await sleep_until(clock, start + 40_000)
        assert stays.woken == [start + 5000]
        assert (len(alarms._due), alarms._seconds) == (0, [])

    clock.run(scenario())


def test_a_sleeper_that_fails_disturbs_nobody(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise OSError("broken pipe")

    async def scenario() -> None:
        alarms = Alarms()
        start = clock.time()
        sleepers = [Sleeper(clock, fail), Sleeper(clock, fail), Sleeper(clock)]
        for sleeper in sleepers[:2]:
            alarms.set(sleeper, start + 1)
        alarms.set(sleepers[2], start + 5)
        await sleep_until(clock, start + 10)
        assert [sleeper.woken for sleeper in sleepers] == [[start + 1], [start + 1], [start + 5]]

    clock.run(scenario())
    assert caplog.text.count("a deadline could not be kept") == 2
    assert "broken pipe" in caplog.text


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 20) | st.none(), st.floats(0, 8)), max_size=15))
def test_whatever_is_set_and_cleared_each_is_woken_by_its_last_deadline(
    moves: list[tuple[int, float | None, float]],
) -> None:
    with Clock() as clock:

        async def scenario() -> None:
            alarms = Alarms()
            sleepers = [Sleeper(clock) for _ in range(4)]
            deadlines: dict[int, float] = {}
            for number, delay, pause in moves:
                if sleepers[number].woken:
                    deadlines.pop(number, None)
                    sleepers[number].woken.clear()
                if delay is None:
                    alarms.clear(sleepers[number])
                    deadlines.pop(number, None)
                else:
                    deadlines[number] = clock.time() + delay
                    alarms.set(sleepers[number], deadlines[number])
                await sleep_until(clock, clock.time() + pause)
            await sleep_until(clock, clock.time() + 30)
            for number, sleeper in enumerate(sleepers):
                due = deadlines.get(number)
                assert len(sleeper.woken) == (due is not None)
                assert due is None or due <= sleeper.woken[0] <= due + 1.000001

        clock.run(scenario())


def test_the_time_in_which_the_loop_was_blocked_does_not_count(clock: Clock) -> None:
    async def scenario() -> None:
        alarms, sleeper = Alarms(), Sleeper(clock)
        began = clock.time()
        alarms.set(sleeper, began + 10)
        await asyncio.sleep(4)
        clock.block(30)
        await asyncio.sleep(5)
        assert sleeper.woken == []
        await asyncio.sleep(60)
        assert sleeper.woken == [pytest.approx(began + 40, abs=1.5)]

    clock.run(scenario())


def test_whatever_comes_while_the_loop_is_blocked_is_read_before_the_shortest_deadline(clock: Clock) -> None:
    async def scenario() -> None:
        for phase in (0.01, 0.3, 0.6, 0.99):
            alarms, sleeper = Alarms(), Sleeper(clock)
            alarms.set(sleeper, clock.time() + 1)
            await asyncio.sleep(phase)
            clock.block(3)
            await asyncio.sleep(0.3)
            assert sleeper.woken == []
            alarms.clear(sleeper)
            await asyncio.sleep(2)

    clock.run(scenario())


def test_deadlines_pass_though_the_loop_is_blocked_again_and_again(clock: Clock) -> None:
    async def scenario() -> None:
        alarms, sleeper = Alarms(), Sleeper(clock)
        alarms.set(sleeper, clock.time() + 10)
        for _ in range(60):
            clock.block(2)
            await asyncio.sleep(0)
        assert len(sleeper.woken) == 1

    clock.run(scenario())
