"""The maps of the embedded broker: the contract, and what they cost."""

import asyncio
import gc
import weakref

import pytest
from tests.brokers.maps_contract import STREAMED, Board, MapsContract
from tests.clock import Clock, TravellingLoop

from hubbub import Publication
from hubbub.brokers.maps import MapRetention
from hubbub.brokers.memory import MemoryBroker
from hubbub.protocol.publication import Event


class TestMemoryMaps(MapsContract):
    def make_broker(self) -> MemoryBroker:
        return MemoryBroker(clock=asyncio.get_running_loop().time)


def timers() -> int:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, TravellingLoop)
    return loop.timers()


async def started(**options: int) -> MemoryBroker:
    broker = MemoryBroker(clock=asyncio.get_running_loop().time, **options)
    await broker.start(lambda channel, event: None)
    return broker


def test_a_change_is_in_the_state_and_delivered_in_one_step(clock: Clock) -> None:
    """Without a turn of the event loop: a change that nothing can come between."""

    async def scenario() -> None:
        broker = MemoryBroker()
        seen: list[Event] = []
        await broker.start(lambda channel, event: seen.append(event))
        changing = broker.put_entry("board", Publication("x", key="a"), STREAMED)
        with pytest.raises(StopIteration) as ended:
            changing.send(None)
        assert ended.value.value.position.offset == 1
        assert [event.offset for event in seen if isinstance(event, Publication)] == [1]

    clock.run(scenario())


def test_ten_thousand_entries_wait_for_their_end_with_one_timer(clock: Clock) -> None:
    async def scenario() -> None:
        broker = await started()
        boards = [Board(broker, MapRetention(10.0), f"board:{number}") for number in range(100)]
        for board in boards:
            for number in range(100):
                await board.put(f"{number}")
        assert timers() == 1
        assert len(broker._looks) == len(boards), "and one place in the heap for each map"
        await asyncio.sleep(11)
        assert timers() == 0
        assert broker._looks == []
        assert broker._maps == {}, "a map without entries and without a position is nothing"

    clock.run(scenario())


def test_a_busy_key_does_not_pile_up_what_waits_for_its_end(clock: Clock) -> None:
    async def scenario() -> None:
        broker = await started()
        board = Board(broker, MapRetention(10.0, 5, 60.0, 60.0))
        for _ in range(2000):
            await board.put("cursor")
            await asyncio.sleep(0.05)
            assert len(broker._looks) <= 2
        assert list(await board.state()) == ["cursor"]

    clock.run(scenario())


def test_a_map_that_comes_and_goes_leaves_nothing_that_waits(clock: Clock) -> None:
    async def scenario() -> None:
        broker = await started()
        board = Board(broker, MapRetention(10.0))
        for _ in range(50):
            await board.put("a")
            await board.remove("a")
            await asyncio.sleep(0.01)
        for _ in range(20):
            await board.put("a")
            await asyncio.sleep(1)
        assert len(broker._looks) == 1

    clock.run(scenario())


def test_entries_that_expire_one_after_the_other_are_removed_together(clock: Clock) -> None:
    async def scenario() -> None:
        broker = MemoryBroker(clock=clock.time)
        removed: list[float] = []

        def deliver(channel: str, event: Event) -> None:
            assert isinstance(event, Publication)
            if event.removed:
                removed.append(clock.time())

        await broker.start(deliver)
        board = Board(broker, MapRetention(10.0))
        for number in range(1000):
            await board.put(f"{number}")
            await asyncio.sleep(0.001)
        await asyncio.sleep(11)
        assert len(removed) == 1000
        assert len(set(removed)) <= 12, "some times in that second"

    clock.run(scenario())


def test_a_stopped_broker_waits_for_nothing_and_keeps_nothing(clock: Clock) -> None:
    async def scenario() -> None:
        broker = await started()
        expiring, streamed = Board(broker, MapRetention(10.0), "expiring"), Board(broker, STREAMED, "streamed")
        await expiring.put("a")
        before = (await streamed.put("a")).position
        await broker.stop()
        assert timers() == 0
        assert broker._maps == {}
        await broker.start(lambda channel, event: None)
        after = (await streamed.put("a")).position
        assert after.offset == before.offset
        assert after.epoch != before.epoch, "who stood there has lost it all"

    clock.run(scenario())


def test_what_an_entry_was_before_is_let_go(clock: Clock) -> None:
    class Data(str):
        """Text that can be watched."""

    async def scenario() -> None:
        broker = await started()
        board = Board(broker, MapRetention(stream=1))
        watched = []
        for number in range(5):
            data = Data(number)
            watched.append(weakref.ref(data))
            await board.put("a", data)
            del data
        gc.collect()
        assert [one() for one in watched] == [None, None, None, None, "4"]

    clock.run(scenario())


def test_of_maps_that_are_empty_and_unused_only_so_many_are_remembered(clock: Clock) -> None:
    async def scenario() -> None:
        broker = await started(max_idle_channels=10)
        await broker.subscribe("board:watched")
        boards = {name: Board(broker, STREAMED, f"board:{name}") for name in ("watched", "full", *map(str, range(50)))}
        for name, board in boards.items():
            await board.put("a")
            if name != "full":
                await board.remove("a")
        assert set(broker._maps) == {"board:watched", "board:full", *(f"board:{number}" for number in range(40, 50))}
        await boards["40"].put("b")
        await boards["0"].put("b")
        assert (await boards["0"].position()).epoch != (await boards["40"].position()).epoch, (
            "what was forgotten begins anew"
        )
        for name in ("0", "40"):
            await boards[name].remove("b")
        assert set(broker._maps) >= {"board:0", "board:40", "board:watched"}
        await broker.unsubscribe("board:watched")
        assert len(broker._maps) == 11

    clock.run(scenario())


def test_subscribers_of_an_unused_map_keep_their_position_when_other_maps_are_forgotten(clock: Clock) -> None:
    async def scenario() -> None:
        broker = await started(max_idle_channels=0)
        await broker.subscribe("quiet")
        quiet = Board(broker, STREAMED, "quiet")
        told = (await broker.entries("quiet", STREAMED)).position
        for number in range(20_000):
            await Board(broker, STREAMED, f"named:{number}").put("a")
            await broker.clear_entries(f"named:{number}")
        assert (await broker.entries("quiet", STREAMED)).position == told
        assert (await quiet.put("a")).position.epoch == told.epoch

    clock.run(scenario())
