"""The embedded broker: the contract, and what it forgets."""

import asyncio
import gc
import weakref
from time import process_time

import pytest
from tests.brokers.contract import KEEP, NONE, HistoryContract, RosterContract
from tests.clock import Clock

from hubbub import Member, Position, Publication, Retention
from hubbub.brokers.base import Guard
from hubbub.brokers.memory import MemoryBroker
from hubbub.protocol.publication import Presence


class Time:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


class TestMemoryBroker(HistoryContract, RosterContract):
    def make_broker(self) -> MemoryBroker:
        self.time = Time()
        return MemoryBroker(clock=self.time)

    async def sleep(self, seconds: float) -> None:
        self.time.now += seconds


async def _started(broker: MemoryBroker) -> MemoryBroker:
    await broker.start(lambda channel, publication: None)
    return broker


def test_delivery_happens_inside_publish(clock: Clock) -> None:
    async def scenario() -> None:
        delivered: list[str] = []
        broker = MemoryBroker()
        await broker.start(lambda channel, publication: delivered.append(channel))
        # Without a turn of the event loop: a publish that nothing can come between.
        publishing = broker.publish("lobby", Publication("x"), KEEP)
        with pytest.raises(StopIteration) as ended:
            publishing.send(None)
        assert ended.value.value.offset == 1
        assert delivered == ["lobby"]

    clock.run(scenario())


def test_channels_that_nobody_has_used_for_long_are_forgotten(clock: Clock) -> None:
    async def scenario() -> None:
        time = Time()
        broker = await _started(MemoryBroker(clock=time))
        retention = Retention(10, 3.0)
        old = [await broker.publish(f"old-{number}", Publication("x"), retention) for number in range(100)]
        time.now += 29.0
        fresh = await broker.publish("fresh", Publication("x"), retention)
        for _ in range(1000):
            await broker.publish("busy", Publication("x"), retention)
        assert [(await broker.history(f"old-{number}"))[1] for number in range(100)] == old
        time.now += 1.0
        # Everything in "old" has been idle for ten times its age limit now; "fresh" has not.
        for _ in range(1000):
            await broker.publish("busy", Publication("x"), retention)
        for number in range(100):
            nothing, position = await broker.history(f"old-{number}")
            assert tuple(nothing) == ()
            assert position.offset == 0
            assert position.epoch != old[number].epoch, "what was forgotten must not look like what it was"
        assert (await broker.history("fresh"))[1] == fresh

    clock.run(scenario())


def test_a_forgotten_channel_that_comes_back_has_another_epoch(clock: Clock) -> None:
    async def scenario() -> None:
        time = Time()
        broker = await _started(MemoryBroker(clock=time))
        retention = Retention(10, 1.0)
        before = await broker.publish("lobby", Publication("x"), retention)
        time.now += 100
        for _ in range(1000):
            await broker.publish("busy", Publication("x"), retention)
        after = await broker.publish("lobby", Publication("y"), retention)
        assert after.offset == 1
        assert after.epoch != before.epoch
        assert await broker.history("lobby", before) == ((), after)

    clock.run(scenario())


def test_of_channels_that_are_empty_and_unused_only_so_many_are_remembered(clock: Clock) -> None:
    async def scenario() -> None:
        time = Time()
        broker = await _started(MemoryBroker(clock=time, max_idle_channels=100))
        retention = Retention(10, 1.0, 10_000_000.0)
        watched = await broker.publish("watched", Publication("x"), retention)
        kept = await broker.publish("kept", Publication("x"), Retention(10, 1000.0, 10_000_000.0))
        await broker.subscribe("watched")
        named = []
        for number in range(3000):
            time.now += 0.01
            named.append(await broker.publish(f"named:{number}", Publication("x"), retention))
        time.now += 1
        for _ in range(3000):  # time to look
            await broker.publish("busy", Publication("x"), retention)
        remembered = [
            number for number, position in enumerate(named) if (await broker.history(f"named:{number}"))[1] == position
        ]
        assert remembered == list(range(2900, 3000)), "those used last"
        assert (await broker.history("watched"))[1] == watched, "it has a subscriber, who stands there"
        assert (await broker.history("kept"))[1] == kept, "it is not empty"
        gone = await broker.history("named:0", named[0])
        assert gone[1].epoch != named[0].epoch, "what was forgotten must not look like what it was"

    clock.run(scenario())


