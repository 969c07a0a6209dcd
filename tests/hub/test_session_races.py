"""What meets in the middle of a session's work: the end, a slow broker, a busy handler."""

import asyncio
import gc
import weakref
from typing import Any

import pytest
from tests.clock import Clock, ticks
from tests.hub.fakes import FakeTransport
from tests.hub.sessions import TODAY, Guest, SessionStage

from hubbub import Grant, Identity, Member
from hubbub.brokers.memory import MemoryBroker
from hubbub.errors import Slow, TokenExpired
from hubbub.protocol.publication import Presence


class Unhurried(MemoryBroker):
    """Takes longer to tell who came than who left."""

    async def announce(self, channel: str, presence: Presence) -> None:
        await asyncio.sleep(5 if presence.joined else 1)
        await super().announce(channel, presence)


class Narrow(FakeTransport):
    """A connection that takes so many messages, and then is too slow."""

    room = 0

    def push(self, batch: tuple[str | bytes, ...]) -> None:
        if self.room < len(batch):
            self.give_up(Slow("full"))
        else:
            self.room -= len(batch)
            super().push(batch)


def held_by_nothing(stage: SessionStage, guest: Guest) -> None:
    """Fails if the hub still knows a session."""
    engine, session = stage.engine, guest.session
    assert session not in engine.sessions
    assert session not in engine.alarms._of
    assert session not in engine.sessions._all
    assert session not in engine.sessions._heartbeat._members
    assert engine.fanout.channels() == {}


