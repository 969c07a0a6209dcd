"""What every broker that keeps maps promises, as one suite: subclass it and say how to make yours.

A subclass gives `make_broker`. One that reaches out of this process gives `run` and `arrive` too.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.clock import Clock

from hubbub import Broker, Position, Publication, UsageError
from hubbub.brokers.base import NO_GUARD, Guard
from hubbub.brokers.maps import MapRetention, Maps, Only, Outcome
from hubbub.protocol.publication import NO_DATA, Event, Payload

STREAMLESS = MapRetention()
STREAMED = MapRetention(stream=100)


class Board:
    """One map of a broker, and what of it was delivered."""

    def __init__(self, maps: Maps, retention: MapRetention, name: str = "board") -> None:
        self.maps = maps
        self.retention = retention
        self.name = name
        self.delivered: list[Publication] = []

    async def put(
        self, key: str, data: str = "x", guard: Guard = NO_GUARD, only: Only = "", most: int = 0, **more: Any
    ) -> Outcome:
        entry = Publication(data, key=key, **more)
        return await self.maps.put_entry(self.name, entry, self.retention, guard, only, most)

    async def remove(self, key: str, guard: Guard = NO_GUARD) -> Outcome:
        return await self.maps.remove_entry(self.name, key, self.retention, guard)

    async def state(self, after: str = "", limit: int | None = None) -> dict[str, Payload]:
        page = await self.maps.entries(self.name, self.retention, after, limit)
        return {entry.key: entry.data for entry in page.entries}

    async def position(self) -> Position:
        return (await self.maps.entries(self.name, self.retention)).position

    async def stream(self, since: Position | None = None, limit: int | None = None, *, reverse: bool = False) -> Any:
        changes, _ = await self.maps.changes(self.name, self.retention, since, limit, reverse=reverse)
        return [("-" if change.removed else "+") + change.key for change in changes]

    def keys(self) -> list[str]:
        """What was delivered, as ``+`` or ``-`` and the key."""
        return [("-" if change.removed else "+") + change.key for change in self.delivered]


class MapsContract(ABC):
    """The promises of `hubbub.brokers.maps.Maps`."""

    @abstractmethod
    def make_broker(self) -> Broker:
        """A new broker that has not been started, without anything of another one in it."""

    def run(self, scenario: Coroutine[Any, Any, None]) -> None:
        """Runs one test to its end."""
        with Clock() as clock:
            clock.run(scenario)

    async def sleep(self, seconds: float) -> None:
        """Lets so much time pass on the broker's clock."""
        await asyncio.sleep(seconds)

    async def arrive(self) -> None:
        """Waits until what was published has been delivered."""
        await asyncio.sleep(0)

    @asynccontextmanager
    async def running(self, *retentions: MapRetention) -> AsyncIterator[list[Board]]:
        """A started broker, with a board for each retention: its channel is subscribed."""
        broker = self.make_broker()
        assert isinstance(broker, Maps)
        boards = [Board(broker, retention, f"board:{number}") for number, retention in enumerate(retentions)]
        named = {board.name: board for board in boards}

        def deliver(channel: str, event: Event) -> None:
            assert isinstance(event, Publication)
            named[channel].delivered.append(event)

        await broker.start(deliver)
        for board in boards:
            await broker.subscribe(board.name)
        try:
            yield boards
        finally:
            await broker.stop()

    # Entries

    def test_an_entry_is_there_until_it_is_removed_and_each_change_is_delivered(self) -> None:
        async def scenario() -> None:
            async with self.running(STREAMED) as [board]:
                await board.put("a", "1")
                await board.put("b", "2")
                await board.put("a", "3")
                assert await board.state() == {"a": "3", "b": "2"}
                await board.remove("a")
                assert await board.state() == {"b": "2"}
                await self.arrive()
                assert board.keys() == ["+a", "+b", "+a", "-a"]
                assert [change.data for change in board.delivered] == ["1", "2", "3", NO_DATA]
                assert await board.maps.count_entries(board.name) == 1

        self.run(scenario())

    def test_a_change_is_delivered_with_what_was_there_before(self) -> None:
        async def scenario() -> None:
            async with self.running(STREAMED, STREAMLESS) as boards:
                for board in boards:
                    await board.put("a", "1", tags={"n": "1"})
                    await board.put("b", "2")
                    await board.put("a", "3")
                    await board.remove("a")
                    await board.put("a", "4")
                    await self.arrive()
                    befores = [change.before and change.before.data for change in board.delivered]
                    assert befores == [None, None, "1", "3", None]
                    assert board.delivered[2].before is not None
                    assert board.delivered[2].before.tags == {"n": "1"}
                    assert board.delivered[2].before.before is None, "or nothing would ever be forgotten"
                    kept = await board.maps.entries(board.name, board.retention)
                    assert all(entry.before is None for entry in kept.entries)

        self.run(scenario())

    def test_a_removal_has_no_data_and_the_tags_of_what_it_removes(self) -> None:
        async def scenario() -> None:
            async with self.running(STREAMED, STREAMLESS) as boards:
                for board in boards:
                    await board.put("a", "1", tags={"lang": "en"})
                    await board.remove("a")
                    await self.arrive()
                    removal = board.delivered[-1]
                    assert (removal.removed, removal.data, removal.tags) == (True, NO_DATA, {"lang": "en"})
                    assert removal.offset == (2 if board.retention.stream else 0)

        self.run(scenario())

    def test_removing_what_is_not_there_changes_nothing_and_says_so(self) -> None:
        async def scenario() -> None:
            async with self.running(STREAMED) as [board]:
                never = await board.remove("a")
                assert (never.suppressed, never.position.offset) == ("key_not_found", 0)
                put = await board.put("b")
                assert await board.remove("a") == Outcome(put.position, "key_not_found")
                await self.arrive()
                assert board.keys() == ["+b"]

        self.run(scenario())

    def test_payloads_tags_and_keys_stay_what_they_were(self) -> None:
        keys = [" ", "ünï\x00code \U0001f600", "a:b", '"', "k" * 300]
        payloads: list[Payload] = ["", "text", NO_DATA, b"", b"\x00\xff\xfe", "\U0001f600"]

        async def scenario() -> None:
            async with self.running(STREAMED) as [board]:
                for key in keys:
                    for payload in payloads:
                        entry = Publication(payload, key=key, tags={"ü": "\n"})
                        await board.maps.put_entry(board.name, entry, board.retention)
                        page = await board.maps.entries(board.name, board.retention, key=key)
                        [kept] = page.entries
                        assert (kept.key, kept.data, kept.tags) == (key, payload, {"ü": "\n"})
                        assert type(kept.data) is type(payload)
                await self.arrive()
                assert [change.data for change in board.delivered] == payloads * len(keys)

        self.run(scenario())

    def test_maps_are_apart(self) -> None:
        async def scenario() -> None:
            async with self.running(STREAMED, STREAMED) as [red, blue]:
                await red.put("a", "red")
                await blue.put("b", "blue")
                assert (await red.state(), await blue.state()) == ({"a": "red"}, {"b": "blue"})
                assert (await red.position()).offset == (await blue.position()).offset == 1
                await red.maps.clear_entries(red.name)
                assert (await red.state(), await blue.state()) == ({}, {"b": "blue"})

        self.run(scenario())

    def test_one_entry_is_found_by_its_key(self) -> None:
        async def scenario() -> None:
            async with self.running(STREAMED) as [board]:
                await board.put("a", "1")
                await board.put("b", "2")
                page = await board.maps.entries(board.name, board.retention, "z", 0, key="b")
                assert [(entry.key, entry.data, entry.offset) for entry in page.entries] == [("b", "2", 2)]
                assert (await board.maps.entries(board.name, board.retention, key="c")).entries in ((), [])

        self.run(scenario())

    # Pages

    def test_entries_come_in_ascending_order_of_code_points(self) -> None:
        keys = ["b", "a", "é", "C", "10", "9", "\U0001f600", "\uffee", "aa", "a "]

        async def scenario() -> None:
            async with self.running(STREAMED) as [board]:
                for key in keys:
                    await board.put(key)
                assert list(await board.state()) == sorted(keys)

        self.run(scenario())

    def test_a_cursor_leads_from_page_to_page_and_is_empty_on_the_last(self) -> None:
        async def scenario() -> None:
            async with self.running(STREAMED) as [board]:
                for number in range(7):
                    await board.put(f"{number}")
                read, cursor = [], ""
                while True:
                    page = await board.maps.entries(board.name, board.retention, cursor, 3)
                    read.append([entry.key for entry in page.entries])
                    cursor = page.cursor
                    if not cursor:
                        break
                    assert cursor == read[-1][-1]
                assert read == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
                exactly = await board.maps.entries(board.name, board.retention, "3", 3)
                assert (len(exactly.entries), exactly.cursor) == (3, ""), "no empty page behind the last"
                assert await board.state(limit=0) == {}

        self.run(scenario())

    def test_what_changes_between_two_pages_moves_no_entry_to_another(self) -> None:
        async def scenario() -> None:
            async with self.running(STREAMED) as [board]:
                for key in "bdfhj":
                    await board.put(key)
                assert list(await board.state(limit=2)) == ["b", "d"]
                for key in "ag":
                    await board.put(key)
                await board.remove("b")
                await board.remove("d")  # the cursor itself
                assert list(await board.state("d", 2)) == ["f", "g"]
                assert list(await board.state("g")) == ["h", "j"]
                assert await board.state("z") == {}

        self.run(scenario())

    # The stream

    def test_changes_are_numbered_and_delivered_as_they_are_in_the_stream(self) -> None:
        async def scenario() -> None:
            async with self.running(STREAMED) as [board]:
                outcomes = [await board.put("a"), await board.put("b"), await board.remove("a")]
                assert [outcome.position.offset for outcome in outcomes] == [1, 2, 3]
                changes, top = await board.maps.changes(board.name, board.retention)
                assert top == outcomes[-1].position == await board.position()
                await self.arrive()
                assert [change._replace(before=None) for change in board.delivered] == list(changes)
                assert {change.epoch for change in changes} == {top.epoch}
                [entry] = (await board.maps.entries(board.name, board.retention)).entries
                assert entry == changes[1]

        self.run(scenario())

    def test_since_limit_and_reverse_choose_from_the_stream(self) -> None:
        async def scenario() -> None:
            async with self.running(STREAMED) as [board]:
                for key in "abcde":
                    epoch = (await board.put(key)).position.epoch
                assert await board.stream(Position(3, epoch)) == ["+d", "+e"]
                assert await board.stream(Position(1, epoch), 2) == ["+b", "+c"]
                assert await board.stream(limit=2) == ["+a", "+b"]
                assert await board.stream(limit=2, reverse=True) == ["+e", "+d"]
                assert await board.stream(Position(3, epoch), reverse=True) == ["+b", "+a"]
                assert await board.stream(Position(5, epoch)) == await board.stream(limit=0) == []
                assert await board.stream(Position(3, "another")) == []

        self.run(scenario())

    def test_the_stream_keeps_so_many_changes_for_so_long_and_entries_stay(self) -> None:
        async def scenario() -> None:
            async with self.running(MapRetention(stream=2, stream_ttl=10.0)) as [board]:
                for key in "abc":
                    top = (await board.put(key)).position
                assert await board.stream() == ["+b", "+c"]
                await self.sleep(11)
                assert await board.stream() == []
                assert list(await board.state()) == ["a", "b", "c"]
                assert await board.position() == top
                assert (await board.put("d")).position == Position(4, top.epoch)

        self.run(scenario())

    def test_without_a_stream_nothing_is_numbered(self) -> None:
        async def scenario() -> None:
            async with self.running(STREAMLESS, STREAMED) as [board, other]:
                await other.put("x")
                start = await board.position()
                outcomes = [await board.put("a"), await board.put("b"), await board.remove("a")]
                assert [outcome.position for outcome in outcomes] == [start] * 3
                assert start.offset == 0
                assert await board.stream() == []
                await self.arrive()
                assert [change.offset for change in board.delivered] == [0, 0, 0]
                await board.remove("b")
                assert await board.position() == start, "an empty map is the same map"
                await board.maps.clear_entries(other.name)
                assert await board.position() == start

        self.run(scenario())

    def test_who_stood_at_the_start_of_an_unused_map_has_missed_all_of_it(self) -> None:
        async def scenario() -> None:
            async with self.running(STREAMED, STREAMED) as [board, other]:
                start = await board.position()
                await other.put("x")
                await board.put("a")
                assert await board.stream(start) == ["+a"]

        self.run(scenario())

    def test_concurrent_changes_are_put_in_one_order(self) -> None:
        async def scenario() -> None:
            async with self.running(STREAMED) as [board]:

                async def change(name: int) -> None:
                    for number in range(10):
                        await board.put("shared", f"{name}:{number}")
                        await board.put(f"own:{name}", f"{number}")

                await asyncio.gather(*map(change, range(5)))
                await self.arrive()
                assert [change.offset for change in board.delivered] == list(range(1, 101))
                last = {change.key: change.data for change in board.delivered}
                assert await board.state() == last

        self.run(scenario())

    # Conditions

    def test_an_idempotency_key_counts_once_in_its_channel_for_five_minutes(self) -> None:
        async def scenario() -> None:
            async with self.running(STREAMED, STREAMED) as [board, other]:
                once = Guard("once")
                first = await board.put("a", "1", once)
                await board.put("b")
                assert await board.put("c", "2", once) == Outcome(first.position, "idempotency")
                assert await board.remove("a", once) == Outcome(first.position, "idempotency")
                assert (await other.put("a", "1", once)).suppressed == ""
                assert list(await board.state()) == ["a", "b"]
                removed = await board.remove("a", Guard("removal"))
                assert await board.remove("b", Guard("removal")) == Outcome(removed.position, "idempotency")
                await self.sleep(301)
                assert (await board.put("c", "3", once)).suppressed == ""

        self.run(scenario())

    def test_a_version_counts_for_its_key_and_stays_where_none_is_given(self) -> None:
        async def scenario() -> None:
            async with self.running(STREAMED) as [board]:
                await board.put("a", "2", Guard(version=2))
                assert (await board.put("a", "1", Guard(version=1))).suppressed == "version"
                assert (await board.put("a", "2", Guard(version=2))).suppressed == "version"
                assert (await board.put("b", "1", Guard(version=1))).suppressed == ""
                await board.put("a", "without")
                assert (await board.put("a", "2", Guard(version=2))).suppressed == "version"
                assert (await board.put("a", "3", Guard(version=3, version_epoch="x"))).suppressed == ""
                assert (await board.put("a", "1", Guard(version=1, version_epoch="y"))).suppressed == ""
                assert await board.state() == {"a": "1", "b": "1"}
                await board.remove("a")
                assert (await board.put("a", "1", Guard(version=1))).suppressed == "", "it went with the entry"

        self.run(scenario())

    def test_only_says_when_an_entry_is_put(self) -> None:
        async def scenario() -> None:
            async with self.running(STREAMED) as [board]:
                missing = await board.put("a", "1", only="if_exists")
                assert (missing.suppressed, missing.position.offset) == ("key_not_found", 0)
                put = await board.put("a", "2", only="if_new")
                assert put.suppressed == ""
                assert await board.put("a", "3", only="if_new") == Outcome(put.position, "key_exists")
                assert await board.put("a", "4", only="touch") == Outcome(put.position, "key_exists")
                assert await board.state() == {"a": "2"}
                assert (await board.put("a", "5", only="if_exists")).suppressed == ""
                assert (await board.put("b", "6", only="touch")).suppressed == ""
                assert await board.state() == {"a": "5", "b": "6"}
                await self.arrive()
                assert board.keys() == ["+a", "+a", "+b"]

        self.run(scenario())

    @pytest.mark.parametrize("retention", [STREAMED, STREAMLESS], ids=["streamed", "streamless"])
    def test_no_other_entry_is_put_where_there_are_as_many_as_there_may_be(self, retention: MapRetention) -> None:
        async def scenario() -> None:
            async with self.running(retention) as [board]:
                for key in "ab":
                    assert (await board.put(key, most=2)).suppressed == ""
                at = await board.position()
                assert await board.put("c", most=2) == Outcome(at, "full")
                assert await board.put("c", most=2, only="if_new") == Outcome(at, "full")
                assert await board.put("c", most=2, only="touch") == Outcome(at, "full")
                assert (await board.put("c", most=2, only="if_exists")).suppressed == "key_not_found"
                assert (await board.put("a", "1", most=2)).suppressed == "", "it takes the place of one"
                assert (await board.put("c")).suppressed == "", "who says no number may"
                assert (await board.put("b", "2", most=2)).suppressed == ""
                assert (await board.put("d", most=2)).suppressed == "full"
                assert await board.state() == {"a": "1", "b": "2", "c": "x"}
                await board.remove("a")
                await board.remove("b")
                assert (await board.put("d", most=2)).suppressed == ""
                await self.arrive()
                assert board.keys() == ["+a", "+b", "+a", "+c", "+b", "-a", "-b", "+d"]

        self.run(scenario())

    def test_of_those_who_put_at_once_no_more_than_the_number_may(self) -> None:
        async def scenario() -> None:
            async with self.running(STREAMED) as [board]:
                outcomes = await asyncio.gather(*(board.put(str(number), most=3) for number in range(10)))
                assert sorted(outcome.suppressed for outcome in outcomes) == [""] * 3 + ["full"] * 7
                assert await board.maps.count_entries(board.name) == 3

        self.run(scenario())

    # Time

    @pytest.mark.parametrize("stream", [0, 100])
    def test_what_has_expired_is_removed_within_a_second_and_the_removal_is_delivered(self, stream: int) -> None:
        async def scenario() -> None:
            async with self.running(MapRetention(10.0, stream, 60.0, 60.0)) as [board]:
                await board.put("a", "1", tags={"lang": "en"})
                await self.sleep(5)
                await board.put("b", "2")
                await self.sleep(4.9)
                assert list(await board.state()) == ["a", "b"]
                await self.sleep(1.1)
                await self.arrive()
                assert list(await board.state()) == ["b"]
                assert board.keys() == ["+a", "+b", "-a"]
                assert board.delivered[-1].offset == (3 if stream else 0)
                assert board.delivered[-1].tags == {"lang": "en"}
                assert await board.stream() == (["+a", "+b", "-a"] if stream else [])
                await self.sleep(5)
                await self.arrive()
                assert board.keys()[3:] == ["-b"]
                assert await board.state() == {}

        self.run(scenario())

    def test_an_entry_that_is_put_or_touched_lives_on_and_one_that_is_suppressed_does_not(self) -> None:
        async def scenario() -> None:
            async with self.running(MapRetention(10.0)) as [board]:
                for key in ("put", "touched", "suppressed"):
                    await board.put(key)
                await self.sleep(8)
                await board.put("put")
                await board.put("touched", only="touch")
                await board.put("suppressed", only="if_new")
                await self.sleep(4)
                await self.arrive()
                assert list(await board.state()) == ["put", "touched"]
                assert board.keys() == ["+put", "+touched", "+suppressed", "+put", "-suppressed"]
                await self.sleep(7)
                assert await board.state() == {}

        self.run(scenario())

    def test_many_that_expire_at_different_times_are_all_removed_in_time(self) -> None:
        async def scenario() -> None:
            async with self.running(MapRetention(10.0)) as [board]:
                for number in range(100):
                    await board.put(f"{number}")
                    await self.sleep(0.05)
                for now in range(5, 17):
                    there = {int(key) for key in await board.state()}
                    assert there >= {n for n in range(100) if n * 0.05 + 10 > now + 0.5}, "not before its time"
                    assert there <= {n for n in range(100) if n * 0.05 + 10 > now - 1}, "nor a second after"
                    await self.sleep(1)
                await self.arrive()
                assert sorted(board.keys()[100:]) == sorted(f"-{number}" for number in range(100))

        self.run(scenario())

    def test_a_removed_entry_does_not_expire_again(self) -> None:
        async def scenario() -> None:
            async with self.running(MapRetention(10.0, 100, 60.0, 60.0)) as [board]:
                await board.put("a")
                await self.sleep(5)
                await board.remove("a")
                await board.put("a")
                await self.sleep(6)
                assert list(await board.state()) == ["a"], "the new one has not"
                await self.sleep(5)
                await self.arrive()
                assert board.keys() == ["+a", "-a", "+a", "-a"]

        self.run(scenario())

    def test_a_position_that_is_used_is_kept_and_one_that_is_not_is_forgotten(self) -> None:
        async def scenario() -> None:
            async with self.running(MapRetention(5.0, 100, 5.0, 20.0)) as [board]:
                before = (await board.put("a")).position
                for _ in range(4):
                    await self.sleep(15)
                    assert (await board.position()).epoch == before.epoch, "reading is using"
                await self.sleep(30)
                after = await board.position()
                assert after.offset == 0
                assert after.epoch != before.epoch
                assert (await board.put("a")).position == Position(1, after.epoch)

        self.run(scenario())

    def test_a_persistent_map_is_never_forgotten(self) -> None:
        async def scenario() -> None:
            async with self.running(STREAMED) as [board]:
                await board.put("a")
                top = (await board.remove("a")).position
                await self.sleep(6 * 24 * 3600)
                assert await board.position() == top

        self.run(scenario())

    # The end

    def test_clearing_removes_all_for_all_and_begins_a_new_epoch(self) -> None:
        async def scenario() -> None:
            async with self.running(STREAMED, STREAMLESS) as boards:
                for board in boards:
                    await board.put("a", "1", tags={"lang": "en"})
                    before = (await board.put("b")).position
                    await board.maps.clear_entries(board.name)
                    await self.arrive()
                    assert sorted(board.keys()[2:]) == ["-a", "-b"]
                    if board.retention.stream:
                        assert [(one.offset, one.epoch) for one in board.delivered[2:]] == [
                            (3, before.epoch),
                            (4, before.epoch),
                        ], "each in its turn, so that nobody takes it for a later one"
                    assert await board.state() == {}
                    assert await board.stream() == []
                    after = await board.position()
                    assert after.offset == 0
                    if board.retention.stream:
                        assert after.epoch != before.epoch
                        assert (await board.put("c")).position == Position(1, after.epoch)
                    await board.maps.clear_entries("never used")

        self.run(scenario())

    def test_maps_that_were_lost_show_in_the_epoch(self) -> None:
        async def scenario() -> None:
            async with self.running(STREAMED) as [board]:
                before = (await board.put("a")).position
            async with self.running(STREAMED) as [board]:
                assert await board.state() == {}
                after = (await board.put("a")).position
                assert after.offset == before.offset == 1
                assert after.epoch != before.epoch

        self.run(scenario())

    def test_a_broker_that_is_not_running_says_so(self) -> None:
        async def scenario() -> None:
            broker = self.make_broker()
            assert isinstance(broker, Maps)
            board = Board(broker, STREAMED)
            for attempt in (board.put("a"), board.remove("a"), broker.clear_entries("board")):
                with pytest.raises(UsageError, match=r"lifespan=hub\.lifespan"):
                    await attempt

        self.run(scenario())

    @given(data=st.data())
    @settings(deadline=None, max_examples=60)
    def test_what_was_delivered_makes_the_state_and_the_stream(self, data: st.DataObject) -> None:
        """Whatever is done: who applies each delivered change to its copy has what the broker has."""

        async def scenario() -> None:
            key_ttl = data.draw(st.sampled_from([0.0, 3.0]))
            stream = data.draw(st.sampled_from([0, 3, 100]))
            meta_ttl = 60.0 if key_ttl else 0.0
            keys = st.sampled_from("abcde")
            async with self.running(MapRetention(key_ttl, stream, 60.0, meta_ttl)) as [board]:
                for number in range(data.draw(st.integers(1, 30))):
                    match data.draw(st.sampled_from(["put", "put", "if_new", "touch", "remove", "sleep", "clear"])):
                        case "put":
                            await board.put(data.draw(keys), f"{number}")
                        case "if_new":
                            await board.put(data.draw(keys), f"{number}", only="if_new")
                        case "touch":
                            await board.put(data.draw(keys), f"{number}", only="touch")
                        case "remove":
                            await board.remove(data.draw(keys))
                        case "sleep":
                            await self.sleep(data.draw(st.sampled_from([0.3, 1.0, 4.0])))
                        case _:
                            await board.maps.clear_entries(board.name)
                    await self.arrive()
                    copy: dict[str, Publication] = {}
                    for change in board.delivered:
                        known = copy.pop(change.key, None)
                        assert change.before == known
                        if not change.removed:
                            copy[change.key] = change._replace(before=None)
                    page = await board.maps.entries(board.name, board.retention)
                    assert list(page.entries) == [copy[key] for key in sorted(copy)]
                    changes, top = await board.maps.changes(board.name, board.retention)
                    assert top == page.position
                    of_epoch = [one for one in board.delivered if one.offset and one.epoch == top.epoch]
                    assert [one.offset for one in of_epoch] == list(range(1, top.offset + 1))
                    newest = of_epoch[-stream:] if stream else []
                    assert list(changes) == [one._replace(before=None) for one in newest]

        self.run(scenario())