def test_who_waits_in_an_unused_channel_loses_nothing_when_others_are_forgotten(clock: Clock) -> None:
    async def scenario() -> None:
        time = Time()
        broker = await _started(MemoryBroker(clock=time, max_idle_channels=0))
        await broker.subscribe("quiet")
        _, told = await broker.history("quiet")
        for number in range(20_000):
            time.now += 0.1
            await broker.publish(f"named:{number}", Publication("x"), Retention(1, 1.0))
        assert (await broker.history("quiet"))[1] == told
        assert await broker.publish("quiet", Publication("x"), KEEP) == Position(1, told.epoch)
        await broker.unsubscribe("quiet")
        await broker.subscribe("never used")
        time.now += 100_000
        for _ in range(20_000):
            await broker.publish("busy", Publication("x"), KEEP)
        forgotten = (await broker.history("quiet"))[1]
        assert forgotten.epoch != told.epoch

    clock.run(scenario())


def test_a_channel_that_is_forgotten_while_it_has_subscribers_has_another_epoch(clock: Clock) -> None:
    async def scenario() -> None:
        time = Time()
        broker = await _started(MemoryBroker(clock=time))
        await broker.subscribe("lobby")
        before = await broker.publish("lobby", Publication("x"), Retention(10, 1.0, 10.0))
        time.now += 11
        for _ in range(1000):
            await broker.publish("busy", Publication("x"), KEEP)
        after = await broker.publish("lobby", Publication("y"), KEEP)
        assert (after.offset, after.epoch != before.epoch) == (1, True)

    clock.run(scenario())


def test_a_publication_that_has_expired_is_held_no_longer(clock: Clock) -> None:
    class Text(str):
        """Text of which one can see whether it is still held."""

    async def scenario() -> None:
        time = Time()
        broker = await _started(MemoryBroker(clock=time))
        text = Text("large")
        held = weakref.ref(text)
        await broker.publish("lobby", Publication(text), Retention(10, 1.0))
        del text
        assert held() is not None
        time.now += 1.0
        await broker.publish("lobby", Publication("next"), Retention(10, 1.0))
        assert held() is None

    clock.run(scenario())


def test_forgetting_costs_a_constant_share_however_many_channels_there_are(clock: Clock) -> None:
    async def seconds(count: int) -> float:
        broker = await _started(MemoryBroker(clock=Time()))
        gc.collect()
        gc.disable()  # it would look at all the channels too, now and then
        try:
            started = process_time()
            for number in range(count):
                await broker.publish(f"channel-{number}", Publication("x"), KEEP)
            return process_time() - started
        finally:
            gc.enable()

    few = min(clock.run(seconds(4_000)) for _ in range(5))
    many = min(clock.run(seconds(40_000)) for _ in range(3))
    assert many < 50 * few, f"ten times as many channels took {many / few:.0f} times as long"


def test_a_channel_without_history_costs_nothing_when_it_is_idle(clock: Clock) -> None:
    async def scenario() -> None:
        broker = await _started(MemoryBroker())
        for number in range(100):
            await broker.publish(f"channel-{number}", Publication("x"), NONE)
        assert broker._logs == {}

    clock.run(scenario())


def test_a_restarted_broker_begins_anew(clock: Clock) -> None:
    async def scenario() -> None:
        broker = await _started(MemoryBroker())
        before = await broker.publish("lobby", Publication("x"), KEEP)
        start = (await broker.history("unused"))[1]
        await broker.stop()
        await _started(broker)
        nothing, position = await broker.history("lobby")
        assert tuple(nothing) == ()
        assert position.epoch not in (before.epoch, start.epoch)
        after = await broker.publish("lobby", Publication("y"), KEEP)
        assert (after.offset, after.epoch != before.epoch) == (1, True)

    clock.run(scenario())


