"""One connection that speaks the Centrifuge protocol: its states, its commands in order, its deadlines, its end."""

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import pytest
from fastapi import Depends
from tests.clock import Clock, ticks
from tests.hub.fakes import HUNG_UP, FakeTransport
from tests.hub.sessions import (
    BINARY,
    EMULATED,
    NATIVE,
    ONE_WAY,
    TODAY,
    WEBSOCKET,
    Guest,
    Json,
    Names,
    SessionStage,
    SlowBroker,
)

from hubbub import CommandError, Disconnect, Forbidden, Grant, Identity, Position, Publication, SessionInfo
from hubbub.errors import (
    BadRequest,
    ConnectionClosed,
    Expired,
    ForceDisconnect,
    InternalError,
    InvalidToken,
    MessageTooLarge,
    RateExceeded,
    Restarting,
    SessionForbidden,
    Slow,
    TokenExpired,
    TooManyRequests,
    UnknownChannel,
)
from hubbub.hub.session import Link
from hubbub.protocol.codecs import JSON
from hubbub.protocol.events import Push, Sent
from hubbub.protocol.publication import Json as JsonText
from hubbub.protocol.publication import size_of

# Connecting


def test_connect_is_answered_with_what_the_client_must_know(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        guest = stage.arrive()
        reply = await guest.ask(connect={"name": "js"})
        assert reply == {
            "id": 1,
            "connect": {
                "client": guest.session.id,
                "version": stage.engine.version,
                "ping": 25,
                "pong": True,
            },
        }
        assert stage.engine.version.startswith("Hubbub ")
        assert guest.session.alive
        assert len(stage.engine.sessions) == 1

    clock.run(scenario())


@pytest.mark.parametrize(
    ("link", "present", "absent"),
    [
        (WEBSOCKET, {"ping", "pong"}, {"session", "node"}),
        (NATIVE, set(), {"ping", "pong", "session", "node"}),
        (EMULATED, {"ping", "pong", "session", "node"}, set()),
    ],
)
def test_what_the_transport_cannot_do_itself_is_agreed_with_the_client(
    clock: Clock, link: Link, present: set[str], absent: set[str]
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(session_ping_interval=0.4)
        guest = stage.arrive(link)
        result = (await guest.ask(connect={}))["connect"]
        assert present <= set(result)
        assert not absent & set(result)
        assert result.get("ping", 1) == 1, "clients count whole seconds"
        if "session" in present:
            assert result["session"] == guest.session.secret != guest.session.id
            assert result["node"] == stage.engine.node

    clock.run(scenario())


def test_a_client_that_only_listens_gets_connect_as_a_push(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.auth.identities["anna"] = Identity("anna", data=JsonText('{"a": 1}'), expire_at=TODAY + 60)
        guest = stage.arrive(ONE_WAY)
        guest.say({"token": "anna"})
        await ticks(3)
        (push,) = guest.take()
        assert push["connect"]["client"] == guest.session.id
        assert push["connect"]["data"] == {"a": 1}
        assert push["connect"]["ping"] == 25
        assert push["connect"]["session"] == guest.session.secret
        assert "pong" not in push["connect"]

    clock.run(scenario())


def test_the_identity_shows_in_the_answer_and_in_what_handlers_see(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        seen: list[SessionInfo] = []

        async def who(session: SessionInfo) -> str:
            seen.append(session)
            return session.user

        stage.method("who", who)
        stage.auth.identities["anna"] = Identity(
            "anna", info=JsonText("1"), data=JsonText("[2]"), expire_at=TODAY + 600, meta={"plan": "free"}
        )
        guest = stage.arrive()
        result = (await guest.ask(connect={"token": "anna"}))["connect"]
        assert (result["data"], result["expires"], result["ttl"]) == ([2], True, 600)
        assert (await guest.ask(rpc={"method": "who"}))["rpc"] == {"data": "anna"}
        info = SessionInfo(guest.session.id, "anna", "1", {"plan": "free"}, "websocket", "json", TODAY)
        assert seen == [info]

    clock.run(scenario())


@pytest.mark.parametrize(
    "first",
    [
        {"id": 1, "rpc": {"method": "m"}},
        {"id": 1, "subscribe": {"channel": "room"}},
        {"send": {"data": 1}},
        {"id": 1},
        {},
        {"id": 0, "connect": {}},
    ],
)
def test_nothing_but_connect_is_accepted_first(clock: Clock, first: Json) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room")
        guest = stage.arrive()
        guest.say(first)
        await ticks(3)
        assert guest.closed == (3501, "bad request")
        assert guest.take() == []

    clock.run(scenario())


def test_a_second_connect_ends_the_session(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        guest = await stage.enter()
        guest.begin(connect={})
        await ticks(3)
        assert guest.closed == (3501, "bad request")

    clock.run(scenario())


def test_who_does_not_connect_in_time_is_stale(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(stale_timeout=10)
        connected, silent = await stage.enter(), stage.arrive()
        await asyncio.sleep(9)
        assert silent.closed is None
        await asyncio.sleep(2.5)
        assert silent.closed == (3502, "stale")
        assert connected.closed is None

    clock.run(scenario())


def test_who_said_connect_while_the_loop_was_blocked_is_not_stale(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(stale_timeout=10)
        guest, silent = stage.arrive(), stage.arrive()
        await asyncio.sleep(5)
        clock.block(30)
        await asyncio.sleep(0.1)  # the timers come first, and the reading then, as in uvloop
        assert "connect" in await guest.ask(connect={})
        await asyncio.sleep(10)
        assert guest.session.alive
        assert silent.closed == (3502, "stale")

    clock.run(scenario())


@pytest.mark.parametrize(("stale_timeout", "seconds"), [(10, 5), (2, 2)])
def test_a_refused_connect_is_answered_and_the_client_has_a_moment_to_go(
    clock: Clock, stale_timeout: float, seconds: float
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(stale_timeout=stale_timeout)
        stage.auth.identities["late"] = TokenExpired()
        guest = stage.arrive()
        reply = await guest.ask(connect={"token": "late"})
        assert reply == {"id": 1, "error": {"code": 109, "message": "token expired"}}
        guest.begin(connect={"token": "anna"})
        guest.say({})
        await ticks(3)
        assert guest.take() == [], "nothing is heard any more"
        await asyncio.sleep(seconds - 0.5)
        assert guest.closed is None
        await asyncio.sleep(2)
        assert guest.closed == (3502, "stale")
        assert len(stage.engine.sessions) == 0

    clock.run(scenario())


def test_commands_behind_a_refused_connect_are_not_worked_off(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.auth.identities["busy"] = TooManyRequests()
        guest = stage.arrive()
        guest.say(guest.command(connect={"token": "busy"}), guest.command(rpc={"method": "m"}))
        await ticks(5)
        assert guest.take() == [{"id": 1, "error": {"code": 111, "message": "too many requests", "temporary": True}}]
        assert guest.closed is None

    clock.run(scenario())


def test_a_connect_that_fails_is_an_internal_error_with_the_session_in_the_log(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.auth.identities["broken"] = LookupError("the database is gone")
        guest = stage.arrive()
        reply = await guest.ask(connect={"token": "broken"})
        assert reply["error"] == {"code": 100, "message": "internal server error", "temporary": True}
        assert guest.session.id in caplog.text

    clock.run(scenario())
    assert "the database is gone" in caplog.text


def test_a_connect_may_end_the_session(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.auth.identities["bad"] = InvalidToken()
        guest = stage.arrive()
        guest.begin(connect={"token": "bad"})
        await ticks(3)
        assert guest.closed == (3500, "invalid token")
        assert guest.take() == []

    clock.run(scenario())


@pytest.mark.parametrize(
    ("error", "closed"),
    [
        (TokenExpired(), (3005, "connection expired")),
        (Expired(), (3005, "connection expired")),
        (TooManyRequests(), (3013, "too many requests")),
        (Forbidden(), (3507, "permission denied")),
        (InternalError(), (3004, "internal server error")),
        (LookupError("x"), (3004, "internal server error")),
        (InvalidToken(), (3500, "invalid token")),
    ],
)
def test_where_there_are_no_answers_a_refused_connect_ends_the_session(
    clock: Clock, error: Exception, closed: tuple[int, str]
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.auth.identities["x"] = error
        guest = stage.arrive(ONE_WAY)
        guest.say({"token": "x"})
        await ticks(3)
        assert guest.closed == closed

    clock.run(scenario())


def test_what_a_client_that_only_listens_says_after_connect_is_nothing(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        guest = stage.arrive(ONE_WAY)
        guest.say({})
        await ticks(3)
        guest.take()
        guest.transport.says("rubbish", "{}")
        await ticks(3)
        assert guest.take() == []
        assert guest.closed is None

    clock.run(scenario())


# Commands


def test_commands_are_worked_off_one_after_the_other(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        running: list[str] = []

        async def work(data: str) -> str:
            running.append(f"{data} begins")
            await asyncio.sleep(1)
            running.append(f"{data} ends")
            return data

        stage.method("work", work)
        guest = stage.arrive()
        guest.say(guest.command(connect={}), guest.command(rpc={"method": "work", "data": "a"}))
        guest.begin(rpc={"method": "work", "data": "b"})
        await asyncio.sleep(5)
        assert running == ["a begins", "a ends", "b begins", "b ends"]
        assert [reply["id"] for reply in guest.take()] == [1, 2, 3]

    clock.run(scenario())


def test_a_slow_handler_holds_up_its_session_alone(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()

        async def slow() -> None:
            await asyncio.sleep(60)

        async def quick() -> str:
            return "here"

        stage.method("slow", slow)
        stage.method("quick", quick)
        one, other = await stage.enter(), await stage.enter()
        one.begin(rpc={"method": "slow"})
        assert (await other.ask(rpc={"method": "quick"}))["rpc"] == {"data": "here"}
        assert one.take() == []

    clock.run(scenario())


def test_answers_of_one_turn_are_one_message(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()

        async def echo(data: int) -> int:
            return data

        stage.method("echo", echo)
        guest = await stage.enter()
        before = len(guest.transport.batches)
        guest.say(*(guest.command(rpc={"method": "echo", "data": number}) for number in range(10)))
        await ticks(5)
        assert [reply["rpc"]["data"] for reply in guest.take()] == list(range(10))
        assert len(guest.transport.batches) == before + 1

    clock.run(scenario())


@pytest.mark.parametrize(
    "command",
    [
        {"id": 7},
        {"id": 7, "unknown": {}},
        {"id": 7, "subscribe": {}},
        {"id": 7, "unsubscribe": {"channel": ""}},
        {"id": 7, "publish": {"data": 1}},
        {"id": 7, "presence": {}},
        {"id": 7, "presence_stats": {}},
        {"id": 7, "history": {}},
        {"id": 7, "sub_refresh": {"token": "x"}},
        {"id": 7, "subscribe": {"channel": "room", "delta": "vcdiff"}},
        {"id": 7, "ping": {}},
        {"id": 7, "refresh": {}},
    ],
)
def test_a_command_that_is_none_ends_the_session(clock: Clock, command: Json) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", presence=True, history=10)
        guest = await stage.enter("anna")
        guest.say(command)
        await ticks(3)
        assert guest.closed == (3501, "bad request")
        assert guest.take() == []

    clock.run(scenario())


def test_what_came_before_rubbish_is_answered(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room")
        guest = stage.arrive()
        guest.transport.says('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"room"}}\nrubbish\n{"id":3,"x":{}}')
        await ticks(5)
        assert [reply["id"] for reply in guest.take()] == [1, 2]
        assert guest.closed == (3501, "bad request")

    clock.run(scenario())


def test_of_several_requests_in_one_command_the_first_counts(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room")
        guest = await stage.enter()
        reply = await guest.ask(rpc={"method": "x"}, subscribe={"channel": "room"})
        assert "subscribe" in reply

    clock.run(scenario())


def test_what_a_handler_raises_is_the_answer(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()

        async def refuse(data: str) -> None:
            raise {
                "own": CommandError("no such room", code=404, temporary=True),
                "forbidden": Forbidden(),
                "bug": LookupError("a bug"),
            }[data]

        stage.method("refuse", refuse)
        guest = await stage.enter()

        async def error(kind: str) -> Any:
            return (await guest.ask(rpc={"method": "refuse", "data": kind}))["error"]

        assert await error("own") == {"code": 404, "message": "no such room", "temporary": True}
        assert await error("forbidden") == {"code": 103, "message": "permission denied"}
        assert caplog.text == ""
        assert await error("bug") == {"code": 100, "message": "internal server error", "temporary": True}
        assert "a bug" in caplog.text
        assert guest.session.id in caplog.text
        assert guest.closed is None

    clock.run(scenario())


def test_a_handler_may_end_the_session_and_nothing_behind_it_is_worked_off(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        done: list[str] = []

        async def work(data: str) -> None:
            if data == "end":
                raise ForceDisconnect("enough")
            done.append(data)

        stage.method("work", work)
        guest = await stage.enter()
        guest.say(*(guest.command(rpc={"method": "work", "data": data}) for data in ("a", "end", "b")))
        await ticks(5)
        assert done == ["a"]
        assert guest.closed == (3503, "enough")
        assert [reply["id"] for reply in guest.take()] == [2], "what was answered is sent before the close"

    clock.run(scenario())


def test_a_method_may_answer_with_bytes_that_are_json(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()

        async def answer(data: bytes) -> bytes:
            return data.replace(b"?", b"\xff")

        stage.method("answer", answer)
        guest, binary = await stage.enter(), stage.arrive(BINARY)
        assert (await guest.ask(rpc={"method": "answer", "data": [1]}))["rpc"]["data"] == [1]
        assert (await guest.ask(rpc={"method": "answer", "data": "?"}))["error"]["code"] == 100
        assert "the result of the method 'answer' is bytes that are not JSON" in caplog.text
        for command in ("04 0801 2200", "0f 0802 6a0b 0a01 3f 1206 616e73776572"):
            binary.transport.says(bytes.fromhex(command))
        await ticks(3)
        assert binary.transport.received[-1] == bytes.fromhex("07 0802 6a03 0a01 ff")
        assert guest.closed is binary.closed is None

    clock.run(scenario())


def test_a_failure_of_our_own_ends_the_session(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(FakeTransport):
        def push(self, batch: tuple[str | bytes, ...]) -> None:
            raise OSError("a bug in the transport")

    async def scenario() -> None:
        stage = await SessionStage.open()
        guest = stage.arrive(transport=Failing())
        guest.say(guest.command(connect={}))
        await ticks(5)
        assert guest.closed == (3004, "internal server error")

    clock.run(scenario())
    assert "a bug in the transport" in caplog.text


# Pings


def test_a_client_that_answers_pings_stays(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(session_ping_interval=25, session_pong_timeout=8)
        guest = await stage.enter()
        for _ in range(4):
            while {} not in guest.take():
                await asyncio.sleep(1)
            guest.say({})
        assert guest.closed is None

    clock.run(scenario())


def test_a_client_that_answers_no_ping_is_disconnected_whatever_else_it_says(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(session_ping_interval=25, session_pong_timeout=8)
        stage.channel("room")
        guest = await stage.enter()
        begun = clock.time()
        while guest.closed is None:
            await asyncio.sleep(1)
            guest.begin(unsubscribe={"channel": "room"})
        assert guest.closed == (3012, "no pong")
        assert clock.time() - begun <= 25 + 8 + 2

    clock.run(scenario())


def test_a_pong_that_nobody_asked_for_ends_the_session(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        early = await stage.enter()
        early.say({})
        await ticks(3)
        assert early.closed == (3501, "bad request")
        twice = await stage.enter()
        while {} not in twice.take():
            await asyncio.sleep(1)
        twice.say({}, {})
        await ticks(3)
        assert twice.closed == (3501, "bad request")

    clock.run(scenario())


def test_a_pong_among_other_commands_counts(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room")
        guest = await stage.enter()
        while {} not in guest.take():
            await asyncio.sleep(1)
        guest.say(guest.command(subscribe={"channel": "room"}), {})
        await asyncio.sleep(12)
        assert guest.closed is None

    clock.run(scenario())


def test_who_only_listens_and_whose_transport_pings_need_not_answer(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        listener, native = stage.arrive(ONE_WAY), await stage.enter(link=NATIVE)
        listener.say({})
        await asyncio.sleep(200)
        assert listener.closed is native.closed is None
        assert listener.take().count({}) in (7, 8)
        assert {} not in native.take()

    clock.run(scenario())


# Limits


def test_more_messages_than_the_rate_end_the_session(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(message_rate=5, rate_burst=2, max_channels_per_session=1)
        guest = await stage.enter()
        for _ in range(9):
            assert (await guest.ask(rpc={"method": "x"}))["error"]["code"] == 108
        await asyncio.sleep(0.2)
        await guest.ask(rpc={"method": "x"})
        guest.begin(rpc={"method": "x"})
        assert guest.closed == (3013, "too many requests")

    clock.run(scenario())


def test_more_bytes_than_the_rate_end_the_session(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(byte_rate=1000, rate_burst=2, max_message_size=2000)
        guest = await stage.enter()
        guest.begin(rpc={"method": "x", "data": "x" * 1800})
        assert guest.closed is None
        guest.begin(rpc={"method": "x", "data": "x" * 1800})
        assert guest.closed == (3013, "too many requests")

    clock.run(scenario())


def test_more_commands_than_may_wait_end_the_session(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_inbox_messages=10, max_channels_per_session=1)

        async def slow() -> None:
            await asyncio.sleep(60)

        stage.method("slow", slow)
        guest = await stage.enter()
        guest.begin(rpc={"method": "slow"})
        await ticks(3)
        for _ in range(10):
            guest.begin(rpc={"method": "slow"})
        assert guest.closed is None
        guest.begin(rpc={"method": "slow"})
        assert guest.closed == (3013, "too many requests")

    clock.run(scenario())


def test_more_bytes_than_may_wait_end_the_session_and_what_is_worked_off_waits_no_more(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_inbox_bytes=1000, max_message_size=1000)

        async def slow() -> None:
            await asyncio.sleep(1)

        async def quick() -> None:
            pass

        stage.method("slow", slow)
        stage.method("quick", quick)
        guest = await stage.enter()
        for _ in range(20):
            await guest.ask(rpc={"method": "quick", "data": "x" * 300})
        guest.begin(rpc={"method": "slow"})
        await ticks(3)
        for _ in range(2):
            guest.say(*(guest.command(rpc={"method": "quick", "data": "x" * 180}) for _ in range(2)))
        assert guest.closed is None
        await asyncio.sleep(2)
        guest.begin(rpc={"method": "slow"})
        await ticks(3)
        guest.begin(rpc={"method": "quick", "data": "x" * 900})
        assert guest.closed is None
        guest.begin(rpc={"method": "quick", "data": "x" * 100})
        assert guest.closed == (3013, "too many requests")

    clock.run(scenario())


def test_more_channels_than_there_may_be_are_refused(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_channels_per_session=2)
        stage.channel("{room}")
        guest = await stage.enter("anna")
        for room in ("a", "b"):
            assert "subscribe" in await guest.ask(subscribe={"channel": room})
        assert (await guest.ask(subscribe={"channel": "c"}))["error"]["code"] == 106
        await guest.ask(unsubscribe={"channel": "a"})
        assert "subscribe" in await guest.ask(subscribe={"channel": "c"})
        await guest.session.subscribe("d", Grant())
        assert guest.closed == (3505, "channel limit")

    clock.run(scenario())


@pytest.mark.parametrize(
    ("channel", "code"), [("x" * 11, 107), ("rööm", 107), ("unknown", 102), ("room", 105), ("$private", 102)]
)
def test_a_channel_that_cannot_be_subscribed_to_says_why(clock: Clock, channel: str, code: int) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_channel_length=10)
        stage.channel("r{rest}")
        guest = await stage.subscribed("room")
        assert (await guest.ask(subscribe={"channel": channel}))["error"]["code"] == code
        assert guest.closed is None

    clock.run(scenario())


@pytest.mark.parametrize("method", ["publish", "presence", "presence_stats", "history"])
def test_no_command_may_name_a_channel_that_is_too_long(clock: Clock, method: str) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_channel_length=10)
        stage.channel(
            "{room}", history=1, presence=True, may_publish="everyone", may_see_presence="everyone",
            may_read_history="everyone",
        )  # fmt: skip
        guest = await stage.enter()
        data = {"data": 1} if method == "publish" else {}
        assert (await guest.ask(**{method: {"channel": "x" * 11, **data}}))["error"]["code"] == 107
        assert "error" not in await guest.ask(**{method: {"channel": "x" * 10, **data}})
        assert "error" not in await guest.ask(unsubscribe={"channel": "x" * 11}), "it is not in there, as always"

    clock.run(scenario())


# Subscribing


def test_the_answer_comes_before_anything_of_the_channel(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(broker=SlowBroker())
        stage.channel("room", history=10, positioning="force", presence=True, join_leave="force")
        guest = await stage.enter("anna")
        guest.begin(subscribe={"channel": "room"})
        for number in range(40):
            await stage.engine.publish("room", {"n": number})
            await asyncio.sleep(0.1)
        await asyncio.sleep(5)
        answer, *pushes = guest.take()
        offset = answer["subscribe"].get("offset", 0)
        assert 0 < offset < 40, "some were published before, and some while it was answered"
        offsets = [push["push"]["pub"]["offset"] for push in pushes if "pub" in push["push"]]
        assert offsets == list(range(offset + 1, 41)), "without a gap, and none twice"
        assert [push["push"]["join"]["info"]["user"] for push in pushes if "join" in push["push"]] == ["anna"]

    clock.run(scenario())


def test_who_subscribes_hears_of_itself_behind_the_answer(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", join_leave="force")
        other, guest = await stage.subscribed("room", "bert"), await stage.enter("anna")
        guest.begin(subscribe={"channel": "room"})
        await ticks(5)
        answer, join = guest.take()
        assert answer == {"id": 2, "subscribe": {}}
        info = {"user": "anna", "client": guest.session.id}
        assert join == {"push": {"channel": "room", "join": {"info": info}}}
        assert other.pushes() == [join["push"]]

    clock.run(scenario())


def test_who_leaves_and_comes_back_at_once_is_there_in_the_end(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(broker=SlowBroker())
        stage.channel("room", presence=True, join_leave="force", may_see_presence="everyone")
        guest = await stage.enter("anna")
        guest.begin(subscribe={"channel": "room"})
        await asyncio.sleep(10)
        guest.say(guest.command(unsubscribe={"channel": "room"}), guest.command(subscribe={"channel": "room"}))
        await asyncio.sleep(10)
        assert list(await stage.engine.members("room")) == [guest.session.id]
        await guest.session.subscribe("room", Grant())
        guest.begin(unsubscribe={"channel": "room"})
        await ticks(3)
        await guest.session.subscribe("room", Grant())
        await asyncio.sleep(10)
        assert list(await stage.engine.members("room")) == [guest.session.id]

    clock.run(scenario())


def test_a_grant_says_what_the_subscriber_gets_and_until_when(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room")
        stage.auth.grants["t"] = Grant(data=JsonText('{"a": 1}'), expire_at=TODAY + 60)
        stage.auth.grants["past"] = Grant(expire_at=TODAY)
        guest = await stage.enter("anna")
        assert (await guest.ask(subscribe={"channel": "room", "token": "past"}))["error"]["code"] == 110
        reply = await guest.ask(subscribe={"channel": "room", "token": "t"})
        assert reply["subscribe"] == {"expires": True, "ttl": 60, "data": {"a": 1}}
        assert stage.auth.asked[-1] == ("room", "anna", guest.session.id)

    clock.run(scenario())


def test_a_token_is_nothing_where_nobody_knows_tokens(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room")
        stage.engine.registry.auth = None
        guest = await stage.enter()
        assert (await guest.ask(subscribe={"channel": "room", "token": "t"}))["error"]["code"] == 103

    clock.run(scenario())


def test_times_beyond_what_the_protocol_can_say_are_the_longest_it_can(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.auth.identities["anna"] = Identity("anna", expire_at=TODAY * 1000)  # milliseconds, by mistake
        guest = stage.arrive()
        assert (await guest.ask(connect={"token": "anna"}))["connect"]["ttl"] == 2**32 - 1
        binary = stage.arrive(BINARY)
        binary.transport.says(bytes.fromhex("0a 0801 2206 0a04 616e6e61".replace(" ", "")))
        await ticks(3)
        assert binary.closed is None
        assert len(binary.transport.received) == 1

    clock.run(scenario())


# Nothing is left of what could not be


@pytest.mark.parametrize("place", ["identity", "grant of the identity", "grant of a token", "grant by the app"])
def test_data_that_the_encoding_cannot_carry_ends_the_session_and_leaves_nothing_behind(
    clock: Clock, place: str
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", presence=True, join_leave=True)
        grants = {"room": Grant(data=b"\xff" if place == "grant of the identity" else None)}
        if place in ("identity", "grant of the identity"):
            stage.auth.identities["anna"] = Identity(
                "anna", data=b"\xff" if place == "identity" else None, subscriptions=grants
            )
        stage.auth.grants["t"] = Grant(data=b"\xff")
        guest = stage.arrive()
        guest.begin(connect={"token": "anna"})
        await ticks(5)
        if place == "grant of a token":
            guest.begin(subscribe={"channel": "room", "token": "t"})
            await ticks(5)
        if place == "grant by the app":
            await guest.session.subscribe("room", Grant(data=b"\xff"))
        assert guest.closed == (3506, "inappropriate protocol")
        assert stage.engine.fanout.channels() == {}
        assert await stage.engine.members("room") == {}

    clock.run(scenario())


@pytest.mark.parametrize("seconds", [0.5, 1.5, 2.5, 3.5])
@pytest.mark.parametrize("how", ["lost", "ended"])
@pytest.mark.parametrize("leave_grace", [0.1, 60])
def test_who_leaves_while_it_subscribes_leaves_nothing_behind(
    clock: Clock, seconds: float, how: str, leave_grace: float
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(broker=SlowBroker(), leave_grace=leave_grace)
        stage.channel("room", history=10, positioning="force", presence=True, join_leave=True)
        guest = await stage.enter("anna")
        guest.begin(subscribe={"channel": "room"})
        await asyncio.sleep(seconds)
        guest.transport.leaves() if how == "lost" else guest.session.end(ForceDisconnect())
        await asyncio.sleep(20)
        assert stage.engine.fanout.channels() == {}
        assert await stage.engine.members("room") == {}
        assert len(stage.engine.sessions) == 0

    clock.run(scenario())


@pytest.mark.parametrize("seconds", [0.5, 1.5, 2.5, 3.5, 4.5])
@pytest.mark.parametrize("leave_grace", [0, 60])
def test_who_leaves_while_it_connects_leaves_nothing_behind(clock: Clock, seconds: float, leave_grace: float) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(broker=SlowBroker(), leave_grace=leave_grace)
        stage.channel("{room}", presence=True)

        async def slow(token: str) -> Identity:
            await asyncio.sleep(1)
            return Identity("anna", subscriptions={"a": Grant(), "b": Grant()})

        stage.engine.registry.auth = None
        stage.on_connect(slow)
        guest = stage.arrive()
        guest.begin(connect={"token": "x"})
        await asyncio.sleep(seconds)
        guest.transport.leaves()
        await asyncio.sleep(100)
        assert stage.engine.fanout.channels() == {}
        assert not await stage.engine.members("a")
        assert not await stage.engine.members("b")
        assert len(stage.engine.sessions) == 0
        assert guest.take() == []

    clock.run(scenario())


class Leaky(SlowBroker):
    """Loses a publication of ``lossy`` while sessions read its history."""

    async def history(self, channel: str, *arguments: Any, **options: Any) -> Any:
        found = await super().history(channel, *arguments, **options)
        if channel == "lossy":
            assert self._deliver is not None
            self._deliver(channel, Publication(JsonText("1"), 7, found[1].epoch))
        return found


@pytest.mark.parametrize("when", ["connect", "subscribe", "app"])
def test_a_loss_while_it_subscribes_ends_the_session_and_leaves_nothing_behind(clock: Clock, when: str) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(broker=Leaky())
        stage.channel("{room}", history=10, positioning="force", presence=True)
        if when == "connect":
            grants = {"lossy": Grant(), "other": Grant(), "third": Grant()}
            stage.auth.identities["anna"] = Identity("anna", subscriptions=grants)
        guest = stage.arrive()
        guest.begin(connect={"token": "anna"})
        await asyncio.sleep(20)
        if when == "subscribe":
            guest.begin(subscribe={"channel": "lossy"})
        elif when == "app":
            await guest.session.subscribe("lossy", Grant())
        await asyncio.sleep(20)
        assert guest.closed == (3010, "insufficient state")
        assert stage.engine.fanout.channels() == {}
        for room in ("lossy", "other", "third"):
            assert not await stage.engine.members(room)

    clock.run(scenario())


def test_a_session_that_has_ended_is_held_by_nothing(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", presence=True, join_leave="force")
        held = []
        for how in ("lost", "ended"):
            guest = await stage.subscribed("room", "anna")
            held.append(weakref.ref(guest.session))
            guest.transport.leaves() if how == "lost" else guest.session.end(ForceDisconnect())
            await asyncio.sleep(5)
        del guest
        gc.collect()
        assert [one() for one in held] == [None, None]

    clock.run(scenario())


# Deadlines


def test_a_connection_that_is_not_refreshed_ends_after_its_grace(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(expired_grace=25)
        stage.auth.identities["anna"] = Identity("anna", expire_at=TODAY + 60)
        guest = stage.arrive()
        await guest.ask(connect={"token": "anna"})
        guest.session.ping_payload = None
        await _answering(guest, 84)
        assert guest.closed is None
        await _answering(guest, 3)
        assert guest.closed == (3005, "connection expired")

    clock.run(scenario())


async def _answering(guest: Guest, seconds: int) -> None:
    """So many seconds, in which pings are answered."""
    for _ in range(seconds):
        await asyncio.sleep(1)
        if {} in guest.take() and guest.closed is None:
            guest.say({})


def test_a_refreshed_connection_lives_on(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(expired_grace=5)
        stage.auth.identities["anna"] = Identity("anna", expire_at=TODAY + 60)
        guest = stage.arrive()
        await guest.ask(connect={"token": "anna"})
        await _answering(guest, 61)
        stage.auth.identities["anna"] = Identity("anna", expire_at=TODAY + 120)
        assert (await guest.ask(refresh={"token": "anna"}))["refresh"] == {"expires": True, "ttl": 59}
        await _answering(guest, 60)
        assert guest.closed is None
        stage.auth.identities["anna"] = Identity("anna")
        assert (await guest.ask(refresh={"token": "anna"}))["refresh"] == {}
        await _answering(guest, 1000)
        assert guest.closed is None, "it does not expire any more"

    clock.run(scenario())


def test_who_only_listens_cannot_refresh_and_has_no_grace(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(expired_grace=25)
        stage.auth.identities["anna"] = Identity("anna", expire_at=TODAY + 60)
        guest = stage.arrive(ONE_WAY)
        guest.say({"token": "anna"})
        await asyncio.sleep(59)
        assert guest.closed is None
        await asyncio.sleep(2.5)
        assert guest.closed == (3005, "connection expired")

    clock.run(scenario())


def test_a_subscription_that_is_not_refreshed_ends_after_its_grace_and_the_session_goes_on(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(expired_subscription_grace=25)
        stage.channel("{room}")
        stage.auth.grants["t"] = Grant(expire_at=TODAY + 60)
        guest = await stage.subscribed("stays")
        await guest.ask(subscribe={"channel": "room", "token": "t"})
        await _answering(guest, 84)
        assert set(guest.session.subscriptions) == {"stays", "room"}
        await asyncio.sleep(2)
        told = {"channel": "room", "unsubscribe": {"code": 2501, "reason": "subscription expired"}}
        assert told in guest.pushes()
        assert set(guest.session.subscriptions) == {"stays"}
        assert guest.closed is None

    clock.run(scenario())


def test_a_refreshed_subscription_lives_on(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(expired_subscription_grace=5)
        stage.channel("room")
        stage.auth.grants["t"] = Grant(expire_at=TODAY + 60)
        guest = await stage.subscribed("room", "anna", token="t")
        await _answering(guest, 61)
        stage.auth.grants["t"] = Grant(expire_at=TODAY + 120)
        reply = await guest.ask(sub_refresh={"channel": "room", "token": "t"})
        assert reply["sub_refresh"] == {"expires": True, "ttl": 59}
        await _answering(guest, 60)
        stage.auth.grants["t"] = Grant()
        assert (await guest.ask(sub_refresh={"channel": "room", "token": "t"}))["sub_refresh"] == {}
        await _answering(guest, 1000)
        assert set(guest.session.subscriptions) == {"room"}

    clock.run(scenario())


def test_a_subscription_of_the_server_that_expires_ends_the_session(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(expired_subscription_grace=5)
        stage.channel("room")
        guest = await stage.enter("anna")
        await guest.session.subscribe("room", Grant(expire_at=TODAY + 10))
        await asyncio.sleep(13)
        assert guest.closed is None
        await asyncio.sleep(4)
        assert guest.closed == (3006, "subscription expired")

    clock.run(scenario())


# What the server does


def test_a_subscription_by_the_server_is_told_before_anything_of_its_channel(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", history=10, recovery="force", join_leave="force")
        top = [await stage.engine.publish("room", {"n": number}) for number in range(3)][-1]
        guest = await stage.enter("anna")
        since = Position(1, top.epoch)
        await guest.session.subscribe("room", Grant(data=JsonText("[1]")), since)
        await stage.engine.publish("room", {"n": 3})
        await ticks(5)
        told, *others = guest.pushes()
        assert told == {
            "channel": "room",
            "subscribe": {"recoverable": True, "positioned": True, "epoch": top.epoch, "offset": 1, "data": [1]},
        }
        assert [push["pub"]["offset"] for push in others if "pub" in push] == [2, 3, 4]
        assert [push["join"]["info"]["user"] for push in others if "join" in push] == ["anna"]
        assert (await guest.ask(subscribe={"channel": "room"}))["error"]["code"] == 105

    clock.run(scenario())


def test_another_grant_by_the_server_replaces_the_one_before_and_is_told(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(expired_subscription_grace=0)
        stage.channel("made", presence=True, history=10, recovery="force", join_leave="force")
        await stage.engine.publish("made", 1)
        guest = await stage.enter("anna")
        await guest.session.subscribe("made", Grant(info=JsonText("1"), data=JsonText("[1]"), expire_at=TODAY + 10))
        await ticks(3)
        guest.take()
        await stage.engine.publish("made", 2)  # on its way
        await guest.session.subscribe("made", Grant(info=JsonText("2"), data=JsonText("[2]"), expire_at=TODAY + 20))
        top = await stage.engine.publish("made", 3)
        await ticks(3)
        first, told, last = guest.pushes()
        place = {"recoverable": True, "positioned": True, "epoch": top.epoch, "offset": 2}
        assert (first["pub"]["offset"], last["pub"]["offset"]) == (2, 3)
        assert told == {"channel": "made", "subscribe": {**place, "data": [2]}}
        assert [one.channel_info for one in (await stage.engine.members("made")).values()] == ["2"]
        await asyncio.sleep(15)
        assert guest.closed is None, "the expiry is that of the second grant"
        await asyncio.sleep(6)
        assert guest.closed == (3006, "subscription expired")

    clock.run(scenario())


def test_a_grant_without_an_expiry_ends_that_of_the_one_before(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(expired_subscription_grace=0)
        stage.channel("made")
        guest = await stage.enter("anna")
        await guest.session.subscribe("made", Grant(expire_at=TODAY + 10))
        await guest.session.subscribe("made", Grant())
        await ticks(3)
        assert guest.pushes() == [{"channel": "made", "subscribe": {}}] * 2
        await asyncio.sleep(20)
        assert set(guest.session.subscriptions) == {"made"}

    clock.run(scenario())


def test_a_grant_by_the_server_for_what_the_client_made_counts_and_is_not_told(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(expired_subscription_grace=0)
        stage.channel("own", presence=True)
        guest = await stage.subscribed("own")
        await guest.session.subscribe("own", Grant(info=JsonText("1"), data=JsonText("[1]"), expire_at=TODAY + 10))
        await ticks(3)
        assert [one.channel_info for one in (await stage.engine.members("own")).values()] == ["1"]
        assert guest.pushes() == []
        await asyncio.sleep(12)
        assert [push["unsubscribe"]["code"] for push in guest.pushes()] == [2501]

    clock.run(scenario())


def test_the_server_cannot_subscribe_who_has_not_connected_or_to_what_is_not_declared(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room")
        early, guest = stage.arrive(), await stage.enter()
        await early.session.subscribe("room", Grant())
        assert stage.engine.fanout.channels() == {}
        with pytest.raises(UnknownChannel):
            await guest.session.subscribe("unknown", Grant())
        assert guest.closed is None

    clock.run(scenario())


def test_who_leaves_while_the_server_subscribes_it_leaves_nothing_behind(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(broker=SlowBroker())
        stage.channel("room", presence=True)
        guest = await stage.enter()
        subscribing = asyncio.create_task(guest.session.subscribe("room", Grant()))
        await asyncio.sleep(0.5)
        guest.transport.leaves()
        await subscribing
        await asyncio.sleep(10)
        assert stage.engine.fanout.channels() == {}
        assert await stage.engine.members("room") == {}

    clock.run(scenario())


def test_an_unsubscribe_by_the_server_is_told_behind_what_was_published_before(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room")
        guest = await stage.subscribed("room")
        await stage.engine.publish("room", {"n": 1})
        guest.session.unsubscribe("room")
        guest.session.unsubscribe("room")
        await stage.engine.publish("room", {"n": 2})
        await ticks(5)
        assert guest.pushes() == [
            {"channel": "room", "pub": {"data": {"n": 1}}},
            {"channel": "room", "unsubscribe": {"code": 2000, "reason": "server unsubscribe"}},
        ]

    clock.run(scenario())


def test_a_loss_is_told_to_those_who_are_to_know(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        declaration = stage.channel("room", history=10, positioning=True)
        careless = await stage.subscribed("room")
        careful = await stage.subscribed("room", positioned=True)
        made = await stage.enter()
        declaration.rules = declaration.rules._replace(positioning="force")
        await made.session.subscribe("room", Grant())
        await ticks(3)
        for guest in (careless, careful, made):
            guest.take()
            guest.session.lose("room")
            guest.session.lose("another")
        await ticks(3)
        assert careless.pushes() == []
        assert careful.pushes() == [{"channel": "room", "unsubscribe": {"code": 2500, "reason": "insufficient state"}}]
        assert made.closed == (3010, "insufficient state")

    clock.run(scenario())


def test_a_renewed_identity_is_told_and_a_pushed_message_too(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        guest = await stage.enter("anna")
        guest.session.renew(Identity("anna", info=JsonText("7"), expire_at=TODAY + 60))
        guest.session.renew(Identity("anna"))
        guest.session.push(Push(message=Sent(guest.session.codec.data(JsonText("1")))))
        await ticks(2)
        assert guest.pushes() == [
            {"refresh": {"expires": True, "ttl": 60}},
            {"refresh": {}},
            {"message": {"data": 1}},
        ]
        assert guest.session.member(None).info == "7", "an identity without info changes none"
        with pytest.raises(Expired):
            guest.session.renew(Identity("anna", expire_at=TODAY - 1))
        with pytest.raises(InvalidToken):
            guest.session.renew(Identity("bert"))

    clock.run(scenario())


def test_who_may_is_everyone_users_or_subscribers(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        nobody, anna = (await stage.enter()).session, (await stage.enter("anna")).session
        allowed = {
            who: [session.may(who, subscribed=subscribed) for session in (nobody, anna) for subscribed in (False, True)]
            for who in ("nobody", "subscribers", "users", "everyone")
        }
        assert allowed == {
            "nobody": [False] * 4,
            "subscribers": [False, True, False, True],
            "users": [False, False, True, True],
            "everyone": [True] * 4,
        }

    clock.run(scenario())


# The end


@pytest.mark.parametrize(
    ("fault", "closed", "aborted"),
    [
        (Slow("1 byte behind"), (3008, "slow"), True),
        (Restarting("come back"), (3001, "shutdown"), False),
        (RateExceeded("too many"), (3013, "too many requests"), False),
        (MessageTooLarge("message is larger than 1 bytes"), (1009, "message is larger than 1 bytes"), False),
        (SessionForbidden(), (3507, "permission denied"), False),
    ],
)
def test_faults_of_the_transport_are_told_in_the_words_of_the_protocol(
    clock: Clock, caplog: pytest.LogCaptureFixture, fault: Disconnect, closed: tuple[int, str], *, aborted: bool
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        guest = await stage.enter("anna")
        with caplog.at_level(logging.INFO, "hubbub"):
            guest.transport.fails(fault)
        assert guest.closed == closed
        assert guest.transport.aborted is aborted
        assert len(stage.engine.sessions) == 0
        assert (guest.session.id in caplog.text) == (closed[0] != 3001), "a stop is nothing to tell of"

    clock.run(scenario())


def test_a_session_ends_once(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_connections=1)
        guest = await stage.enter("anna")
        guest.session.end(ForceDisconnect())
        guest.session.end(BadRequest())
        guest.transport.leaves()
        guest.transport.fails(Slow("x"))
        guest.begin(rpc={"method": "x"})
        guest.session.unsubscribe("room")
        await ticks(3)
        assert guest.transport.closed == [(3503, "force disconnect")]
        assert guest.take() == []
        await stage.enter()  # which there would be no room for if it was not counted out, once

    clock.run(scenario())


@pytest.mark.parametrize("farewell", [True, False])
def test_a_closed_connection_is_told_nothing_not_even_in_a_close_frame(clock: Clock, *, farewell: bool) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        guest = await stage.enter(link=Link("uni_websocket", JSON, farewell=farewell))
        guest.take()
        guest.session.end(ConnectionClosed())
        assert guest.take() == []
        assert guest.closed == HUNG_UP

    clock.run(scenario())


def test_where_a_close_has_no_words_the_reason_is_pushed_too(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        link = Link("sse", JSON, emulated=True, farewell=True)
        guest, slow = await stage.enter(link=link), await stage.enter(link=link)
        guest.take()
        guest.session.end(ForceDisconnect())
        assert guest.pushes() == [{"disconnect": {"code": 3503, "reason": "force disconnect"}}]
        slow.take()
        slow.transport.fails(Slow("x"))
        assert slow.take() == [], "who does not read is not told"

    clock.run(scenario())


def test_what_was_published_before_the_end_arrives(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room")
        guest = await stage.subscribed("room")
        await stage.engine.publish("room", {"n": 1})
        guest.session.end(ForceDisconnect())
        assert guest.pushes() == [{"channel": "room", "pub": {"data": {"n": 1}}}]

    clock.run(scenario())


@pytest.mark.parametrize(
    ("between", "done"),
    [
        ({"id": 7, "subscribe": {"channel": "other"}}, ["a", "b"]),
        ({"id": 7, "presence": {"channel": "room"}}, ["a", "b"]),
        ({}, ["a", "b"]),
        ({"id": 7}, ["a", "b"]),
        ({"id": 7, "connect": {}}, ["a", "b"]),
        ({"id": 7, "publish": {}}, ["a"]),
        ({"send": {}}, ["a"]),
    ],
)
def test_what_was_sent_before_the_client_left_has_its_effect(clock: Clock, between: Json, done: list[str]) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(leave_grace=1)
        stage.channel("{room}", may_publish="everyone", presence=True)
        worked: list[str] = []

        async def work(data: str) -> None:
            await asyncio.sleep(0.1)
            worked.append(data)

        stage.method("work", work)
        listener, guest = await stage.subscribed("room"), await stage.enter()
        guest.say(
            guest.command(rpc={"method": "work", "data": "a"}),
            guest.command(publish={"channel": "room", "data": "last words"}),
            between,
            guest.command(rpc={"method": "work", "data": "b"}),
        )
        await ticks(2)
        guest.transport.leaves()
        await asyncio.sleep(5)
        assert worked == done
        assert [push["pub"]["data"] for push in listener.pushes()] == ["last words"]
        assert stage.engine.fanout.channels() == {"room": 1}
        assert guest.take() == []

    clock.run(scenario())


def test_a_handler_that_takes_longer_than_the_grace_is_cancelled(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(leave_grace=2)
        seen: list[str] = []

        async def work(data: str) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                seen.append(f"{data} at {clock.time() - left:g}")

        stage.method("work", work)
        guest = await stage.enter()
        guest.say(*(guest.command(rpc={"method": "work", "data": data}) for data in "ab"))
        await ticks(3)
        left = clock.time()
        guest.transport.leaves()
        await asyncio.sleep(100)
        assert seen == ["a at 2"]

    clock.run(scenario())


async def await_what_is_cancelled() -> None:
    task = asyncio.create_task(asyncio.sleep(3600))
    task.cancel()
    await task


@pytest.mark.parametrize("scope", ["function", "request"])
def test_a_command_in_whose_code_something_was_cancelled_is_answered_and_logged(
    clock: Clock, caplog: pytest.LogCaptureFixture, scope: Literal["function", "request"]
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()

        async def dependency() -> AsyncIterator[None]:
            await await_what_is_cancelled()
            yield

        async def by_dependency(_: Annotated[None, Depends(dependency, scope=scope)]) -> None:
            raise AssertionError("called")

        async def good() -> str:
            return "answered"

        stage.method("handler", await_what_is_cancelled)
        stage.method("dependency", by_dependency)
        stage.method("good", good)
        guest = await stage.enter("anna")
        for method in ("handler", "dependency", "handler"):
            assert (await guest.ask(rpc={"method": method}))["error"]["code"] == InternalError.code
        assert (await guest.ask(rpc={"method": "good"}))["rpc"]["data"] == "answered"

    clock.run(scenario())
    failures = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert ["rpc failed" in record.getMessage() for record in failures] == [True] * 3


def test_a_connect_in_whose_code_something_was_cancelled_is_answered(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    class RestartingIssuer(Names):
        async def authenticate(self, token: str) -> Identity:
            await await_what_is_cancelled()
            raise AssertionError("went on")

    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.engine.registry.auth = RestartingIssuer()
        guest = stage.arrive()
        assert (await guest.ask(connect={"token": "anna"}))["error"]["code"] == InternalError.code

    clock.run(scenario())
    assert ["connect failed" in record.getMessage() for record in caplog.records] == [True]


def test_the_log_says_that_a_command_of_a_client_that_left_was_cancelled(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hubbub")

    async def scenario() -> None:
        stage = await SessionStage.open(leave_grace=2)

        async def sleep() -> None:
            await asyncio.sleep(3600)

        stage.method("sleep", sleep)
        guest = await stage.enter("anna")
        guest.begin(rpc={"method": "sleep"})
        await ticks(3)
        guest.transport.leaves()
        await asyncio.sleep(3)

    clock.run(scenario())
    (message,) = [record.getMessage() for record in caplog.records if "cancelled" in record.getMessage()]
    assert message.endswith("a command is cancelled, 2 s after its client left; HUBBUB_LEAVE_GRACE gives it longer")


def test_a_handler_may_disconnect_its_own_session_and_runs_to_its_end(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(leave_grace=1)
        done: list[str] = []

        async def leave(session: SessionInfo) -> None:
            stage.engine.sessions.disconnect(session.user, ForceDisconnect())
            await asyncio.sleep(60)
            done.append("all of it")

        stage.method("leave", leave)
        guest = await stage.enter("anna")
        guest.begin(rpc={"method": "leave"})
        await asyncio.sleep(100)
        assert guest.closed == (3503, "force disconnect")
        assert done == ["all of it"]

    clock.run(scenario())


def test_what_lives_as_long_as_the_connection_is_closed_after_the_last_handler(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(leave_grace=60)
        order: list[str] = []

        async def database() -> AsyncIterator[str]:
            order.append("opened")
            yield "database"
            order.append("closed")

        async def work(database: Annotated[str, Depends(database, scope="request")]) -> str:
            await asyncio.sleep(5)
            order.append("worked")
            return database

        stage.method("work", work)
        guest, idle = await stage.enter(), await stage.enter()
        guest.begin(rpc={"method": "work"})
        await asyncio.sleep(10)
        assert guest.take()[-1]["rpc"] == {"data": "database"}
        guest.begin(rpc={"method": "work"})
        await ticks(5)
        guest.transport.leaves()
        idle.transport.leaves()
        await asyncio.sleep(10)
        assert order == ["opened", "worked", "worked", "closed"]

    clock.run(scenario())


def test_a_stop_ends_sessions_with_shutdown_even_those_that_have_not_connected(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        guests = [await stage.enter("anna"), stage.arrive(), await stage.enter(link=EMULATED)]
        await stage.engine.stop()
        assert [guest.closed for guest in guests] == [(3001, "shutdown")] * 3
        assert clock.timers() <= 1, "nothing of them is due any more"

    clock.run(scenario())


def test_who_publishes_and_leaves_is_still_a_subscriber_when_that_is_worked_off(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(leave_grace=1)
        stage.channel("{room}", may_publish="subscribers", history=5)
        guest = await stage.subscribed("room")
        guest.say(guest.command(publish={"channel": "room", "data": "last words"}))
        guest.transport.leaves()
        await ticks(5)
        kept, _ = await stage.engine.history("room")
        assert [publication.data for publication in kept] == ['"last words"']
        assert stage.engine.fanout.channels() == {}, "and then it has left"

    clock.run(scenario())


def test_each_command_of_a_message_counts_for_the_rate(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(message_rate=10, rate_burst=2, max_channels_per_session=1)
        stage.method("echo", lambda data: data)
        guest = await stage.enter()
        guest.say(*(guest.command(rpc={"method": "echo", "data": 1}) for _ in range(30)))
        await ticks(3)
        assert guest.closed == (3013, "too many requests")

    clock.run(scenario())


class Unread(FakeTransport):
    """Whose peer does not read: the first large answer is never taken."""

    @property
    def answering(self) -> bool:
        return sum(map(size_of, self.received)) > 30_000

    async def answered(self) -> None:
        await asyncio.Event().wait()


def test_a_peer_that_does_not_read_gets_no_more_answers_made_for_it(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(message_rate=0, byte_rate=0)
        stage.channel("{room}", history=10, may_read_history="everyone")
        await stage.engine.publish("room", "x" * 10_000)
        guest = stage.arrive(transport=Unread())
        await guest.ask(connect={})
        guest.say(*(guest.command(history={"channel": "room", "limit": -1}) for _ in range(500)))
        await ticks(100)
        told = sum(len(str(message)) for message in guest.transport.received)
        assert 30_000 < told < 100_000

    clock.run(scenario())
