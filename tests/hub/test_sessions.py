"""The live sessions of a hub: who they are, who may be one, and what the server does to them."""

import asyncio
from typing import Annotated, Any

import pytest
from tests.clock import Clock, ticks
from tests.hub.fakes import HUNG_UP
from tests.hub.sessions import EMULATED, NATIVE, ONE_WAY, TODAY, WEBSOCKET, SessionStage, SlowBroker

from hubbub import Data, Grant, Identity
from hubbub.errors import ConnectionClosed, Expired, ForceDisconnect, Restarting, UnknownChannel
from hubbub.errors.sessions import custom_end

# Who they are


def test_sessions_are_counted_from_connect_to_their_end_and_users_once(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        sessions = stage.engine.sessions
        assert (len(sessions), sessions.users) == (0, 0)
        pending = stage.arrive()
        anna, again, bert = [await stage.enter(user) for user in ("anna", "anna", "bert")]
        assert (len(sessions), sessions.users) == (3, 2)
        nobody = [await stage.enter() for _ in range(2)]
        assert (len(sessions), sessions.users) == (5, 3), "the anonymous are one"
        assert set(sessions) == {guest.session for guest in (anna, again, bert, *nobody)}
        for guest in (pending, anna, nobody[0], bert):
            guest.transport.leaves()
        assert (len(sessions), sessions.users) == (2, 2)
        nobody[1].transport.leaves()
        assert (len(sessions), sessions.users) == (1, 1)
        again.transport.leaves()
        assert (len(sessions), sessions.users) == (0, 0)
        assert not sessions._of_user
        assert not sessions._all

    clock.run(scenario())


def test_sessions_are_found_by_user_id_and_secret(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        sessions = stage.engine.sessions
        one, two = await stage.enter("anna"), await stage.enter("anna", EMULATED)
        await stage.enter("bert")
        assert sessions.of_user("anna") == (one.session, two.session)
        assert sessions.of_user("anna", one.session.id) == (one.session,)
        assert sessions.of_user("anna", "", two.session.secret) == (two.session,)
        assert sessions.of_user("anna", one.session.id, two.session.secret) == ()
        assert sessions.of_user("bert", one.session.id) == ()
        assert sessions.of_user("nobody") == sessions.of_user("") == ()
        assert sessions.by_secret(two.session.secret) is two.session
        assert sessions.by_secret("") is sessions.by_secret(one.session.id) is None
        two.transport.leaves()
        assert sessions.by_secret(two.session.secret) is None
        assert sessions.of_user("anna") == (one.session,)

    clock.run(scenario())


@pytest.mark.parametrize("link", [WEBSOCKET, EMULATED, ONE_WAY])
def test_a_session_that_leaves_before_it_connects_is_counted_out(clock: Clock, link: Any) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_connections=1)
        for _ in range(3):
            stage.arrive(link).transport.leaves()
        assert not stage.engine.sessions._all
        assert not stage.engine.sessions._of_secret

    clock.run(scenario())


def test_a_stop_ends_those_too_that_have_not_connected(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        guests = [await stage.enter("anna"), stage.arrive(), stage.arrive(ONE_WAY)]
        stage.engine.sessions.end_all(Restarting("come back"))
        assert [guest.closed for guest in guests] == [(3001, "shutdown")] * 3

    clock.run(scenario())


def test_sessions_are_pinged_from_connect_to_their_end_if_they_are_to_be(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(session_ping_interval=25, stale_timeout=100)
        guests = [await stage.enter(), await stage.enter(), await stage.enter(link=NATIVE), stage.arrive()]
        guests[1].transport.leaves()
        await asyncio.sleep(26)
        assert [guest.session.ping_payload is not None for guest in guests] == [True, False, False, False]
        running = clock.timers()
        guests[0].transport.leaves()
        assert clock.timers() == running - 1, "the wheel stands still"

    clock.run(scenario())


# Who may be one


def test_a_token_is_known_by_the_auth_and_by_nobody_else(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        asked: list[str] = []

        async def by_token(token: str) -> Identity:
            asked.append(token)
            return Identity("asked")

        stage.on_connect(by_token)
        assert (await stage.enter("anna")).session.user == "anna"
        assert asked == []
        assert (await stage.enter()).session.user == "asked", "without a token the app is asked"
        stage.engine.registry.auth = None
        assert (await stage.enter("anna")).session.user == "asked"
        assert asked == ["", "anna"]

    clock.run(scenario())


@pytest.mark.parametrize(
    ("token", "allow_anonymous", "closed"),
    [
        ("", True, None),
        ("", False, (3501, "bad request")),
        ("anna", True, (3500, "invalid token")),
        ("anna", False, (3500, "invalid token")),
    ],
)
def test_where_nobody_is_asked_nobody_in_particular_may_connect_if_the_settings_say_so(
    clock: Clock, token: str, closed: tuple[int, str] | None, *, allow_anonymous: bool
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(allow_anonymous=allow_anonymous)
        stage.engine.registry.auth = None
        guest = stage.arrive()
        guest.begin(connect={"token": token})
        await ticks(3)
        assert guest.closed == closed
        assert guest.session.alive == (closed is None)

    clock.run(scenario())


def test_on_connect_gets_what_the_client_says_of_itself(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        seen: list[Any] = []

        async def on_connect(token: str, name: str, version: str, data: Annotated[Any, Data()]) -> Identity:
            seen.append((token, name, version, data))
            return Identity("anna", info={"name": "Anna"}, data=[1], subscriptions={"room": Grant(data={"a": 1})})

        stage.channel("room", presence=True)
        stage.engine.registry.auth = None
        stage.on_connect(on_connect)
        guest = stage.arrive()
        reply = await guest.ask(connect={"token": "t", "name": "js", "version": "7", "data": {"a": [1]}})
        assert (reply["connect"]["data"], reply["connect"]["subs"]) == ([1], {"room": {"data": {"a": 1}}})
        assert (await stage.engine.members("room"))[guest.session.id].info == '{"name":"Anna"}'
        await stage.enter()
        assert seen == [("t", "js", "7", {"a": [1]}), ("", "", "", None)]

    clock.run(scenario())


@pytest.mark.parametrize(("answer", "code"), [(None, 3501), ("anna", None), ({"user": "anna"}, None)])
def test_on_connect_that_returns_no_identity_refuses(
    clock: Clock, caplog: pytest.LogCaptureFixture, answer: Any, code: int | None
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()

        async def on_connect() -> Any:
            return answer

        stage.on_connect(on_connect)
        guest = stage.arrive()
        guest.begin(connect={})
        await ticks(3)
        if code is not None:
            assert guest.closed == (code, "bad request")
            assert caplog.text == ""
        else:
            assert guest.take()[0]["error"]["code"] == 100
            assert "it must return an Identity, or None to refuse" in caplog.text

    clock.run(scenario())


def test_what_an_auth_says_may_be_anything_that_json_can_hold(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("{room}", presence=True)
        grants = {"a": Grant(info={"role": "owner"}, data={"b": 1})}
        stage.auth.identities["anna"] = Identity("anna", info={"name": "Anna"}, data={"c": 2}, subscriptions=grants)
        stage.auth.grants["t"] = Grant(info=["d"], data=[3])
        guest = stage.arrive()
        result = (await guest.ask(connect={"token": "anna"}))["connect"]
        assert (result["data"], result["subs"]["a"]["data"]) == ({"c": 2}, {"b": 1})
        assert (await guest.ask(subscribe={"channel": "e", "token": "t"}))["subscribe"]["data"] == [3]
        member = (await stage.engine.members("a"))[guest.session.id]
        assert (member.info, member.channel_info) == ('{"name":"Anna"}', '{"role":"owner"}')
        assert (await stage.engine.members("e"))[guest.session.id].channel_info == '["d"]'
        stage.auth.identities["anna"] = Identity("anna", info={"name": "Anne"}, subscriptions=grants)
        await guest.ask(refresh={"token": "anna"})
        assert guest.session.info == '{"name":"Anne"}'

    clock.run(scenario())


@pytest.mark.parametrize("by", ["auth", "on_connect"])
def test_a_user_has_as_many_sessions_as_it_may(clock: Clock, by: str) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_connections_per_user=2)
        if by == "on_connect":

            async def on_connect(token: str) -> Identity:
                return Identity(token)

            stage.engine.registry.auth = None
            stage.on_connect(on_connect)
        first, _ = [await stage.enter("anna") for _ in range(2)]
        third = stage.arrive()
        third.begin(connect={"token": "anna"})
        await ticks(3)
        assert third.closed == (3504, "connection limit")
        await stage.enter("bert")
        first.transport.leaves()
        await stage.enter("anna")
        stage.engine.registry.auth = stage.auth
        for _ in range(5):
            await stage.enter()  # nobody in particular is not limited

    clock.run(scenario())


def test_sessions_that_connect_at_once_are_not_more_than_there_may_be(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(broker=SlowBroker(), max_connections_per_user=2)
        stage.channel("room", presence=True)
        stage.auth.identities["anna"] = Identity("anna", subscriptions={"room": Grant()})
        guests = [stage.arrive() for _ in range(5)]
        for guest in guests:
            guest.begin(connect={"token": "anna"})
        await asyncio.sleep(5)
        assert sorted(guest.closed or (0, "") for guest in guests) == [(0, "")] * 2 + [(3504, "connection limit")] * 3
        assert len(await stage.engine.members("room")) == 2
        assert stage.engine.fanout.channels() == {"room": 2}

    clock.run(scenario())


# What the server does to them


def test_the_server_subscribes_all_sessions_of_a_user_or_one(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("{room}")
        one, two, other = await stage.enter("anna"), await stage.enter("anna", EMULATED), await stage.enter("bert")
        sessions = stage.engine.sessions
        await sessions.subscribe("anna", "both", Grant())
        await sessions.subscribe("anna", "one", Grant(), client=one.session.id)
        await sessions.subscribe("anna", "two", Grant(), secret=two.session.secret)
        await sessions.subscribe("nobody", "both", Grant())
        assert set(one.session.subscriptions) == {"both", "one"}
        assert set(two.session.subscriptions) == {"both", "two"}
        assert not other.session.subscriptions
        with pytest.raises(UnknownChannel):
            await sessions.subscribe("nobody", "un:known", Grant())
        with pytest.raises(Expired):
            await sessions.subscribe("anna", "late", Grant(expire_at=TODAY))

    clock.run(scenario())


def test_the_server_takes_sessions_of_a_user_from_a_channel_or_from_all(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("{room}")
        one, two, other = await stage.enter("anna"), await stage.enter("anna"), await stage.enter("bert")
        for guest in (one, two, other):
            for room in "abc":
                await guest.ask(subscribe={"channel": room})
        sessions = stage.engine.sessions
        sessions.unsubscribe("anna", "a")
        sessions.unsubscribe("anna", "b", client=one.session.id)
        sessions.unsubscribe("nobody")
        assert [set(guest.session.subscriptions) for guest in (one, two)] == [{"c"}, {"b", "c"}]
        sessions.unsubscribe("anna")
        await ticks(3)
        for guest in (one, two):
            assert not guest.session.subscriptions
            assert sorted(push["channel"] for push in guest.pushes()) == ["a", "b", "c"]
        assert set(other.session.subscriptions) == {"a", "b", "c"}

    clock.run(scenario())


def test_the_server_disconnects_sessions_of_a_user_but_for_the_spared(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        guests = [await stage.enter("anna") for _ in range(4)]
        other = await stage.enter("bert")
        sessions = stage.engine.sessions
        sessions.disconnect("anna", ForceDisconnect(), client=guests[0].session.id)
        sessions.disconnect("anna", custom_end(4001, "enough"), spared=[guests[1].session.id])
        assert [guest.closed for guest in guests] == [
            (3503, "force disconnect"),
            None,
            (4001, "enough"),
            (4001, "enough"),
        ]
        assert other.closed is None
        sessions.disconnect("anna", ConnectionClosed())
        assert guests[1].closed == HUNG_UP

    clock.run(scenario())


def test_a_loss_is_told_to_every_session_of_the_channel(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", history=10, positioning="force")
        guests = [await stage.subscribed("room") for _ in range(3)]
        outside = await stage.enter()
        stage.engine.sessions.lose("room", [guest.transport for guest in (*guests, outside)])
        await ticks(3)
        for guest in guests:
            assert [push["unsubscribe"]["code"] for push in guest.pushes()] == [2500]
        assert outside.pushes() == []

    clock.run(scenario())