def test_who_leaves_while_others_are_told_that_it_came_has_left_in_the_end(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(broker=Unhurried(), session_pong_timeout=1000)
        stage.channel("room", join_leave="force")
        watcher = await stage.subscribed("room")
        guest = await stage.subscribed("room")
        await asyncio.sleep(0.5)
        assert (await guest.ask(unsubscribe={"channel": "room"}))["unsubscribe"] == {}
        guest.begin(subscribe={"channel": "room"})
        await asyncio.sleep(20)
        told = [next(iter(push.keys() - {"channel"})) for push in watcher.pushes()]
        assert told == ["join", "join", "leave", "join"], "its own, and those of the guest in their order"

    clock.run(scenario())


def test_who_came_before_the_channel_was_subscribed_to_is_not_told_of(clock: Clock) -> None:
    class Late(MemoryBroker):
        async def subscribe(self, channel: str) -> None:
            await asyncio.sleep(1)
            # Still from a subscription of before; that they left again was lost with its end.
            await self.announce(channel, Presence(Member("bert", "c2"), joined=True))
            await asyncio.sleep(1)

    async def scenario() -> None:
        stage = await SessionStage.open(broker=Late())
        stage.channel("room", join_leave="force")
        guest = await stage.enter()
        guest.begin(subscribe={"channel": "room"})
        await asyncio.sleep(3)
        assert [push["join"]["info"]["client"] for push in guest.pushes()] == [guest.session.id]

    clock.run(scenario())


def test_a_client_that_has_sent_connect_in_time_may_come_back_when_the_answer_is_late(clock: Clock) -> None:
    class Asleep(MemoryBroker):
        async def subscribe(self, channel: str) -> None:
            await asyncio.sleep(3600)

    async def scenario() -> None:
        stage = await SessionStage.open(broker=Asleep(), stale_timeout=10)
        stage.channel("news")
        stage.auth.identities["anna"] = Identity("anna", subscriptions={"news": Grant()})
        guest = stage.arrive()
        guest.begin(connect={"token": "anna"})
        await asyncio.sleep(20)
        assert guest.closed == (3004, "internal server error")
        held_by_nothing(stage, guest)

    clock.run(scenario())


def test_a_pong_counts_though_a_handler_is_busy(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(session_ping_interval=25, session_pong_timeout=8)

        async def work() -> str:
            await asyncio.sleep(100)
            return "done"

        stage.method("work", work)
        guest = await stage.enter()
        number = guest.begin(rpc={"method": "work"})
        for _ in range(110):
            await asyncio.sleep(1)
            for reply in guest.take():
                if not reply:
                    guest.say({})
                elif reply.get("id") == number:
                    assert reply["rpc"] == {"data": "done"}
                    return
        raise AssertionError(f"no answer; closed: {guest.closed}")

    clock.run(scenario())


def test_a_second_pong_for_one_ping_ends_the_session_as_before(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        guest = await stage.enter()
        while {} not in guest.take():
            await asyncio.sleep(1)
        guest.say({})
        guest.say({})
        await ticks(3)
        assert guest.closed == (3501, "bad request")

    clock.run(scenario())


def test_a_connect_that_is_refused_after_the_client_left_changes_nothing(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(leave_grace=5)

        async def who() -> Identity:
            await asyncio.sleep(1)
            raise TokenExpired

        stage.on_connect(who)
        guest = stage.arrive()
        guest.begin(connect={})
        await ticks(3)
        guest.transport.leaves()
        await asyncio.sleep(3)
        held_by_nothing(stage, guest)
        assert stage.engine.admission._total == 0
        await asyncio.sleep(20)
        assert guest.transport.closed == []
        assert stage.engine.admission._total == 0, "it is counted out once"

    clock.run(scenario())


@pytest.mark.parametrize("room", [0, 1])
def test_who_is_too_slow_for_the_answer_to_its_own_connect_is_gone(clock: Clock, room: int) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("news", history=10, recovery="force", presence=True)
        stage.auth.identities["anna"] = Identity("anna", subscriptions={"news": Grant()}, expire_at=TODAY + 9999)
        transport = Narrow()
        transport.room = room
        guest = stage.arrive(transport=transport)
        guest.begin(connect={"token": "anna"})
        await ticks(5)
        if room:
            await stage.engine.publish("news", 1)
            await ticks(5)
        assert guest.closed == (3008, "slow")
        await asyncio.sleep(5)
        held_by_nothing(stage, guest)
        assert await stage.engine.members("news") == {}

    clock.run(scenario())


@pytest.mark.parametrize("told", [False, True])
def test_that_somebody_left_is_told_where_it_was_told_that_it_came(clock: Clock, *, told: bool) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("news", presence=True, join_leave="force")
        watcher = await stage.subscribed("news")
        transport = Narrow()
        transport.room = 2 if told else 1  # the answers to connect and to subscribe; what comes then is too much
        guest = stage.arrive(transport=transport)
        await guest.ask(connect={})
        guest.begin(subscribe={"channel": "news"})
        await asyncio.sleep(5)
        assert guest.closed == (3008, "slow")
        assert [next(iter(push.keys() - {"channel"})) for push in watcher.pushes()] == ["join", "leave"] * told
        assert await stage.engine.members("news") == {watcher.session.id: watcher.session.member(None)}

    clock.run(scenario())


def test_what_is_refreshed_after_the_end_is_held_by_nothing(clock: Clock) -> None:
    async def scenario() -> weakref.ref[Any]:
        stage = await SessionStage.open(leave_grace=5)
        authenticate = stage.auth.authenticate

        async def slowly(token: str) -> Identity:
            await asyncio.sleep(1)
            return await authenticate(token)

        guest = await stage.enter("anna")
        stage.auth.identities["more"] = Identity("anna", expire_at=TODAY + 1e6)
        stage.auth.authenticate = slowly  # type: ignore[method-assign]
        guest.begin(refresh={"token": "more"})
        await ticks(3)
        guest.transport.leaves()
        await asyncio.sleep(3)
        held_by_nothing(stage, guest)
        gone = weakref.ref(guest.session)
        del guest
        await asyncio.sleep(10)
        return gone

    gone = clock.run(scenario())
    gc.collect()
    assert gone() is None


def test_who_is_put_into_a_channel_while_it_subscribes_by_itself_is_seen_there(clock: Clock) -> None:
    class Steps(MemoryBroker):
        async def enter(self, channel: str, member: Any) -> None:
            await super().enter(channel, member)
            await asyncio.sleep(2 if member.channel_info is None else 1)

    async def scenario() -> None:
        stage = await SessionStage.open(broker=Steps())
        stage.channel("room", presence=True)
        guest = await stage.enter()
        guest.begin(subscribe={"channel": "room"})
        await asyncio.sleep(0.5)
        await guest.session.subscribe("room", Grant()._replace(info='{"by": "server"}'))
        await asyncio.sleep(10)
        assert not guest.session.subscriptions["room"].server_side, "it was first"
        assert list(await stage.engine.members("room")) == [guest.session.id]

    clock.run(scenario())