def test_a_restarted_broker_knows_nobody_and_no_keys(clock: Clock) -> None:
    async def scenario() -> None:
        broker = await _started(MemoryBroker())
        for channel, retention in (("kept", KEEP), ("not kept", NONE)):
            await broker.publish(channel, Publication("x"), retention, Guard("k", 7))
            await broker.enter(channel, Member("anna", "c1"))
        await broker.stop()
        delivered: list[str] = []
        await broker.start(lambda channel, event: delivered.append(channel))
        for channel, retention in (("kept", KEEP), ("not kept", NONE)):
            assert await broker.members(channel) == {}
            await broker.publish(channel, Publication("x"), retention, Guard("k", 1))
        assert delivered == ["kept", "not kept"]

    clock.run(scenario())


def test_what_is_announced_when_the_broker_has_stopped_goes_nowhere(clock: Clock) -> None:
    async def scenario() -> None:
        delivered: list[str] = []
        broker = MemoryBroker()
        await broker.start(lambda channel, event: delivered.append(channel))
        await broker.stop()
        await broker.announce("lobby", Presence(Member("anna", "c1"), joined=False))
        assert delivered == []

    clock.run(scenario())


def test_positions_are_kept_for_as_long_as_it_was_asked_for(clock: Clock) -> None:
    async def scenario() -> None:
        time = Time()
        broker = await _started(MemoryBroker(clock=time))
        long, short = Retention(10, 1.0, 1000.0), Retention(10, 1.0, 5.0)
        kept = await broker.publish("long", Publication("x"), long)
        await broker.publish("short", Publication("x"), short)
        time.now += 50
        for _ in range(1000):
            await broker.publish("busy", Publication("x"), long)
        assert (await broker.history("long"))[1] == kept
        assert (await broker.history("short"))[1].offset == 0

    clock.run(scenario())


def test_versions_are_forgotten_with_their_channel(clock: Clock) -> None:
    async def scenario() -> None:
        time = Time()
        broker = await _started(MemoryBroker(clock=time))
        await broker.publish("lobby", Publication("x"), Retention(10, 1.0), Guard("", 7))
        time.now += 50
        for _ in range(1000):
            await broker.publish("busy", Publication("x"), KEEP)
        assert (await broker.publish("lobby", Publication("y"), KEEP, Guard("", 1))).offset == 1

    clock.run(scenario())


def test_the_default_clock_is_a_real_one() -> None:
    async def scenario() -> Position:
        broker = await _started(MemoryBroker())
        await broker.publish("lobby", Publication("x"), Retention(10, 1e-9))
        kept, position = await broker.history("lobby")
        assert tuple(kept) == ()
        return position

    assert asyncio.run(scenario()).offset == 1


class Text(str):
    """Text that can be watched."""


def test_what_has_expired_is_freed_though_nobody_asks_for_it(clock: Clock) -> None:
    async def scenario() -> None:
        broker = MemoryBroker(asyncio.get_running_loop().time)
        await broker.start(lambda channel, publication: None)
        text = Text("x")
        gone = weakref.ref(text)
        await broker.publish("quiet", Publication(text), Retention(10, 1.0, 1000.0))
        del text
        await asyncio.sleep(5)
        for _ in range(300):
            await broker.publish("busy", Publication("y"), Retention(10, 300.0))
        assert gone() is None

    clock.run(scenario())


def test_what_has_expired_is_forgotten_though_nobody_publishes_any_more(clock: Clock) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        broker = await _started(MemoryBroker(clock=loop.time, max_idle_channels=100))
        named = [await broker.publish(f"named:{n}", Publication("x"), Retention(10, 1.0, 1e4)) for n in range(1000)]
        lasting = await broker.publish("lasting", Publication("x"), Retention(10, 1e3))
        await asyncio.sleep(3)
        known = [n for n, position in enumerate(named) if (await broker.history(f"named:{n}"))[1] == position]
        assert known == list(range(900, 1000)), "those used last"
        assert len((await broker.history("lasting"))[0]) == 1
        await asyncio.sleep(2e4)
        assert not any([(await broker.history(f"named:{n}"))[1] == position for n, position in enumerate(named)])
        assert (await broker.history("lasting"))[1].epoch != lasting.epoch
        await broker.stop()

    clock.run(scenario())
