"""What the commands of a connected session are answered with."""

import asyncio
import json
from typing import Annotated, Any

import pytest
from tests.clock import Clock, ticks
from tests.hub.sessions import BINARY, TODAY, Guest, SessionStage

from hubbub import Data, Forbidden, Grant, Identity
from hubbub.errors import Expired, InvalidToken, TokenExpired
from hubbub.hub.kinds.stream import Stream
from hubbub.hub.session import Session
from hubbub.protocol.publication import Json


async def error(guest: Guest, **command: Any) -> int:
    """The code of the error that a command is answered with."""
    return int((await guest.ask(**command))["error"]["code"])


# Leaving


def test_who_unsubscribes_gets_nothing_more_and_it_is_no_error_to_be_gone(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room")
        guest = await stage.subscribed("room")
        for channel in ("room", "room", "unknown"):
            assert await guest.ask(unsubscribe={"channel": channel}) == {"id": guest._number, "unsubscribe": {}}
        await stage.engine.publish("room", 1)
        await ticks(3)
        assert guest.pushes() == []

    clock.run(scenario())


def test_a_client_may_leave_what_the_server_made(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room")
        guest = await stage.enter()
        await guest.session.subscribe("room", Grant())
        await guest.ask(unsubscribe={"channel": "room"})
        assert guest.session.subscriptions == {}

    clock.run(scenario())


class Dialogue(Stream):
    """Channels to which one may have begun to subscribe."""

    def __init__(self) -> None:
        self.withdrawn: list[str] = []

    def withdraw(self, session: Session, channel: str) -> None:
        self.withdrawn.append(channel)


def test_who_has_only_begun_to_subscribe_may_withdraw(clock: Clock) -> None:
    async def scenario() -> None:
        stage, kind = await SessionStage.open(), Dialogue()
        stage.channel("room", kind=kind)
        guest = await stage.enter()
        assert "unsubscribe" in await guest.ask(unsubscribe={"channel": "room"})
        assert kind.withdrawn == ["room"]
        await guest.ask(subscribe={"channel": "room"})
        await guest.ask(unsubscribe={"channel": "room"})
        assert kind.withdrawn == ["room"], "who was there has left"

    clock.run(scenario())


# Publishing


def test_a_publication_of_a_client_reaches_all_and_says_who_it_was(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", may_publish="subscribers", history=10)
        stage.auth.identities["anna"] = Identity("anna", info=Json("1"))
        stage.auth.grants["t"] = Grant(info=Json("2"))
        listener, guest = await stage.subscribed("room"), await stage.subscribed("room", "anna", token="t")
        assert await guest.ask(publish={"channel": "room", "data": {"a": 1}}) == {"id": 3, "publish": {}}
        await ticks(3)
        for one in (listener, guest):
            (push,) = one.pushes()
            assert push["pub"]["data"] == {"a": 1}
            assert push["pub"]["info"] == {
                "user": "anna",
                "client": guest.session.id,
                "conn_info": 1,
                "chan_info": 2,
            }

    clock.run(scenario())


def test_who_may_not_publish_is_refused(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("closed")
        stage.channel("members", may_publish="subscribers")
        stage.channel("users", may_publish="users")
        guest = await stage.enter()
        for channel, code in (("closed", 103), ("members", 103), ("users", 103), ("unknown", 102)):
            assert await error(guest, publish={"channel": channel, "data": 1}) == code
        assert await error(guest, publish={"channel": "users"}) == 107, "there is nothing to publish"
        assert "publish" in await (await stage.enter("anna")).ask(publish={"channel": "users", "data": None})

    clock.run(scenario())


# Presence


def test_who_may_see_presence_sees_who_is_there(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", presence=True, may_see_presence="subscribers")
        stage.auth.identities["anna"] = Identity("anna", info=Json('{"n": 1}'))
        guests = [await stage.subscribed("room", user) for user in ("anna", "anna", "bert", "", "")]
        reply = await guests[0].ask(presence={"channel": "room"})
        assert reply["presence"]["presence"] == {
            guest.session.id: {"user": guest.session.user, "client": guest.session.id}
            | ({"conn_info": {"n": 1}} if guest.session.user == "anna" else {})
            for guest in guests
        }
        reply = await guests[0].ask(presence_stats={"channel": "room"})
        assert reply["presence_stats"] == {"num_clients": 5, "num_users": 3}, "the anonymous are one user"
        outside = await stage.enter("anna")
        for method in ("presence", "presence_stats"):
            assert await error(outside, **{method: {"channel": "room"}}) == 103

    clock.run(scenario())


def test_an_empty_channel_has_an_empty_presence(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", presence=True, may_see_presence="everyone")
        guest = await stage.enter()
        assert (await guest.ask(presence={"channel": "room"}))["presence"] == {"presence": {}}
        stats = (await guest.ask(presence_stats={"channel": "room"}))["presence_stats"]
        assert stats == {"num_clients": 0, "num_users": 0}

    clock.run(scenario())


@pytest.mark.parametrize("method", ["presence", "presence_stats"])
def test_presence_that_is_not_kept_is_not_available(clock: Clock, method: str) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", may_see_presence="everyone")
        guest = await stage.enter()
        for channel, code in (("room", 108), ("unknown", 102)):
            assert await error(guest, **{method: {"channel": channel}}) == code

    clock.run(scenario())


# History


async def with_history(**settings: Any) -> tuple[SessionStage, Guest, str]:
    """A stage, somebody who may read the history of ``room``, which has five publications, and its epoch."""
    stage = await SessionStage.open(**settings)
    stage.channel("room", history=10, may_read_history="everyone")
    positions = [await stage.engine.publish("room", {"n": number}, tags={"t": "x"}) for number in range(1, 6)]
    return stage, await stage.enter(), positions[-1].epoch


@pytest.mark.parametrize(
    ("request_", "offsets"),
    [
        ({}, []),
        ({"limit": 0}, []),
        ({"limit": 2}, [1, 2]),
        ({"limit": -1}, [1, 2, 3, 4, 5]),
        ({"limit": 99}, [1, 2, 3, 4, 5]),
        ({"limit": 2, "since": {"offset": 2}}, [3, 4]),
        ({"limit": -1, "since": {"offset": 5}}, []),
        ({"limit": -1, "since": {"offset": 99}}, []),
        ({"limit": 2, "reverse": True}, [5, 4]),
        ({"limit": -1, "reverse": True, "since": {"offset": 3}}, [2, 1]),
    ],
)
def test_history_is_answered_as_far_as_it_is_asked_for(clock: Clock, request_: Any, offsets: list[int]) -> None:
    async def scenario() -> None:
        _, guest, epoch = await with_history()
        result = (await guest.ask(history={"channel": "room", **request_}))["history"]
        assert [one["offset"] for one in result["publications"]] == offsets
        assert (result["epoch"], result["offset"]) == (epoch, 5)
        assert all(one["data"] == {"n": one["offset"]} and one["tags"] == {"t": "x"} for one in result["publications"])

    clock.run(scenario())


def test_history_is_bounded_whatever_is_asked_for(clock: Clock) -> None:
    async def scenario() -> None:
        _, guest, _ = await with_history(max_history_publications=3)
        for limit in (-1, 4, 100):
            result = (await guest.ask(history={"channel": "room", "limit": limit}))["history"]
            assert [one["offset"] for one in result["publications"]] == [1, 2, 3]

    clock.run(scenario())


def test_a_channel_may_have_pages_of_another_size_and_clients_read_on_from_page_to_page(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_history_publications=2)
        stage.channel("room", history=10, may_read_history="everyone", max_page_size=4)
        for number in range(9):
            await stage.engine.publish("room", number)
        guest = await stage.enter()
        since: Any = None
        pages = []
        while True:
            page = (await guest.ask(history={"channel": "room", "limit": -1, "since": since}))["history"]
            pages.append([one["offset"] for one in page["publications"]])
            if pages[-1][-1] == page["offset"]:
                break
            since = {"offset": pages[-1][-1], "epoch": page["epoch"]}
        assert pages == [[1, 2, 3, 4], [5, 6, 7, 8], [9]]

    clock.run(scenario())


def test_history_may_be_for_subscribers_alone(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", history=10, may_read_history="subscribers")
        guest = await stage.enter()
        assert await error(guest, history={"channel": "room", "limit": 1}) == 103
        await guest.ask(subscribe={"channel": "room"})
        assert "history" in await guest.ask(history={"channel": "room", "limit": 1})

    clock.run(scenario())


def test_history_that_cannot_be_is_refused(clock: Clock) -> None:
    async def scenario() -> None:
        stage, guest, epoch = await with_history()
        stage.channel("forgetful", may_read_history="everyone")
        stage.channel("closed", history=10)
        for channel, code in (("forgetful", 108), ("closed", 103), ("unknown", 102)):
            assert await error(guest, history={"channel": channel, "limit": 1}) == code
        other = {"offset": 3, "epoch": "another"}
        assert await error(guest, history={"channel": "room", "limit": 1, "since": other}) == 112
        start = {"offset": 0, "epoch": epoch}
        assert await error(guest, history={"channel": "room", "limit": 1, "since": start, "reverse": True}) == 107

    clock.run(scenario())


# RPC


def test_a_method_is_called_with_its_data_and_its_name(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()

        async def echo(method: str, data: bytes = b"nothing") -> list[Any]:
            return [method, data.decode()]

        stage.method("echo", echo)
        guest = await stage.enter()
        for data, heard in (({"data": {"a": 1.50}}, '{"a": 1.5}'), ({}, "nothing"), ({"data": None}, "nothing")):
            reply = await guest.ask(rpc={"method": "echo", **data})
            assert reply["rpc"] == {"data": ["echo", heard]}

    clock.run(scenario())


def test_a_method_that_returns_nothing_answers_null(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()

        async def nothing() -> None:
            pass

        stage.method("nothing", nothing)
        guest = await stage.enter()
        assert (await guest.ask(rpc={"method": "nothing"}))["rpc"] == {"data": None}

    clock.run(scenario())


def test_a_method_that_there_is_not_is_not_found_and_no_methods_are_not_available(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        guest = await stage.enter()
        assert await error(guest, rpc={"method": "x"}) == 108
        stage.method("y", lambda: None)
        assert await error(guest, rpc={"method": "x"}) == 104
        assert await error(guest, rpc={}) == 104

    clock.run(scenario())


def test_messages_without_an_answer_have_no_handler_to_go_to(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        for command in ({"send": {"data": 1}}, {"id": 7, "send": {"data": 1}}):
            guest = await stage.enter()
            guest.say(command)
            await ticks(3)
            assert guest.closed == (3508, "not available")

    clock.run(scenario())


# Refreshing


@pytest.mark.parametrize(
    ("identity", "closed"),
    [
        (TokenExpired(), (3005, "connection expired")),
        (InvalidToken(), (3500, "invalid token")),
        (Identity("bert"), (3500, "invalid token")),
        (Identity("bert", subscriptions={"room": Grant()}), (3500, "invalid token")),
        (Identity("anna", subscriptions={"room": Grant()}), (3010, "insufficient state")),
    ],
)
def test_a_refresh_with_a_token_that_is_not_good_ends_the_session(
    clock: Clock, identity: Any, closed: tuple[int, str]
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        guest = await stage.enter("anna")
        stage.auth.identities["t"] = identity
        guest.begin(refresh={"token": "t"})
        await ticks(3)
        assert guest.closed == closed

    clock.run(scenario())


@pytest.mark.parametrize(
    "identity", [Expired(), Identity("anna", expire_at=TODAY - 1), Identity("anna", expire_at=TODAY)]
)
def test_a_refresh_to_a_time_in_the_past_is_refused_and_changes_nothing(clock: Clock, identity: Any) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        guest = await stage.enter("anna")
        stage.auth.identities["t"] = identity
        assert await error(guest, refresh={"token": "t"}) == 110
        assert guest.closed is None

    clock.run(scenario())


@pytest.mark.parametrize("knows_tokens", [True, False])
def test_a_refresh_without_a_token_or_where_nobody_knows_tokens_ends_the_session(
    clock: Clock, *, knows_tokens: bool
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        guest = await stage.enter()
        if not knows_tokens:
            stage.engine.registry.auth = None
        guest.begin(refresh={"token": "" if knows_tokens else "t"})
        await ticks(3)
        assert guest.closed == (3501, "bad request")

    clock.run(scenario())


def test_a_refreshed_identity_shows_what_the_new_token_says(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        guest = await stage.enter("anna")
        stage.auth.identities["t"] = Identity("anna", info=Json("[1]"), expire_at=TODAY + 60)
        assert await guest.ask(refresh={"token": "t"}) == {"id": 2, "refresh": {"expires": True, "ttl": 60}}
        assert guest.session.info == "[1]"
        assert await guest.ask(refresh={"token": "anna"}) == {"id": 3, "refresh": {}}

    clock.run(scenario())


def test_a_refreshed_subscription_shows_what_the_new_token_says(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", may_publish="everyone", presence=True)
        stage.auth.grants["t"] = Grant(info=Json("7"), expire_at=TODAY + 60)
        guest = await stage.subscribed("room", "anna")
        reply = await guest.ask(sub_refresh={"channel": "room", "token": "t"})
        assert reply["sub_refresh"] == {"expires": True, "ttl": 60}
        assert stage.auth.asked == [("room", "anna", guest.session.id)]
        stage.auth.grants["for ever"] = Grant(info=Json("8"))
        await guest.ask(publish={"channel": "room", "data": 1})
        assert (await guest.ask(sub_refresh={"channel": "room", "token": "for ever"}))["sub_refresh"] == {}
        await guest.ask(publish={"channel": "room", "data": 1})
        await ticks(3)
        assert [push["pub"]["info"]["chan_info"] for push in guest.pushes()] == [7, 8]
        assert (await stage.engine.members("room"))[guest.session.id].channel_info == "8"

    clock.run(scenario())


def test_a_refreshed_subscription_ends_when_the_new_token_says_so(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(expired_subscription_grace=0, session_pong_timeout=3600)
        stage.channel("room")
        stage.auth.grants["t"] = Grant(expire_at=TODAY + 60)
        guest = await stage.subscribed("room")
        await guest.ask(sub_refresh={"channel": "room", "token": "t"})
        await asyncio.sleep(59)
        assert set(guest.session.subscriptions) == {"room"}
        await asyncio.sleep(3)
        assert guest.session.subscriptions == {}

    clock.run(scenario())


def test_a_subscription_is_not_refreshed_without_a_token_or_where_there_is_none(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room")
        guest = await stage.subscribed("room")
        stage.auth.grants["late"] = Grant(expire_at=TODAY)
        stage.auth.grants["over"] = TokenExpired()
        assert await error(guest, sub_refresh={"channel": "room"}) == 107
        assert await error(guest, sub_refresh={"channel": "other", "token": "t"}) == 103
        assert await error(guest, sub_refresh={"channel": "room", "token": "late"}) == 110
        assert await error(guest, sub_refresh={"channel": "room", "token": "over"}) == 109
        assert await error(guest, sub_refresh={"channel": "room", "type": 4}) == 107, "there are no keys to track"
        assert set(guest.session.subscriptions) == {"room"}

    clock.run(scenario())


def test_a_client_that_refreshes_what_the_server_made_breaks_the_protocol(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room")
        for request in ({"token": "t"}, {}):
            guest = await stage.enter("anna")
            await guest.session.subscribe("room", Grant())
            guest.begin(sub_refresh={"channel": "room", **request})
            await ticks(3)
            assert guest.closed == (3501, "bad request")

    clock.run(scenario())


@pytest.mark.parametrize("grant", [Forbidden(), InvalidToken()])
def test_a_subscription_token_that_is_not_good_ends_the_session_that_refreshes_with_it(
    clock: Clock, grant: Exception
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room")
        stage.auth.grants["t"] = grant
        guest = await stage.subscribed("room")
        guest.begin(sub_refresh={"channel": "room", "token": "t"})
        await ticks(3)
        assert guest.closed == (3500, "invalid token")

    clock.run(scenario())


# Names that are for some users


EVERYONE = {
    "may_publish": "everyone",
    "may_see_presence": "everyone",
    "may_read_history": "everyone",
    "presence": True,
    "history": 5,
}


async def codes(guest: Guest, channel: str) -> list[int]:
    """The codes of the errors of all that can be done in a channel besides subscribing; 0 where there is none."""
    replies = [
        await guest.ask(publish={"channel": channel, "data": 1}),
        await guest.ask(presence={"channel": channel}),
        await guest.ask(presence_stats={"channel": channel}),
        await guest.ask(history={"channel": channel}),
    ]
    return [reply.get("error", {}).get("code", 0) for reply in replies]


def test_a_name_for_some_users_is_nothing_to_others(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        asked: list[Any] = []

        async def ask(message: Annotated[Any, Data()]) -> None:
            asked.append(message)

        stage.channel("dialog{users}", user_limited=True, on_publish=ask, **EVERYONE)
        stage.channel("open{users}", **EVERYONE)
        stage.channel("own:{user}", personal=True, **EVERYONE)
        anna, bert, nobody = await stage.enter("anna"), await stage.enter("bert"), await stage.enter()
        for channel in ("dialog#anna,carl", "own:anna", "dialog#anna"):
            assert await codes(anna, channel) == [0] * 4, channel
            for other in (bert, nobody):
                assert await codes(other, channel) == [103] * 4, channel
        assert len(asked) == 2, "the app is asked for those alone"
        for everyone in (anna, bert, nobody):
            assert await codes(everyone, "dialogues") == [0] * 4, "it names no users"
            assert await codes(everyone, "open#anna") == [0] * 4, "without the rule, it is a name"
        assert (await stage.engine.history("own:anna"))[1].offset == 1

    clock.run(scenario())


def test_who_was_let_in_counts_as_one_whom_the_name_is_for(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("dialog{users}", user_limited=True, **EVERYONE)
        bert = await stage.enter("bert")
        assert "subscribe" in await bert.ask(subscribe={"channel": "dialog#anna", "token": "good"})
        assert await codes(bert, "dialog#anna") == [0] * 4
        await bert.ask(unsubscribe={"channel": "dialog#anna"})
        assert await codes(bert, "dialog#anna") == [103] * 4

    clock.run(scenario())


# Half an emoji: what JSON.stringify writes for text that was cut within one


HALF = r'{"text": "cut \ud83d"}'


async def say(guest: Guest, text: str) -> Any:
    """The answer to a command that is written by hand."""
    guest.transport.says(text)
    for _ in range(50):
        await ticks()
        replies = [one for one in guest.heard() if "id" in one]
        if replies:
            guest.take()
            return replies[-1]
    raise AssertionError(f"no answer to {text}; closed: {guest.closed}")


def in_protobuf(number: int, field: int, *texts: str) -> bytes:
    """A command whose request has these texts as its first fields."""
    request = b"".join(bytes((8 * at + 2, len(text))) + text.encode() for at, text in enumerate(texts, 1))
    command = bytes((8, number, 8 * field + 2, len(request))) + request
    return bytes((len(command),)) + command


def test_half_an_emoji_in_data_is_relayed_as_it_came(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", history=10, recovery="force", may_publish="everyone", delta=True)
        guest, binary = await stage.subscribed("room"), stage.arrive(BINARY)
        binary.transport.says(in_protobuf(1, 4) + in_protobuf(2, 5, "room"))
        await ticks(5)
        guest.transport.says(f'{{"id":9,"publish":{{"channel":"room","data":{HALF}}}}}')
        await ticks(5)
        binary.transport.says(in_protobuf(3, 7, "room", HALF))
        await ticks(5)
        for received in (guest.transport.received, binary.transport.received):
            pushed = [
                one for one in received if HALF in (one if isinstance(one, str) else one.decode(errors="replace"))
            ]
            assert len(pushed) == 2, received
        late = await stage.enter()
        found = await late.ask(subscribe={"channel": "room", "recover": True})
        assert [one["data"] for one in found["subscribe"]["publications"]] == [json.loads(HALF)] * 2
        assert guest.closed is binary.closed is late.closed is None

    clock.run(scenario())


def test_handlers_read_the_replacement_character_and_what_came_is_published(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        read: list[Any] = []

        async def note(data: Annotated[Any, Data()]) -> None:
            read.append(data)

        async def echo(data: Any) -> Any:
            return data

        async def text_of(data: bytes) -> str:
            return data.decode()

        stage.method("echo", echo)
        stage.method("text", text_of)
        stage.channel("room", on_publish=note, on_subscribe=note)
        guest = await stage.enter()
        assert (await say(guest, f'{{"id":8,"subscribe":{{"channel":"room","data":{HALF}}}}}'))["id"] == 8
        guest.transport.says(f'{{"id":9,"publish":{{"channel":"room","data":{HALF}}}}}')
        await ticks(5)
        assert read == [{"text": "cut \ufffd"}] * 2
        assert [push["pub"]["data"] for push in guest.pushes()] == [json.loads(HALF)]
        reply = await say(guest, f'{{"id":10,"rpc":{{"method":"echo","data":{HALF}}}}}')
        assert reply["rpc"]["data"] == {"text": "cut \ufffd"}
        reply = await say(guest, f'{{"id":11,"rpc":{{"method":"text","data":{HALF}}}}}')
        assert reply["rpc"]["data"] == HALF

    clock.run(scenario())


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (r'"subscribe":{"channel":"room\ud83d"}', 107),
        (r'"publish":{"channel":"room\ud83d","data":1}', 107),
        (r'"history":{"channel":"room\ud83d"}', 107),
        (r'"subscribe":{"channel":"room","token":"\ud83d"}', 103),
        (r'"rpc":{"method":"\ud83d"}', 104),
    ],
)
def test_half_an_emoji_in_a_name_is_an_error_and_no_end(clock: Clock, request_: str, code: int) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("{name}", history=1, may_publish="everyone", may_read_history="everyone")
        stage.method("echo", lambda data: data)
        stage.auth.grants["\ufffd"] = Forbidden()
        guest = await stage.enter()
        assert (await say(guest, f'{{"id":9,{request_}}}'))["error"]["code"] == code
        assert guest.closed is None

    clock.run(scenario())
