"""What every broker promises, as one suite: subclass it and say how to make yours.

A subclass gives `make_broker`. One that reaches out of this process gives `run` too, since nothing arrives
there in travelling time, and `arrive`; one with a clock of its own gives `sleep`.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any

import pytest
from tests.clock import Clock

from hubbub import Broker, History, Member, Position, Publication, Retention, UsageError
from hubbub.brokers.base import Guard, Roster
from hubbub.protocol.publication import Event, Payload, Presence

NONE = Retention(0, 300.0)
KEEP = Retention(100, 300.0)

Delivered = list[tuple[str, Event]]


def texts(publications: Iterable[Event]) -> list[Payload]:
    return [publication.data for publication in publications if isinstance(publication, Publication)]


def offsets(delivered: Delivered) -> list[int]:
    return [event.offset for _, event in delivered if isinstance(event, Publication)]


async def found(history: History, channel: str, since: Position | None = None) -> tuple[list[Publication], Position]:
    kept, top = await history.history(channel, since)
    return list(kept), top


class BrokerContract(ABC):
    """The promises of `hubbub.Broker`."""

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
    async def running(self) -> AsyncIterator[tuple[Broker, Delivered]]:
        delivered: Delivered = []
        broker = self.make_broker()
        await broker.start(lambda channel, publication: delivered.append((channel, publication)))
        try:
            yield broker, delivered
        finally:
            await broker.stop()

    def test_a_subscribed_channel_is_delivered_in_order_and_once(self) -> None:
        async def scenario() -> None:
            async with self.running() as (broker, delivered):
                await broker.subscribe("lobby")
                for number in range(50):
                    await broker.publish("lobby", Publication(f"{number}"), NONE)
                await self.arrive()
                assert delivered == [("lobby", Publication(f"{number}", 0)) for number in range(50)]

        self.run(scenario())

    def test_text_stays_text_and_bytes_stay_bytes(self) -> None:
        payloads = ["", "text", "ünï\x00code \U0001f600", b"", b"\x00\xff\xfe", b"text"]

        async def scenario() -> None:
            async with self.running() as (broker, delivered):
                await broker.subscribe("lobby")
                for payload in payloads:
                    await broker.publish("lobby", Publication(payload), NONE)
                await self.arrive()
                heard = texts(event for _, event in delivered)
                assert heard == payloads
                assert list(map(type, heard)) == list(map(type, payloads))

        self.run(scenario())

    @pytest.mark.parametrize("channel", ["lobby", "chat:lobby", "user:#42", "ünï \U0001f600", "a b", "*", ">", "a.b.*"])
    def test_any_name_is_a_channel_and_none_is_a_pattern(self, channel: str) -> None:
        async def scenario() -> None:
            async with self.running() as (broker, delivered):
                await broker.subscribe(channel)
                await broker.subscribe("a.b.c")
                await broker.publish(channel, Publication("here"), KEEP)
                await broker.publish("a.b.c", Publication("there"), KEEP)
                await self.arrive()
                assert [name for name, _ in delivered] == [channel, "a.b.c"]
                assert texts(event for _, event in delivered) == ["here", "there"]

        self.run(scenario())

    def test_channels_are_apart(self) -> None:
        async def scenario() -> None:
            async with self.running() as (broker, delivered):
                await broker.subscribe("red")
                await broker.subscribe("blue")
                red = await broker.publish("red", Publication("r1"), KEEP)
                blue = await broker.publish("blue", Publication("b1"), KEEP)
                assert (red.offset, blue.offset) == (1, 1)
                await self.arrive()
                assert [channel for channel, _ in delivered] == ["red", "blue"]

        self.run(scenario())

    def test_what_is_delivered_carries_the_offset_that_publish_answered(self) -> None:
        async def scenario() -> None:
            async with self.running() as (broker, delivered):
                await broker.subscribe("lobby")
                positions = [await broker.publish("lobby", Publication("x"), KEEP) for _ in range(5)]
                await self.arrive()
                assert [position.offset for position in positions] == [1, 2, 3, 4, 5]
                assert len({position.epoch for position in positions}) == 1
                assert offsets(delivered) == [1, 2, 3, 4, 5]

        self.run(scenario())

    def test_concurrent_publishers_are_put_in_one_order_for_history_and_delivery(self) -> None:
        async def scenario() -> None:
            async with self.running() as (broker, delivered):
                await broker.subscribe("lobby")

                async def publisher(name: int) -> list[int]:
                    return [(await broker.publish("lobby", Publication(f"{name}:{n}"), KEEP)).offset for n in range(10)]

                given = await asyncio.gather(*map(publisher, range(5)))
                await self.arrive()
                assert sorted(chain(*given)) == list(range(1, 51)), "each offset is given once"
                assert all(own == sorted(own) for own in given)
                assert offsets(delivered) == list(range(1, 51))
                if isinstance(broker, History):
                    kept, _ = await broker.history("lobby")
                    assert list(kept) == [publication for _, publication in delivered]

        self.run(scenario())

    def test_a_delivery_finds_itself_in_the_history(self) -> None:
        """Append and publish are one step: who is told of an offset may ask for it at once."""

        async def scenario() -> None:
            seen: list[list[Payload]] = []
            asked: list[asyncio.Task[None]] = []
            broker = self.make_broker()
            if not isinstance(broker, History):
                return

            async def ask() -> None:
                kept, _ = await broker.history("lobby")
                seen.append(texts(kept))

            await broker.start(lambda channel, publication: asked.append(asyncio.ensure_future(ask())))
            await broker.subscribe("lobby")
            await broker.publish("lobby", Publication("one"), KEEP)
            await self.arrive()
            await asyncio.gather(*asked)
            assert seen == [["one"]]
            await broker.stop()

        self.run(scenario())

    def test_a_channel_that_keeps_nothing_stays_at_offset_zero(self) -> None:
        async def scenario() -> None:
            async with self.running() as (broker, delivered):
                await broker.subscribe("lobby")
                positions = [await broker.publish("lobby", Publication("x"), NONE) for _ in range(3)]
                await self.arrive()
                assert [position.offset for position in positions] == [0, 0, 0]
                assert offsets(delivered) == [0, 0, 0]
                if isinstance(broker, History):
                    assert await found(broker, "lobby") == ([], positions[0])

        self.run(scenario())

    def test_subscriptions_come_and_go(self) -> None:
        async def scenario() -> None:
            async with self.running() as (broker, delivered):
                await broker.subscribe("lobby")
                await broker.unsubscribe("lobby")
                await broker.subscribe("lobby")
                await broker.publish("lobby", Publication("one"), NONE)
                await self.arrive()
                assert texts(event for _, event in delivered) == ["one"]

        self.run(scenario())

    def test_who_comes_and_leaves_is_announced_between_the_publications(self) -> None:
        member = Member("anna", "c1", "info", b"\xff")

        async def scenario() -> None:
            async with self.running() as (broker, delivered):
                await broker.subscribe("lobby")
                events: list[Event] = [
                    Publication("one"),
                    Presence(member, joined=True),
                    Publication("two"),
                    Presence(member, joined=False),
                ]
                for event in events:
                    if isinstance(event, Publication):
                        await broker.publish("lobby", event, NONE)
                    else:
                        await broker.announce("lobby", event)
                await self.arrive()
                assert delivered == [("lobby", event) for event in events]
                if isinstance(broker, History):
                    assert texts((await broker.history("lobby"))[0]) == [], "nothing of it is kept"

        self.run(scenario())

    @pytest.mark.parametrize("retention", [NONE, KEEP])
    def test_a_publication_whose_key_was_used_is_not_made_again_for_five_minutes(self, retention: Retention) -> None:
        async def scenario() -> None:
            async with self.running() as (broker, delivered):
                await broker.subscribe("lobby")
                await broker.subscribe("other")

                async def publish(text: str, channel: str = "lobby", key: str = "k") -> Position:
                    return await broker.publish(channel, Publication(text), retention, Guard(key))

                first = await publish("first")
                assert await publish("again") == first
                await publish("other key", key="l")
                await publish("other channel", "other")
                await self.sleep(299)
                assert await publish("still") == first
                await self.sleep(2)
                assert (await publish("later")).offset == (3 if retention is KEEP else 0)
                await self.arrive()
                heard = texts(event for _, event in delivered)
                assert heard == ["first", "other key", "other channel", "later"]

        self.run(scenario())

    def test_of_publications_with_one_key_that_are_made_at_once_there_is_one(self) -> None:
        async def scenario() -> None:
            async with self.running() as (broker, delivered):
                await broker.subscribe("lobby")
                made = [broker.publish("lobby", Publication("x"), KEEP, Guard("k")) for _ in range(10)]
                positions = await asyncio.gather(*made)
                await self.arrive()
                assert {position.offset for position in positions} == {1}
                assert len(delivered) == 1

        self.run(scenario())

    def test_the_version_of_what_is_not_kept_neither_counts_nor_is_remembered(self) -> None:
        async def scenario() -> None:
            async with self.running() as (broker, delivered):
                await broker.subscribe("lobby")
                for text, retention, version in (
                    ("3", KEEP, 3),
                    ("2, not kept", NONE, 2),
                    ("9, not kept", NONE, 9),
                    ("4", KEEP, 4),
                    ("4 again", KEEP, 4),
                ):
                    guard = Guard("", version)
                    position = await broker.publish("lobby", Publication(text), retention, guard)
                    assert position.offset == (0 if retention is NONE else int(text[0]) - 2)
                await self.arrive()
                assert texts(event for _, event in delivered) == ["3", "2, not kept", "9, not kept", "4"]

        self.run(scenario())

    def test_a_version_that_is_not_above_the_newest_is_dropped(self) -> None:
        async def scenario() -> None:
            async with self.running() as (broker, delivered):
                await broker.subscribe("lobby")
                await broker.subscribe("other")
                positions = [
                    await broker.publish(channel, Publication(text), KEEP, Guard("", version, epoch))
                    for text, channel, version, epoch in (
                        ("1", "lobby", 1, ""),
                        ("5", "lobby", 5, ""),
                        ("4", "lobby", 4, ""),
                        ("5 again", "lobby", 5, ""),
                        ("1 of b", "lobby", 1, "b"),
                        ("1 of other", "other", 1, ""),
                        ("6", "lobby", 6, ""),
                        ("no version", "lobby", 0, ""),
                    )
                ]
                await self.arrive()
                heard = texts(event for _, event in delivered)
                assert heard == ["1", "5", "1 of b", "1 of other", "6", "no version"]
                assert positions[2] == positions[3] == positions[1]
                assert [position.offset for position in positions] == [1, 2, 2, 2, 3, 1, 4, 5]

        self.run(scenario())

    def test_a_key_and_a_version_both_hold_back(self) -> None:
        async def scenario() -> None:
            async with self.running() as (broker, delivered):
                await broker.subscribe("lobby")
                for text, guard in (
                    ("first", Guard("a", 1)),
                    ("same key", Guard("a", 2)),
                    ("same version", Guard("b", 1)),
                    ("second", Guard("b", 2)),
                ):
                    await broker.publish("lobby", Publication(text), KEEP, guard)
                await self.arrive()
                assert texts(event for _, event in delivered) == ["first", "second"]

        self.run(scenario())

    def test_a_broker_that_is_not_running_says_so(self) -> None:
        async def scenario() -> None:
            broker = self.make_broker()
            with pytest.raises(UsageError, match=r"lifespan=hub\.lifespan"):
                await broker.publish("lobby", Publication("x"), NONE)
            await broker.start(lambda channel, publication: None)
            await broker.publish("lobby", Publication("x"), NONE)
            await broker.stop()
            await broker.stop()
            with pytest.raises(UsageError, match=r"lifespan=hub\.lifespan"):
                await broker.publish("lobby", Publication("x"), NONE)

        self.run(scenario())


class HistoryContract(BrokerContract):
    """The promises of `hubbub.History`, for brokers that keep any."""

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[tuple[Broker, History]]:
        async with self.running() as (broker, _):
            assert isinstance(broker, History)
            yield broker, broker

    def test_no_more_than_size_are_kept_and_the_newest_stay(self) -> None:
        async def scenario() -> None:
            async with self.keeping() as (broker, history):
                for number in range(1, 8):
                    await broker.publish("lobby", Publication(f"{number}"), Retention(3, 300.0))
                    kept, top = await history.history("lobby")
                    assert texts(kept) == [f"{n}" for n in range(max(1, number - 2), number + 1)]
                    assert top.offset == number

        self.run(scenario())

    def test_a_size_that_shrinks_takes_effect_with_the_next_publication(self) -> None:
        async def scenario() -> None:
            async with self.keeping() as (broker, history):
                for number in range(5):
                    await broker.publish("lobby", Publication(f"{number}"), KEEP)
                await broker.publish("lobby", Publication("last"), Retention(2, 300.0))
                kept, _ = await history.history("lobby")
                assert texts(kept) == ["4", "last"]

        self.run(scenario())

    def test_none_is_kept_for_longer_than_ttl(self) -> None:
        async def scenario() -> None:
            async with self.keeping() as (broker, history):
                retention = Retention(100, 10.0)
                await broker.publish("lobby", Publication("one"), retention)
                await self.sleep(6)
                await broker.publish("lobby", Publication("two"), retention)
                await self.sleep(3.9)
                assert texts((await history.history("lobby"))[0]) == ["one", "two"]
                await self.sleep(0.2)
                assert texts((await history.history("lobby"))[0]) == ["two"]
                await self.sleep(6)
                assert texts((await history.history("lobby"))[0]) == []

        self.run(scenario())

    def test_offsets_go_on_after_all_has_expired(self) -> None:
        async def scenario() -> None:
            async with self.keeping() as (broker, history):
                retention = Retention(100, 10.0)
                before = [await broker.publish("lobby", Publication("x"), retention) for _ in range(3)][-1]
                await self.sleep(50)
                assert await found(history, "lobby") == ([], before), "the position outlives the publications"
                after = await broker.publish("lobby", Publication("new"), retention)
                assert after == Position(4, before.epoch)
                assert await found(history, "lobby", before) == ([Publication("new", 4, after.epoch)], after)

        self.run(scenario())

    def test_since_gives_exactly_what_came_after(self) -> None:
        async def scenario() -> None:
            async with self.keeping() as (broker, history):
                positions = [await broker.publish("lobby", Publication(f"{number}"), KEEP) for number in range(1, 6)]
                epoch = positions[0].epoch
                for offset in range(7):
                    kept, top = await history.history("lobby", Position(offset, epoch))
                    assert texts(kept) == [f"{number}" for number in range(offset + 1, 6)]
                    assert top == positions[-1]

        self.run(scenario())

    def test_since_another_epoch_matches_nothing_and_shows_the_own_epoch(self) -> None:
        async def scenario() -> None:
            async with self.keeping() as (broker, history):
                top = await broker.publish("lobby", Publication("x"), KEEP)
                for offset in (0, 1, 99):
                    assert await found(history, "lobby", Position(offset, "another")) == ([], top)

        self.run(scenario())

    def test_who_stood_at_the_start_of_an_unused_channel_has_missed_all_of_it(self) -> None:
        async def scenario() -> None:
            async with self.keeping() as (broker, history):
                nothing, start = await history.history("lobby")
                assert (tuple(nothing), start.offset) == ((), 0)
                await broker.publish("other", Publication("x"), KEEP)
                top = await broker.publish("lobby", Publication("first"), KEEP)
                assert await found(history, "lobby", start) == ([Publication("first", 1, top.epoch)], top)

        self.run(scenario())

    def test_limit_and_reverse_choose_from_what_came_after_since_or_before_it(self) -> None:
        async def scenario() -> None:
            async with self.keeping() as (broker, history):
                for number in range(1, 7):
                    epoch = (await broker.publish("lobby", Publication(f"{number}"), KEEP)).epoch
                since = Position(2, epoch)

                async def kept(*arguments: Any, **options: bool) -> list[Payload]:
                    return texts((await history.history("lobby", *arguments, **options))[0])

                assert await kept(None, 2) == ["1", "2"]
                assert await kept(None, 0) == []
                assert await kept(None, 99) == ["1", "2", "3", "4", "5", "6"]
                assert await kept(since, 2) == ["3", "4"]
                assert await kept(Position(2, ""), 2) == ["3", "4"], "an empty epoch is any"
                assert await kept(Position(5, epoch), None, reverse=True) == ["4", "3", "2", "1"]
                assert await kept(Position(5, epoch), 2, reverse=True) == ["4", "3"]
                assert await kept(Position(5, "other"), 2, reverse=True) == []
                assert await kept(None, 1, reverse=True) == ["6"]
                assert await kept(Position(6, epoch), 2) == []

        self.run(scenario())

    def test_what_was_handed_out_does_not_change_behind_the_callers_back(self) -> None:
        async def scenario() -> None:
            async with self.keeping() as (broker, history):
                await broker.publish("lobby", Publication("one"), KEEP)
                kept, _ = await history.history("lobby")
                await broker.publish("lobby", Publication("two"), KEEP)
                assert texts(kept) == ["one"]

        self.run(scenario())

    def test_removed_history_is_gone_and_offsets_go_on(self) -> None:
        async def scenario() -> None:
            async with self.keeping() as (broker, history):
                await history.remove_history("never used")
                await broker.publish("other", Publication("stays"), KEEP)
                before = [await broker.publish("lobby", Publication("x"), KEEP) for _ in range(3)][-1]
                await history.remove_history("lobby")
                assert await found(history, "lobby") == ([], before)
                assert await broker.publish("lobby", Publication("new"), KEEP) == Position(4, before.epoch)
                assert texts((await history.history("lobby"))[0]) == ["new"]
                assert texts((await history.history("other"))[0]) == ["stays"]

        self.run(scenario())

    def test_history_that_was_lost_shows_in_the_epoch(self) -> None:
        async def scenario() -> None:
            async with self.keeping() as (broker, _):
                before = await broker.publish("lobby", Publication("x"), KEEP)
            async with self.keeping() as (broker, history):
                after = await broker.publish("lobby", Publication("y"), KEEP)
                assert after.offset == before.offset == 1
                assert after.epoch != before.epoch
                assert await found(history, "lobby", before) == ([], after)

        self.run(scenario())


class RosterContract(BrokerContract):
    """The promises of `hubbub.brokers.base.Roster`, for brokers that know who is in a channel."""

    @asynccontextmanager
    async def knowing(self) -> AsyncIterator[Roster]:
        async with self.running() as (broker, _):
            assert isinstance(broker, Roster)
            yield broker

    def test_members_are_those_who_entered_and_have_not_left(self) -> None:
        async def scenario() -> None:
            async with self.knowing() as roster:
                anna, again, bert = Member("anna", "c1"), Member("anna", "c2", "info", b"\xff"), Member("bert", "c3")
                assert await roster.members("lobby") == {}
                for member in (anna, again, bert):
                    await roster.enter("lobby", member)
                await roster.enter("other", bert)
                assert await roster.members("lobby") == {"c1": anna, "c2": again, "c3": bert}
                await roster.exit("lobby", "c1")
                await roster.exit("lobby", "c1")
                await roster.exit("never used", "c1")
                assert await roster.members("lobby") == {"c2": again, "c3": bert}
                for client in ("c2", "c3"):
                    await roster.exit("lobby", client)
                assert await roster.members("lobby") == {}
                assert await roster.members("other") == {"c3": bert}

        self.run(scenario())

    def test_who_enters_again_is_there_once_and_as_it_is_now(self) -> None:
        async def scenario() -> None:
            async with self.knowing() as roster:
                await roster.enter("lobby", Member("anna", "c1", "before"))
                await roster.enter("lobby", Member("anna", "c1", "now"))
                assert await roster.members("lobby") == {"c1": Member("anna", "c1", "now")}
                await roster.exit("lobby", "c1")
                assert await roster.members("lobby") == {}

        self.run(scenario())

    def test_members_that_were_handed_out_do_not_change_behind_the_callers_back(self) -> None:
        async def scenario() -> None:
            async with self.knowing() as roster:
                await roster.enter("lobby", Member("anna", "c1"))
                members = await roster.members("lobby")
                await roster.enter("lobby", Member("bert", "c2"))
                assert set(members) == {"c1"}

        self.run(scenario())
