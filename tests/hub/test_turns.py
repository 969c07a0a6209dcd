"""Removals, and who else wants the same channel, while a session is on its way into it."""

import asyncio
import math
from typing import Any

import pytest
from tests.clock import Clock, ticks
from tests.hub.maps.stage import PERSISTENT, SMALL_PAGES, STATE, MapStage
from tests.hub.sessions import Guest, SessionStage, SlowBroker

from hubbub import Forbidden, Grant, Identity
from hubbub.errors import ChannelLimit, ForceDisconnect, UsageError
from hubbub.hub.joining import subscribe_by_server
from hubbub.protocol import codecs

GONE: dict[str, Any] = {"code": 2000, "reason": "server unsubscribe"}
REFUSED = {"code": 103, "message": "permission denied"}


async def nothing_is_left(stage: SessionStage, channel: str = "room") -> None:
    """Fails unless nobody is in the channel, or seen there."""
    await asyncio.sleep(10)
    assert await stage.engine.members(channel) == {}
    assert channel not in stage.engine.fanout.channels()
    assert not stage.engine.turns.attempts
    assert not stage.engine.turns._last


async def answer_to(guest: Guest, number: int) -> dict[str, Any]:
    await asyncio.sleep(10)
    (reply,) = (reply for reply in guest.take() if reply.get("id") == number)
    return reply


@pytest.mark.parametrize("channel", ["room", ""])
def test_who_is_removed_while_a_handler_decides_does_not_get_in(clock: Clock, channel: str) -> None:
    async def decide() -> None:
        await asyncio.sleep(2)

    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", presence=True, on_subscribe=decide)
        guest = await stage.enter("anna")
        number = guest.begin(subscribe={"channel": "room"})
        await asyncio.sleep(1)
        stage.engine.sessions.unsubscribe("anna", channel)
        assert (await answer_to(guest, number))["error"] == REFUSED
        assert guest.session.subscriptions == {}
        await nothing_is_left(stage)
        assert "subscribe" in await answer_to(guest, guest.begin(subscribe={"channel": "room"})), "then it may"

    clock.run(scenario())


@pytest.mark.parametrize("seconds", range(3))
def test_who_is_removed_while_it_is_prepared_is_not_seen(clock: Clock, seconds: int) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(broker=SlowBroker())
        stage.channel("room", presence=True, join_leave="force", history=3, recovery="force")
        guest = await stage.enter("anna")
        number = guest.begin(subscribe={"channel": "room"})
        await asyncio.sleep(0.5 + seconds)
        stage.engine.sessions.unsubscribe("anna", "other")
        stage.engine.sessions.unsubscribe("anna", "room")
        assert (await answer_to(guest, number))["error"] == REFUSED
        await nothing_is_left(stage)

    clock.run(scenario())


