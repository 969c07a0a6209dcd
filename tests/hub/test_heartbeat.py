"""Pings from one wheel: whoever falls silent is told of within the stated bound, and nobody else is."""

import asyncio
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.clock import Clock

from hubbub import Settings
from hubbub.hub.heartbeat import Heartbeat


class Member:
    """A connection that answers pings until ``dies_at``, each after ``delay`` seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, delay: float = 0.0, dies_at: float = float("inf")) -> None:
        self._loop = loop
        self._delay = delay
        self.dies_at = dies_at
        self.ping_payload: bytes | None = None
        self.pinged_at = 0.0
        self.ping_reach = self.ping_progress = 0
        self.taken = self.sent = 0
        """Bytes; as long as the first are fewer, a ping is behind something."""
        self.pings: list[float] = []
        self.payloads: list[bytes] = []
        self.last_sign = loop.time()
        self.silent_at: float | None = None

    def ping(self, payload: bytes) -> None:
        self.pings.append(self._loop.time())
        self.payloads.append(payload)
        self._loop.call_later(self._delay, self._answer, payload)

    def _answer(self, payload: bytes) -> None:
        if self._loop.time() < self.dies_at:
            self.last_sign = self._loop.time()
            if payload == self.ping_payload:
                self.ping_payload = None

    def progress(self) -> int:
        return self.taken

    def reach(self) -> int:
        return self.sent

    def on_silence(self) -> None:
        assert self.silent_at is None, "told twice"
        self.silent_at = self._loop.time()


def tick_of(interval: float, timeout: float) -> float:
    return min(1.0, interval / 4, timeout / 4)


INTERVALS = [
    (15.0, 8.0),  # the defaults
    (15.0, 15.0),
    (5.0, 30.0),  # the time-out is longer than the interval
    (1.0, 60.0),
    (60.0, 1.0),
    (0.05, 0.02),
    (0.02, 0.5),
    (0.001, 0.001),
    (11.5, 8.1),  # neither is a number of ticks
    (10.49, 7.3),
    (2.6, 0.9),
    (3.3333, 2.7182),
]


@pytest.mark.parametrize(("interval", "timeout"), INTERVALS)
def test_a_peer_that_falls_silent_is_noticed_within_the_bound(clock: Clock, interval: float, timeout: float) -> None:
    bound = interval + timeout + tick_of(interval, timeout)

    async def scenario() -> list[Member]:
        loop = asyncio.get_running_loop()
        heartbeat = Heartbeat(interval, timeout)
        members = []
        for number in range(40):
            # At any phase of the wheel, and any time after an answer.
            members.append(Member(loop, dies_at=loop.time() + interval * number / 7))
            heartbeat.add(members[-1])
            await asyncio.sleep(interval / 11)
        await asyncio.sleep(interval * 40 / 7 + 2 * bound)
        return members

    for member in clock.run(scenario()):
        assert member.silent_at is not None, "a dead peer was never noticed"
        assert member.silent_at - member.last_sign <= bound * (1 + 1e-9)


@settings(deadline=None, max_examples=60)
@given(interval=st.floats(0.5, 50), timeout=st.floats(0.5, 50), phase=st.floats(0, 1), life=st.floats(0, 5))
def test_the_bound_holds_for_any_times(interval: float, timeout: float, phase: float, life: float) -> None:
    bound = interval + timeout + tick_of(interval, timeout)

    async def scenario() -> Member:
        loop = asyncio.get_running_loop()
        heartbeat = Heartbeat(interval, timeout)
        other = Member(loop)
        heartbeat.add(other)
        await asyncio.sleep(phase * interval)
        member = Member(loop, dies_at=loop.time() + life * interval)
        heartbeat.add(member)
        await asyncio.sleep(life * interval + 2 * bound)
        assert other.silent_at is None
        return member

    with Clock() as clock:
        member = clock.run(scenario())
    assert member.silent_at is not None
    assert member.silent_at - member.last_sign <= bound * (1 + 1e-9)


@given(interval=st.floats(0.01, 100), timeout=st.floats(0.01, 100))
def test_the_settings_promise_no_less_than_the_wheel_keeps(interval: float, timeout: float) -> None:
    promised = Settings(ping_interval=interval, ping_timeout=timeout).detection_bound
    assert promised >= interval + timeout + tick_of(interval, timeout)


@pytest.mark.parametrize(("interval", "timeout"), INTERVALS)
def test_a_peer_that_answers_in_time_is_left_alone(clock: Clock, interval: float, timeout: float) -> None:
    async def scenario() -> list[Member]:
        loop = asyncio.get_running_loop()
        heartbeat = Heartbeat(interval, timeout)
        members = [Member(loop, delay=timeout * part) for part in (0.0, 0.5, 0.85)]
        for member in members:
            heartbeat.add(member)
        await asyncio.sleep(20 * (interval + timeout))
        for member in members:
            heartbeat.discard(member)
        await asyncio.sleep(2 * timeout)
        return members

    for member in clock.run(scenario()):
        assert member.silent_at is None
        assert len(member.pings) >= 9


@pytest.mark.parametrize(("interval", "timeout"), INTERVALS)
def test_pings_are_one_interval_apart(clock: Clock, interval: float, timeout: float) -> None:
    async def scenario() -> Member:
        heartbeat = Heartbeat(interval, timeout)
        member = Member(asyncio.get_running_loop())
        heartbeat.add(member)
        await asyncio.sleep(interval * 10)
        return member

    started = clock.time()
    pings = clock.run(scenario()).pings
    assert 9 <= len(pings) <= 11
    assert pings[0] - started <= interval * (1 + 1e-9)
    assert all(later - sooner == pytest.approx(interval) for sooner, later in pairwise(pings))


def test_a_peer_that_has_not_answered_is_not_pinged_again(clock: Clock) -> None:
    async def scenario() -> Member:
        heartbeat = Heartbeat(interval=1.0, timeout=30.0)
        member = Member(asyncio.get_running_loop(), dies_at=0)
        heartbeat.add(member)
        await asyncio.sleep(60)
        return member

    member = clock.run(scenario())
    assert len(member.pings) == 1, "each ping would be one more frame for a peer that does not read"
    assert member.silent_at is not None


def test_without_a_timeout_nobody_is_ever_told_of(clock: Clock) -> None:
    async def scenario() -> Member:
        heartbeat = Heartbeat(interval=5.0, timeout=None)
        member = Member(asyncio.get_running_loop(), dies_at=0)
        heartbeat.add(member)
        await asyncio.sleep(3600)
        return member

    member = clock.run(scenario())
    assert member.silent_at is None
    assert len(member.pings) == 1


def test_members_that_came_at_once_are_pinged_spread_over_the_interval(clock: Clock) -> None:
    async def scenario() -> list[Member]:
        loop = asyncio.get_running_loop()
        heartbeat = Heartbeat(interval=15.0, timeout=8.0)
        members = [Member(loop) for _ in range(150)]
        for member in members:
            heartbeat.add(member)
        await asyncio.sleep(15.5)
        return members

    first_pings = Counter(member.pings[0] for member in clock.run(scenario()))
    assert len(first_pings) == 15
    assert set(first_pings.values()) == {10}


def test_a_ping_cannot_be_foretold(clock: Clock) -> None:
    async def scenario() -> Member:
        heartbeat = Heartbeat(interval=1.0, timeout=1.0)
        member = Member(asyncio.get_running_loop())
        heartbeat.add(member)
        await asyncio.sleep(50)
        return member

    payloads = clock.run(scenario()).payloads
    assert len(payloads) == len(set(payloads)) >= 49
    assert {len(payload) for payload in payloads} == {4}


def test_an_empty_wheel_has_no_timer(clock: Clock) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        heartbeat = Heartbeat(interval=1.0, timeout=1.0)
        idle = clock.timers()
        one, two = Member(loop), Member(loop, dies_at=0)
        heartbeat.add(one)
        heartbeat.add(two)
        assert clock.timers() == idle + 1, "one timer, however many members"
        heartbeat.discard(one)
        assert clock.timers() == idle + 1
        await asyncio.sleep(10)
        assert two.silent_at is not None
        assert clock.timers() == idle, "the last one was told of"
        heartbeat.add(one)
        assert clock.timers() == idle + 1
        heartbeat.discard(one)
        assert clock.timers() == idle
        heartbeat.discard(one)

    clock.run(scenario())


def test_who_is_discarded_is_neither_pinged_nor_told_of(clock: Clock) -> None:
    async def scenario() -> tuple[Member, Member]:
        loop = asyncio.get_running_loop()
        heartbeat = Heartbeat(interval=1.0, timeout=4.0)
        gone, stays = Member(loop, dies_at=0), Member(loop)
        heartbeat.add(gone)
        heartbeat.add(stays)
        await asyncio.sleep(2.0)
        assert len(gone.pings) == 1
        heartbeat.discard(gone)
        await asyncio.sleep(60)
        return gone, stays

    gone, stays = clock.run(scenario())
    assert len(gone.pings) == 1
    assert gone.silent_at is None
    assert len(stays.pings) >= 60


def test_who_was_told_of_may_come_back(clock: Clock) -> None:
    async def scenario() -> Member:
        loop = asyncio.get_running_loop()
        heartbeat = Heartbeat(interval=1.0, timeout=1.0)

        class Forgiven(Member):
            def on_silence(self) -> None:
                self.ping_payload = None
                self.dies_at = float("inf")
                heartbeat.add(self)

        member = Forgiven(loop, dies_at=0)
        heartbeat.add(member)
        await asyncio.sleep(30)
        return member

    assert len(clock.run(scenario()).pings) >= 27


def test_a_member_may_leave_from_within_its_ping(clock: Clock) -> None:
    async def scenario() -> Member:
        loop = asyncio.get_running_loop()
        heartbeat = Heartbeat(interval=1.0, timeout=1.0)

        class Leaving(Member):
            def ping(self, payload: bytes) -> None:
                heartbeat.discard(self)

        stays = Member(loop)
        for member in [*(Leaving(loop) for _ in range(10)), stays]:
            heartbeat.add(member)
        await asyncio.sleep(10)
        return stays

    member = clock.run(scenario())
    assert member.silent_at is None
    assert len(member.pings) >= 9


@pytest.mark.parametrize("phase", [0.2, 1.7, 2.9])
def test_a_pong_that_waits_to_be_read_while_the_loop_is_blocked_is_not_missed(clock: Clock, phase: float) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        heartbeat = Heartbeat(15.0, 8.0)
        member, dead = Member(loop, delay=3.0), Member(loop, dies_at=0.0)
        heartbeat.add(member)
        heartbeat.add(dead)
        while not member.pings:
            await asyncio.sleep(0.1)
        await asyncio.sleep(phase)
        clock.block(60)
        # The pong, which had come, is read after the timers, as by uvloop.
        await asyncio.sleep(0.5)
        member.ping_payload = None
        await asyncio.sleep(30)
        assert member.silent_at is None
        assert dead.silent_at is not None

    clock.run(scenario())


def test_a_ping_that_has_not_got_there_yet_is_not_missed_as_long_as_the_reader_gets_on(clock: Clock) -> None:
    """It waits behind 100 kB, of which the reader takes 1 kB a second: ten pings' time and more."""

    async def scenario() -> None:
        wheel = Heartbeat(5.0, 8.0)
        member = Member(asyncio.get_running_loop(), dies_at=0.0)  # it answers nothing
        member.sent = 100_000
        wheel.add(member)
        while member.taken < 99_000:
            await asyncio.sleep(1)
            member.taken += 1000
            assert member.silent_at is None, f"after {member.taken} bytes"
        member.taken = 100_000
        got_there = asyncio.get_running_loop().time()
        await asyncio.sleep(60)
        assert member.silent_at is not None
        assert member.silent_at - got_there <= 5.0 + 8.0 + 8.0 + 1.0

    clock.run(scenario())


