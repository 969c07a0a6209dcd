"""What waits for all slow receivers together, and who goes when it is too much, or when it does not get on."""

import asyncio
import functools
from collections.abc import Callable
from typing import ParamSpec

from hypothesis import given
from hypothesis import strategies as st
from tests.clock import Clock

from hubbub.errors import Slow
from hubbub.hub.backlog import Backlog

Arguments = ParamSpec("Arguments")

PATIENCE = 8.0


def on_a_loop(test: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Runs a test within one turn of an event loop."""

    @functools.wraps(test)
    def run(*args: Arguments.args, **named: Arguments.kwargs) -> None:
        async def scenario() -> None:
            test(*args, **named)

        with Clock() as clock:
            clock.run(scenario())

    return run


class Receiver:
    """A slow receiver; ``reaction`` is what it does when it is given up."""

    def __init__(self, name: str = "", reaction: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self.reaction = reaction
        self.faults: list[Slow] = []
        self.taken = 0
        self.waits = 100

    def waiting(self) -> int:
        return self.waits

    def progress(self) -> int:
        return self.taken

    def __repr__(self) -> str:
        return self.name

    def give_up(self, fault: Slow) -> None:
        self.faults.append(fault)
        self.reaction()


@on_a_loop
def test_the_total_is_what_waits_now_not_what_ever_waited() -> None:
    backlog = Backlog(1000, PATIENCE)
    one, two = Receiver(), Receiver()
    backlog.note(one, 100)
    backlog.note(two, 50)
    assert (backlog.total, len(backlog)) == (150, 2)
    backlog.note(one, 30)
    assert (backlog.total, len(backlog)) == (80, 2)
    backlog.clear(two)
    assert (backlog.total, len(backlog)) == (30, 1)
    backlog.clear(two)
    assert (backlog.total, len(backlog)) == (30, 1), "to clear twice is to clear once"
    backlog.clear(one)
    assert (backlog.total, len(backlog)) == (0, 0)


@on_a_loop
def test_nobody_is_given_up_at_the_bound_itself() -> None:
    backlog = Backlog(100, PATIENCE)
    one, two = Receiver(), Receiver()
    backlog.note(one, 60)
    backlog.note(two, 40)
    assert one.faults == two.faults == []
    assert backlog.total == 100


@on_a_loop
def test_over_the_bound_the_one_furthest_behind_is_given_up_not_the_one_who_came_last() -> None:
    backlog = Backlog(100, PATIENCE)
    hog, other = Receiver(), Receiver()
    backlog.note(hog, 80)
    backlog.note(other, 30)
    assert [type(fault) for fault in hog.faults] == [Slow]
    assert "more than 100 bytes" in hog.faults[0].reason
    assert other.faults == []
    assert (backlog.total, len(backlog)) == (30, 1)


@on_a_loop
def test_as_many_are_given_up_as_it_takes_and_each_once() -> None:
    backlog = Backlog(100, PATIENCE)
    receivers = [Receiver(str(size)) for size in (20, 30, 40)]
    for receiver in receivers:
        backlog.note(receiver, int(receiver.name))
    newcomer = Receiver()
    backlog.note(newcomer, 75)
    assert [len(receiver.faults) for receiver in [*receivers, newcomer]] == [0, 0, 0, 1]
    backlog.note(newcomer, 65)
    assert [len(receiver.faults) for receiver in [*receivers, newcomer]] == [0, 0, 0, 2]
    big = Receiver()
    backlog.note(big, 100)
    assert [len(receiver.faults) for receiver in [*receivers, big]] == [0, 0, 0, 1]
    backlog.note(receivers[0], 95)
    assert [len(receiver.faults) for receiver in receivers] == [1, 0, 0]


@on_a_loop
def test_a_single_receiver_over_the_bound_is_given_up_and_nothing_is_left() -> None:
    backlog = Backlog(100, PATIENCE)
    receiver = Receiver()
    backlog.note(receiver, 101)
    assert len(receiver.faults) == 1
    assert (backlog.total, len(backlog)) == (0, 0)


@on_a_loop
def test_giving_up_may_clear_the_receiver_and_others() -> None:
    backlog = Backlog(100, PATIENCE)
    friend = Receiver("friend")

    def reaction() -> None:
        backlog.clear(hog)
        backlog.clear(friend)

    hog = Receiver("hog", reaction)
    backlog.note(friend, 40)
    backlog.note(hog, 90)
    assert len(hog.faults) == 1
    assert friend.faults == []
    assert (backlog.total, len(backlog)) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 60) | st.none()), max_size=50))
@on_a_loop
def test_the_total_adds_up_and_never_stays_over_the_bound(history: list[tuple[int, int | None]]) -> None:
    backlog = Backlog(100, PATIENCE)
    queued: dict[int, int] = {}
    receivers = [Receiver(str(number), lambda number=number: queued.pop(number, None)) for number in range(5)]  # type: ignore[misc]
    for number, size in history:
        if size is None:
            queued.pop(number, None)
            backlog.clear(receivers[number])
        else:
            queued[number] = size
            backlog.note(receivers[number], size)
        assert backlog.total == sum(queued.values()) <= 100
        assert len(backlog) == len(queued)


def test_a_receiver_that_takes_nothing_is_given_up_when_its_time_has_passed(clock: Clock) -> None:
    async def scenario() -> None:
        backlog = Backlog(1000, PATIENCE)
        frozen = Receiver()
        backlog.note(frozen, 100)
        await asyncio.sleep(PATIENCE - 0.1)
        backlog.note(frozen, 200)  # what is added is nothing that it takes
        assert frozen.faults == []
        await asyncio.sleep(PATIENCE / 4 + 0.1)
        assert [str(fault) for fault in frozen.faults] == ["took nothing for 8 seconds"]
        assert (backlog.total, len(backlog)) == (0, 0)
        assert clock.timers() == 0

    clock.run(scenario())


def test_a_receiver_that_takes_something_each_time_stays_however_slow_it_is(clock: Clock) -> None:
    async def scenario() -> None:
        backlog = Backlog(1000, PATIENCE)
        slow, frozen = Receiver(), Receiver()
        backlog.note(slow, 900)
        for _ in range(20):
            await asyncio.sleep(PATIENCE - 0.5)
            slow.taken += 1
        backlog.note(frozen, 100)
        await asyncio.sleep(PATIENCE - 0.5)
        slow.taken += 1
        await asyncio.sleep(3)
        assert (slow.faults, len(frozen.faults)) == ([], 1)
        backlog.clear(slow)
        assert clock.timers() == 0, "where nobody is behind, nothing ticks"

    clock.run(scenario())


def test_what_a_receiver_says_that_waits_counts_though_nobody_tells_of_it(clock: Clock) -> None:
    """A server's own buffer empties without a word."""

    async def scenario() -> None:
        backlog = Backlog(1000, PATIENCE)
        one, two = Receiver(), Receiver()
        backlog.note(one, 500)
        backlog.note(two, 300)
        one.waits, two.waits = 200, 0
        await asyncio.sleep(PATIENCE / 4 + 0.1)
        assert (backlog.total, len(backlog)) == (200, 1)
        one.waits = 0
        await asyncio.sleep(PATIENCE / 4 + 0.1)
        assert (backlog.total, len(backlog), one.faults, two.faults) == (0, 0, [], [])

    clock.run(scenario())