def test_a_handler_may_make_room_for_whom_it_admits(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()

        async def one_at_a_time() -> None:
            stage.engine.sessions.unsubscribe("anna", "room")

        stage.channel("room", on_subscribe=one_at_a_time)
        first, second = await stage.subscribed("room", "anna"), await stage.enter("anna")
        assert "subscribe" in await second.ask(subscribe={"channel": "room"})
        await ticks(3)
        assert first.pushes() == [{"channel": "room", "unsubscribe": GONE}]
        assert set(second.session.subscriptions) == {"room"}

    clock.run(scenario())


def test_a_handler_makes_room_in_other_tasks_too(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()

        async def remove() -> None:
            stage.engine.sessions.unsubscribe("anna")

        async def one_at_a_time() -> None:
            await asyncio.gather(remove(), remove())

        stage.channel("room", on_subscribe=one_at_a_time)
        await stage.subscribed("room", "anna")

    clock.run(scenario())


def test_what_a_method_removes_while_it_is_prepared_is_removed(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(broker=SlowBroker())
        stage.channel("room", presence=True)

        async def remove() -> None:
            stage.engine.sessions.unsubscribe("anna", "room")

        stage.method("remove", remove)
        guest = await stage.enter("anna")
        task = asyncio.create_task(guest.session.subscribe("room", Grant()))
        await asyncio.sleep(0.5)
        assert "rpc" in await guest.ask(rpc={"method": "remove"})
        await task
        assert guest.session.subscriptions == {}
        await nothing_is_left(stage)

    clock.run(scenario())


def test_a_handler_removes_from_another_channel_of_the_same_connect(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()

        async def decide() -> None:
            stage.engine.sessions.unsubscribe("anna", "a")

        stage.channel("a", presence=True)
        stage.channel("b", on_subscribe=decide)
        guest = stage.arrive()
        reply = await guest.ask(connect={"token": "anna", "subs": {"a": {}, "b": {}}})
        assert set(reply["connect"]["subs"]) == {"b"}
        await nothing_is_left(stage, "a")

    clock.run(scenario())


def test_many_at_once_do_not_get_past_the_limit(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(broker=SlowBroker(), max_channels_per_session=3, session_pong_timeout=1000)
        stage.channel("{room}", presence=True)
        guest, other = await stage.enter("anna"), await stage.enter("bert")
        at_once = [guest.session.subscribe(str(number), Grant()) for number in range(6)]
        at_once += [other.session.subscribe(name, Grant()) for name in "abc"]
        tasks = [asyncio.create_task(one) for one in at_once]
        await asyncio.sleep(0.5)
        number = other.begin(subscribe={"channel": "x"})
        await asyncio.gather(*tasks)
        assert guest.closed is not None
        assert guest.closed[0] == ChannelLimit.code
        assert (await answer_to(other, number))["error"]["code"] == 106
        assert set(other.session.subscriptions) == set("abc")
        for channel in map(str, range(6)):
            await nothing_is_left(stage, channel)

    clock.run(scenario())


def test_the_app_and_the_client_come_one_after_the_other(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(broker=SlowBroker())
        stage.channel("room", presence=True)
        guest = await stage.enter("anna")
        by_server = [asyncio.create_task(guest.session.subscribe("room", Grant())) for _ in range(2)]
        await ticks()
        number = guest.begin(subscribe={"channel": "room"})
        await asyncio.sleep(10)
        assert {task.exception() for task in by_server} == {None}
        replies = guest.take()
        assert [reply["error"]["code"] for reply in replies if reply.get("id") == number] == [105]
        told = [list(reply["push"]) for reply in replies if "push" in reply]
        assert told == [["channel", "subscribe"]] * 2  # another grant of the app replaces the one before
        assert list(await stage.engine.members("room")) == [guest.session.id]
        assert guest.session.subscriptions["room"].server_side
        guest.session.remove("room")
        await nothing_is_left(stage)

    clock.run(scenario())


def test_what_the_app_takes_back_while_it_is_prepared_does_not_happen(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(broker=SlowBroker())
        stage.channel("room", presence=True)
        guest = await stage.enter("anna")
        task = asyncio.create_task(guest.session.subscribe("room", Grant()))
        await asyncio.sleep(0.5)
        guest.session.remove()
        await task
        assert guest.take() == []
        await nothing_is_left(stage)

    clock.run(scenario())


def test_who_has_left_is_not_subscribed_by_the_app(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(broker=SlowBroker())
        stage.channel("room", presence=True)
        guest = await stage.enter("anna")
        await answer_to(guest, guest.begin(subscribe={"channel": "room"}))
        guest.session.leave("room")  # what that leaves to do takes a second
        task = asyncio.create_task(subscribe_by_server(guest.session, "room", Grant(), None))
        await asyncio.sleep(0.5)
        guest.transport.leaves()
        await task
        await nothing_is_left(stage)

    clock.run(scenario())


def test_a_session_that_has_as_many_channels_as_it_may_gets_no_more_while_it_waits(clock: Clock) -> None:
    async def decide() -> None:
        await asyncio.sleep(2)

    async def scenario() -> None:
        stage = await SessionStage.open(max_channels_per_session=1)
        stage.channel("{room}", on_subscribe=decide)
        guest = await stage.enter("anna")
        number = guest.begin(subscribe={"channel": "a"})
        await asyncio.sleep(1)
        await guest.session.subscribe("b", Grant())
        assert (await answer_to(guest, number))["error"]["code"] == 106
        assert set(guest.session.subscriptions) == {"b"}

    clock.run(scenario())


def test_a_removal_ends_the_reading_of_a_map(clock: Clock) -> None:
    async def scenario() -> None:
        async with MapStage({**PERSISTENT, **SMALL_PAGES}) as stage:
            await stage.fill("a", "b", "c")
            for channel in ("board:1", ""):
                reader = await stage.enter("anna")
                at = {"offset": 3, "epoch": (await reader.subscribe(phase=STATE))["epoch"]}
                reader.guest.session.remove(channel)
                request = {"channel": "board:1", "type": 1, "phase": STATE, "cursor": "b", **at}
                assert "error" in await reader.guest.ask(subscribe=request)

    clock.run(scenario())


# With the connect


def test_who_is_disconnected_while_it_connects_is_gone(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(broker=SlowBroker())
        stage.channel("room", presence=True)
        stage.auth.identities["anna"] = Identity("anna", subscriptions={"room": Grant()})
        guest = stage.arrive()
        guest.begin(connect={"token": "anna"})
        await asyncio.sleep(0.5)
        stage.engine.sessions.disconnect("anna", ForceDisconnect())
        assert guest.closed is not None
        assert guest.closed[0] == ForceDisconnect.code
        await nothing_is_left(stage)
        assert guest.take() == []
        assert stage.engine.sessions.of_user("anna") == ()

    clock.run(scenario())


def test_who_is_removed_from_a_channel_while_it_connects_is_not_in_it(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(broker=SlowBroker())
        stage.channel("{room}", presence=True)
        stage.auth.identities["anna"] = Identity("anna", subscriptions={"room": Grant(), "other": Grant()})
        guest = stage.arrive()
        number = guest.begin(connect={"token": "anna"})
        await asyncio.sleep(1.5)
        stage.engine.sessions.unsubscribe("anna", "room")
        assert set((await answer_to(guest, number))["connect"]["subs"]) == {"other"}
        await nothing_is_left(stage)

    clock.run(scenario())


def test_what_is_refreshed_while_a_session_connects_counts(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(broker=SlowBroker())
        stage.channel("room", presence=True)
        stage.auth.identities["anna"] = Identity("anna", subscriptions={"room": Grant()})
        guest = stage.arrive()
        number = guest.begin(connect={"token": "anna"})
        await asyncio.sleep(0.5)
        (session,) = stage.engine.sessions.of_user("anna")
        session.renew(Identity("anna", expire_at=stage.engine.wall() + 100))
        reply = await answer_to(guest, number)
        assert (reply["connect"]["expires"], reply["connect"]["ttl"]) == (True, 99)

    clock.run(scenario())


def test_more_channels_than_a_session_may_have_are_not_even_asked_for(clock: Clock) -> None:
    asked: list[str] = []

    async def scenario() -> None:
        stage = await SessionStage.open(max_channels_per_session=3)

        async def decide(room: str) -> None:
            asked.append(room)
            raise Forbidden

        stage.channel("{room}", on_subscribe=decide)
        guest = stage.arrive()
        guest.begin(connect={"subs": {name: {} for name in "abcd"}})
        await ticks(5)
        assert guest.closed is not None
        assert guest.closed[0] == ChannelLimit.code
        assert asked == []

    clock.run(scenario())


# What cannot be said


def broken(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """From now on, an answer of this kind cannot be encoded."""
    encode = codecs.JSON.encode

    def fail(reply: Any) -> str:
        if getattr(reply, what) is not None:
            raise ValueError("no")
        return encode(reply)

    monkeypatch.setattr(codecs.JSON, "encode", fail)


def test_a_subscription_that_cannot_be_told_is_none(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", presence=True)
        guest = await stage.enter("anna")
        broken(monkeypatch, "subscribe")
        assert (await guest.ask(subscribe={"channel": "room"}))["error"]["code"] == 100
        assert guest.session.subscriptions == {}
        await nothing_is_left(stage)
        broken(monkeypatch, "push")
        with pytest.raises(ValueError, match="no"):
            await guest.session.subscribe("room", Grant())
        await nothing_is_left(stage)

    clock.run(scenario())


def test_a_connect_that_cannot_be_told_leaves_nothing(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", presence=True)
        stage.auth.identities["anna"] = Identity("anna", subscriptions={"room": Grant()})
        broken(monkeypatch, "connect")
        guest = stage.arrive()
        assert (await guest.ask(connect={"token": "anna"}))["error"]["code"] == 100
        assert stage.engine.sessions.of_user("anna") == (), "it counts no more"
        await nothing_is_left(stage)
        assert guest.closed is not None, "it did not go"
        assert stage.engine.sessions.of_user("anna") == ()

    clock.run(scenario())


# Expiry


def test_what_expires_at_infinity_never_does(clock: Clock) -> None:
    async def decide() -> Grant:
        return Grant(expire_at=math.inf)

    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", on_subscribe=decide)
        stage.auth.identities["anna"] = Identity("anna", expire_at=math.inf).encoded()
        guest = await stage.enter("anna")
        assert (await guest.ask(subscribe={"channel": "room"}))["subscribe"] == {}

    clock.run(scenario())


@pytest.mark.parametrize("never", [math.nan, "tomorrow", None])
def test_an_expiry_is_a_number(never: Any) -> None:
    with pytest.raises(UsageError, match="Unix seconds"):
        Grant(expire_at=never).encoded()
    with pytest.raises(UsageError, match="Unix seconds"):
        Identity(expire_at=never).encoded()