@pytest.mark.parametrize("ahead", [0, 7, 8, 9, 25, 33, 50])
def test_a_ping_that_got_there_between_two_looks_has_all_of_its_time_for_an_answer(clock: Clock, ahead: int) -> None:
    """A reader of 1 kB a second, which answers one second after the ping has got to it."""

    async def scenario() -> None:
        wheel = Heartbeat(25.0, 8.0)
        member = Member(asyncio.get_running_loop(), delay=ahead + 1.0)
        member.sent = 1000 * ahead
        wheel.add(member)
        while not member.pings:
            await asyncio.sleep(0.1)
        for _ in range(ahead):
            await asyncio.sleep(0.99)
            member.taken += 1000
        await asyncio.sleep(1 + ahead / 100)
        assert member.silent_at is None
        wheel.discard(member)

    clock.run(scenario())


def test_a_reader_that_takes_nothing_of_what_lies_before_the_ping_is_silent(clock: Clock) -> None:
    async def scenario() -> None:
        wheel = Heartbeat(5.0, 8.0)
        member = Member(asyncio.get_running_loop(), dies_at=0.0)
        member.sent, member.taken = 100_000, 1000
        began = asyncio.get_running_loop().time()
        wheel.add(member)
        await asyncio.sleep(60)
        assert member.silent_at is not None
        assert member.silent_at - began <= 5.0 + 8.0 + 1.0

    clock.run(scenario())
