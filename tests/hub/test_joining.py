"""Subscriptions that the server makes at connect, and those that a client may ask for with it."""

import asyncio

import pytest
from tests.clock import Clock, ticks
from tests.hub.sessions import ONE_WAY, SessionStage, SlowBroker

from hubbub import Forbidden, Grant, Identity
from hubbub.hub.joining import changed
from hubbub.protocol.publication import Json


def test_a_user_is_in_its_own_channels_and_in_those_of_its_identity(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("#{user}", personal=True, history=10, recovery="force")
        stage.channel("{room}", presence=True, join_leave="force")
        grants = {"room": Grant(info=Json("7"), data=Json("[1]")), "": Grant()}
        stage.auth.identities["anna"] = Identity("anna", subscriptions=grants)
        guest = stage.arrive()
        subs = (await guest.ask(connect={"token": "anna"}))["connect"]["subs"]
        assert set(subs) == {"#anna", "room"}
        assert (subs["#anna"]["recoverable"], subs["#anna"]["positioned"]) == (True, True)
        assert subs["room"] == {"data": [1]}
        assert (await stage.engine.members("room"))[guest.session.id].channel_info == "7"
        await stage.engine.publish("#anna", {"n": 1})
        await ticks(3)
        pushes = guest.pushes()
        assert sorted(push["channel"] for push in pushes) == ["#anna", "room"]
        assert [push["join"]["info"]["chan_info"] for push in pushes if "join" in push] == [7]
        nobody = stage.arrive()
        assert "subs" not in (await nobody.ask(connect={}))["connect"]

    clock.run(scenario())


def test_what_was_missed_in_the_servers_channels_is_recovered_with_the_connect(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("#{user}", personal=True, history=10, recovery="force")
        top = [await stage.engine.publish("#anna", {"n": number}) for number in range(4)][-1]
        guest = stage.arrive()
        since = {"#anna": {"recover": True, "offset": 2, "epoch": top.epoch}}
        result = (await guest.ask(connect={"token": "anna", "subs": since}))["connect"]["subs"]["#anna"]
        assert (result["recovered"], result["was_recovering"], result["offset"]) == (True, True, 2)
        assert [one["offset"] for one in result["publications"]] == [3, 4]

    clock.run(scenario())


def test_what_happens_while_a_session_connects_comes_behind_the_answer(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(broker=SlowBroker())
        stage.channel("{room}", history=100, recovery="force")
        stage.auth.identities["anna"] = Identity("anna", subscriptions={"a": Grant(), "b": Grant()})
        guest = stage.arrive()
        guest.begin(connect={"token": "anna"})
        for _ in range(50):
            for room in "ab":
                await stage.engine.publish(room, {})
            await asyncio.sleep(0.1)
        await asyncio.sleep(5)
        answer, *pushes = guest.take()
        for room in "ab":
            offset = answer["connect"]["subs"][room].get("offset", 0)
            assert 0 < offset < 50
            offsets = [one["push"]["pub"]["offset"] for one in pushes if one["push"].get("channel") == room]
            assert offsets == list(range(offset + 1, 51))

    clock.run(scenario())


@pytest.mark.parametrize("one_way", [True, False])
def test_a_client_may_ask_for_channels_that_it_could_subscribe_to(clock: Clock, *, one_way: bool) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("open")
        stage.channel("closed", may_subscribe="nobody")

        async def known_alone(channel: str) -> Grant:
            if channel != "known:a":
                raise Forbidden
            return Grant(data={"hello": channel})

        stage.channel("known:{room}", on_subscribe=known_alone)
        subs = {"open": {}, "closed": {}, "known:a": {}, "known:b": {}, "ünï:a": {}, "": {}}
        del subs["ünï:a"]
        guest = stage.arrive(ONE_WAY) if one_way else stage.arrive()
        if one_way:
            guest.say({"subs": subs})
            await ticks(3)
            (push,) = guest.take()
            result = push["connect"]
        else:
            result = (await guest.ask(connect={"subs": subs}))["connect"]
        assert result["subs"] == {"open": {}, "known:a": {"data": {"hello": "known:a"}}}

    clock.run(scenario())


def test_a_channel_that_is_not_declared_ends_who_asks_for_it_and_refuses_whose_identity_names_it(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", presence=True)
        asking = stage.arrive()
        asking.begin(connect={"subs": {"room": {}, "unknown": {}}})
        await ticks(3)
        assert asking.closed == (3501, "bad request")
        for channel, code in (("unknown", 102), ("x" * 300, 102), ("rööm", 102)):
            stage.auth.identities["anna"] = Identity("anna", subscriptions={"room": Grant(), channel: Grant()})
            guest = stage.arrive()
            assert (await guest.ask(connect={"token": "anna"}))["error"]["code"] == code
        stage.channel("{anything}")
        assert (await stage.arrive().ask(connect={"token": "anna"}))["error"]["code"] == 107
        await ticks(3)
        assert stage.engine.fanout.channels() == {}, "what was prepared is undone"
        assert await stage.engine.members("room") == {}

    clock.run(scenario())


def test_a_channel_whose_name_is_too_long_is_refused(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_channel_length=5)
        stage.channel("{room}")
        stage.auth.identities["anna"] = Identity("anna", subscriptions={"toolong": Grant()})
        assert (await stage.arrive().ask(connect={"token": "anna"}))["error"]["code"] == 107
        guest = stage.arrive()
        result = (await guest.ask(connect={"subs": {"toolong": {}, "short": {}}}))["connect"]
        assert set(result["subs"]) == {"short"}

    clock.run(scenario())


def test_more_channels_than_there_may_be_end_the_connect(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_channels_per_session=2)
        stage.channel("{room}", presence=True)
        for rooms, closed in (("ab", None), ("abc", (3505, "channel limit"))):
            stage.auth.identities["anna"] = Identity("anna", subscriptions=dict.fromkeys(rooms, Grant()))
            guest = stage.arrive()
            guest.begin(connect={"token": "anna"})
            await ticks(5)
            assert guest.closed == closed
            guest.transport.leaves()
            await ticks(5)
            assert stage.engine.fanout.channels() == {}
            for room in rooms:
                assert await stage.engine.members(room) == {}

    clock.run(scenario())


def test_a_new_identity_is_for_the_same_channels_or_for_others(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("#{user}", personal=True)
        stage.channel("{room}")
        grants = {"a": Grant(), "b": Grant()}
        stage.auth.identities["anna"] = Identity("anna", subscriptions=grants)
        guest = stage.arrive()
        await guest.ask(connect={"token": "anna"})
        await guest.ask(subscribe={"channel": "own"})
        await guest.session.subscribe("made", Grant())
        session = guest.session
        assert not changed(session, Identity("anna", subscriptions=grants))
        assert not changed(session, Identity("anna", subscriptions={"a": Grant(info=Json("1")), "b": Grant()}))
        assert not changed(session, Identity("anna", subscriptions={**grants, "made": Grant()})), "it is there already"
        assert changed(session, Identity("anna", subscriptions={"a": Grant()}))
        assert changed(session, Identity("anna", subscriptions={**grants, "c": Grant()}))
        assert changed(session, Identity("anna"))

    clock.run(scenario())


def test_a_user_whose_name_is_too_long_for_the_setting_connects_without_a_channel(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_channel_length=5)
        stage.channel("#{user}", personal=True)
        for user, channels in (("anna", {"#anna"}), ("annabel", set())):
            reply = await stage.arrive().ask(connect={"token": user})
            assert set(reply["connect"].get("subs", ())) == channels

    clock.run(scenario())
