"""Who decides on what a session may do in a channel: a token, its name, the app, or the rules."""

from typing import Annotated, Any

import pytest
from tests.clock import Clock, ticks
from tests.hub.sessions import BINARY, Guest, SessionStage

from hubbub import CommandError, Data, Forbidden, Grant, UsageError
from hubbub.channels import Pattern, Rules
from hubbub.hub.declaration import Declaration
from hubbub.hub.kinds.stream import STREAM
from hubbub.protocol.publication import Json


async def code(guest: Guest, channel: str, **request: Any) -> int:
    """The code of the error that a subscribe is answered with; 0 if it is none."""
    reply = await guest.ask(subscribe={"channel": channel, **request})
    return int(reply["error"]["code"]) if "error" in reply else 0


def test_a_personal_pattern_has_one_parameter() -> None:
    for pattern in ("news", "{a}:{b}"):
        with pytest.raises(UsageError, match="is personal: give it one parameter, the user, as in"):
            Declaration(Pattern(pattern), Rules(personal=True), STREAM)
    Declaration(Pattern("#{user}"), Rules(personal=True), STREAM)


# Subscribing


def test_the_rules_say_who_may_subscribe_where_nothing_else_does(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        for who in ("nobody", "subscribers", "users", "everyone"):
            stage.channel(who, may_subscribe=who)
        nobody, anna = await stage.enter(), await stage.enter("anna")
        codes = {who: (await code(nobody, who), await code(anna, who)) for who in ("nobody", "users", "everyone")}
        assert codes == {"nobody": (103, 103), "users": (103, 0), "everyone": (0, 0)}
        assert await code(anna, "subscribers") == 103, "who is not there yet is none"

    clock.run(scenario())


def test_a_token_decides_alone(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()

        async def never() -> None:
            raise AssertionError("asked")

        stage.channel("closed", may_subscribe="nobody")
        stage.channel("asked", on_subscribe=never)
        stage.channel("users:{list}", user_limited=True)
        stage.auth.grants["bad"] = Forbidden()
        guest = await stage.enter("anna")
        assert await code(guest, "$closed", token="good") == 0
        for channel in ("closed", "asked", "users:#bert"):
            assert await code(guest, channel, token="bad") == 103
            assert await code(guest, channel, token="good") == 0

    clock.run(scenario())


def test_a_private_channel_needs_a_token(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room")
        guest = await stage.enter("anna")
        assert await code(guest, "$room") == 103
        assert await code(guest, "room") == 0

    clock.run(scenario())


def test_a_name_that_is_limited_to_users_is_for_them_alone(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("dialog{users}", user_limited=True)
        stage.channel("open{users}")
        anna, bert, nobody = await stage.enter("anna"), await stage.enter("bert"), await stage.enter()
        assert [await code(one, "dialog#anna,carl") for one in (anna, bert, nobody)] == [0, 103, 103]
        assert [await code(one, "dialog#") for one in (anna, nobody)] == [103, 103], "nobody is no user"
        assert [await code(one, "dialogues") for one in (anna, bert, nobody)] == [0, 0, 0], "it names no users"
        assert [await code(one, "open#anna") for one in (anna, bert)] == [0, 0], "without the rule, it is a name"

    clock.run(scenario())


def test_the_users_of_a_name_may_and_the_app_may_refuse_them(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        asked: list[str] = []

        async def ask(channel: str) -> None:
            asked.append(channel)
            if channel.startswith("dialog#"):
                raise Forbidden

        stage.channel("dialog{users}", user_limited=True, may_subscribe="nobody", on_subscribe=ask)
        stage.channel("plain{users}", user_limited=True, may_subscribe="nobody")
        anna, bert = await stage.enter("anna"), await stage.enter("bert")
        assert [await code(one, "plain#anna") for one in (anna, bert)] == [0, 103]
        assert [await code(one, "dialog#anna") for one in (anna, bert)] == [103, 103]
        assert await code(anna, "dialog2#anna") == 0
        assert asked == ["dialog#anna", "dialog2#anna"]

    clock.run(scenario())


def test_a_personal_channel_is_for_its_user_alone(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("#{user}", personal=True, user_limited=True)
        stage.channel("own:{user}", personal=True)
        anna, bert, nobody = await stage.enter("anna"), await stage.enter("bert"), await stage.enter()
        assert [await code(one, "#anna") for one in (anna, bert, nobody)] == [105, 103, 103]
        assert [await code(one, "own:anna") for one in (anna, bert, nobody)] == [105, 103, 103]
        await anna.ask(unsubscribe={"channel": "#anna"})
        assert await code(anna, "#anna") == 0

    clock.run(scenario())


@pytest.mark.parametrize("user", ["anna,bert", "anna#bert", "bert#anna", ",", "#", "a,b#c,d"])
def test_a_user_whose_name_looks_like_a_list_has_its_personal_channel_and_no_other(clock: Clock, user: str) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("#{user}", personal=True, user_limited=True)
        someone, anna, bert = await stage.enter(user), await stage.enter("anna"), await stage.enter("bert")
        own = f"#{user}"
        assert await code(someone, own) == 105, "it is there from the connect on"
        await someone.ask(unsubscribe={"channel": own})
        assert await code(someone, own) == 0
        assert [await code(one, own) for one in (anna, bert)] == [103, 103]
        assert [await code(someone, other) for other in ("#anna", "#bert")] == [103, 103]

    clock.run(scenario())


def test_a_personal_channel_is_come_back_to_where_its_rules_say(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("own:{user}", personal=True)
        stage.channel("mine:{user}", personal=True, user_limited=True)
        anna = await stage.enter("anna")
        for channel, number in (("own:anna", 103), ("mine:anna", 0)):
            await anna.ask(unsubscribe={"channel": channel})
            assert await code(anna, channel) == number

    clock.run(scenario())


@pytest.mark.parametrize("user", ["anna,bert", "a#b", "#", "anna"])
def test_any_user_gets_into_its_own_channel(clock: Clock, user: str) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("#{user}", personal=True, user_limited=True)
        guest, bert = await stage.enter(user), await stage.enter("bert")
        await guest.ask(unsubscribe={"channel": f"#{user}"})
        assert await code(guest, f"#{user}") == 0
        assert await code(bert, f"#{user}") == 103

    clock.run(scenario())


def test_a_name_that_is_for_others_is_closed_altogether(clock: Clock) -> None:
    everyone = dict.fromkeys(("may_publish", "may_see_presence", "may_read_history"), "everyone")

    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("dialog{users}", user_limited=True, presence=True, history=1, **everyone)
        stage.channel("own#{user}", personal=True, presence=True, history=1, **everyone)
        anna, bert = await stage.enter("anna"), await stage.enter("bert")
        for channel in ("dialog#anna", "own#anna"):
            for method in ("publish", "presence", "presence_stats", "history"):
                request = {method: {"channel": channel, **({"data": 1} if method == "publish" else {})}}
                assert method in await anna.ask(**request)
                assert (await bert.ask(**request))["error"]["code"] == 103
            assert "subscribe" in await bert.ask(subscribe={"channel": channel, "token": "good"})
            assert "history" in await bert.ask(history={"channel": channel}), "who is in it, by a token, is meant"

    clock.run(scenario())


def test_the_app_decides_with_the_names_parameters_and_the_requests_data(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()

        async def decide(room: int, channel: str, data: Annotated[Any, Data()] = "nothing") -> Grant | None:
            if room == 0:
                raise CommandError("no such room", code=404)
            return Grant(data=[room, channel, data]) if room == 1 else None

        stage.channel("chat:{room}", may_subscribe="nobody", on_subscribe=decide)
        guest = await stage.enter()
        assert await code(guest, "chat:0") == 404
        assert await code(guest, "chat:x") == 107, "it does not fit the annotation"
        assert await guest.ask(subscribe={"channel": "chat:2"}) == {"id": 4, "subscribe": {}}
        reply = await guest.ask(subscribe={"channel": "chat:1", "data": {"a": 1}})
        assert reply["subscribe"]["data"] == [1, "chat:1", {"a": 1}]
        await guest.ask(unsubscribe={"channel": "chat:1"})
        reply = await guest.ask(subscribe={"channel": "chat:1"})
        assert reply["subscribe"]["data"] == [1, "chat:1", "nothing"]

    clock.run(scenario())


def test_an_app_that_answers_with_anything_else_is_told_so_in_the_log(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()

        async def decide() -> bool:
            return False

        stage.channel("room", on_subscribe=decide)
        assert await code(await stage.enter(), "room") == 100

    clock.run(scenario())
    assert "on_subscribe of 'room' returned False; return None or a Grant" in caplog.text


# Publishing


@pytest.mark.parametrize("answer", [True, False])
def test_a_boolean_of_on_publish_is_never_published(
    clock: Clock, caplog: pytest.LogCaptureFixture, answer: bool
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()

        async def moderate() -> bool:
            return answer

        stage.channel("room", on_publish=moderate)
        listener, guest = await stage.subscribed("room"), await stage.enter()
        reply = await guest.ask(publish={"channel": "room", "data": 1})
        assert reply["error"]["code"] == 100
        await ticks(3)
        assert listener.pushes() == []

    clock.run(scenario())
    assert f"on_publish of 'room' returned {answer}; return None to publish what came" in caplog.text
    assert "raise Forbidden to refuse" in caplog.text


def test_the_rules_say_who_may_publish_where_the_app_does_not(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        for who in ("nobody", "subscribers", "users", "everyone"):
            stage.channel(who, may_publish=who)
        nobody, anna = await stage.enter(), await stage.enter("anna")

        async def may(guest: Guest, channel: str) -> bool:
            return "publish" in await guest.ask(publish={"channel": channel, "data": 1})

        assert [await may(nobody, who) for who in ("nobody", "subscribers", "users", "everyone")] == [False] * 3 + [
            True
        ]
        assert [await may(anna, who) for who in ("nobody", "subscribers", "users", "everyone")] == [False] * 2 + [
            True
        ] * 2
        await nobody.ask(subscribe={"channel": "subscribers"})
        assert await may(nobody, "subscribers")

    clock.run(scenario())


def test_the_app_publishes_what_it_returns_and_else_what_came(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()

        async def change(room: str, message: dict[str, Any]) -> Any:
            if "bad" in message:
                raise CommandError("not like this", code=400)
            return {"room": room, **message} if "change" in message else None

        stage.channel("chat:{room}", on_publish=change)
        listener, guest = await stage.subscribed("chat:a"), await stage.enter()
        for data in ({"as": "it is"}, {"change": 1}):
            assert "publish" in await guest.ask(publish={"channel": "chat:a", "data": data})
        for data, number in (({"bad": 1}, 400), ([1], 107)):
            assert (await guest.ask(publish={"channel": "chat:a", "data": data}))["error"]["code"] == number
        await ticks(3)
        assert [push["pub"]["data"] for push in listener.pushes()] == [{"as": "it is"}, {"room": "a", "change": 1}]

    clock.run(scenario())


def test_what_a_client_publishes_goes_out_as_it_came(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", may_publish="everyone")
        listener, guest = await stage.subscribed("room"), await stage.enter()
        guest.transport.says('{"id":9,"publish":{"channel":"room","data":{"a" : 1.0e2,"a":2}}}')
        await ticks(3)
        assert listener.transport.received[-1].count('"data":{"a" : 1.0e2,"a":2}') == 1  # type: ignore[arg-type]

    clock.run(scenario())


def test_bytes_of_a_client_are_refused_and_disconnect_nobody(clock: Clock) -> None:
    """A JSON subscriber could not be sent them."""

    async def scenario() -> None:
        stage = await SessionStage.open()
        asked: list[Any] = []

        async def ask(message: Annotated[Any, Data()]) -> None:
            asked.append(message)

        stage.channel("room", may_publish="everyone", history=2)
        stage.channel("asks", on_publish=ask, history=2)
        for channel in ("room", "asks"):
            listener, guest = await stage.subscribed(channel), stage.arrive(BINARY)
            for command in ("04 0801 2200", f"0f 0802 3a0b 0a04 {channel.encode().hex()} 1203 ff0001"):
                guest.transport.says(bytes.fromhex(command))
            await ticks(5)
            reply = guest.transport.received[-1]
            assert isinstance(reply, bytes)
            assert reply.endswith(b"\x08\x6b\x12\x21bad request: the data is not JSON"), "which is number 107"
            guest.transport.says(bytes.fromhex(f"0e 0803 3a0a 0a04 {channel.encode().hex()} 1202 5b5d"))
            await ticks(5)
            assert [push["pub"]["data"] for push in listener.pushes()] == [[]]
            assert (listener.closed, guest.closed) == (None, None)
            assert len((await stage.engine.history(channel))[0]) == 1
        assert asked == [[]]

    clock.run(scenario())


@pytest.mark.parametrize("binary", [False, True])
def test_bytes_that_are_json_are_json_whoever_publishes_them(clock: Clock, binary: bool) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()

        async def pack(message: Annotated[Any, Data()]) -> bytes:
            return b'{"n": 1}'

        stage.channel("room", history=9, recovery="force", delta=True, on_publish=pack, binary=binary)
        guest = await stage.subscribed("room")
        assert "publish" in await guest.ask(publish={"channel": "room", "data": 1})
        for data in (b"[1,\n2]", bytearray(b'"text"'), memoryview(b"3")):
            await stage.engine.publish("room", data)
        await ticks(3)
        assert [push["pub"]["data"] for push in guest.pushes()] == [{"n": 1}, [1, 2], "text", 3]
        late = await stage.enter()
        recovered = await late.ask(subscribe={"channel": "room", "recover": True})
        assert [one["data"] for one in recovered["subscribe"]["publications"]] == [{"n": 1}, [1, 2], "text", 3]

    clock.run(scenario())


def test_other_bytes_are_refused_where_the_app_publishes_them(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()

        async def pack(message: Annotated[Any, Data()]) -> bytes:
            return b"\xff"

        stage.channel("room", history=2, on_publish=pack)
        guest = await stage.subscribed("room")
        assert (await guest.ask(publish={"channel": "room", "data": 1}))["error"]["code"] == 100
        assert "what on_publish of 'room' returned is bytes that are not JSON" in caplog.text
        with pytest.raises(UsageError, match=r"what is published to 'room' is bytes .* binary=True"):
            await stage.engine.publish("room", b"\xfe")
        assert not (await stage.engine.history("room"))[0]
        assert guest.closed is None

    clock.run(scenario())


def test_bytes_of_a_client_are_published_as_bytes_where_that_is_declared(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", may_publish="everyone", history=2, binary=True)
        guest = stage.arrive(BINARY)
        for command in ("04 0801 2200", "0f 0802 3a0b 0a04 726f6f6d 1203 ff0001"):
            guest.transport.says(bytes.fromhex(command))
        guest.transport.says(bytes.fromhex("0e 0803 3a0a 0a04 726f6f6d 1202 5b5d"))
        await ticks(5)
        assert guest.closed is None
        kept, _ = await stage.engine.history("room")
        assert [publication.data for publication in kept] == [b"\xff\x00\x01", "[]"]
        assert type(kept[1].data) is Json

    clock.run(scenario())


def test_what_is_no_json_does_not_reach_those_who_read_json(clock: Clock) -> None:
    asked: list[bytes] = []

    async def moderate(data: Annotated[bytes, Data()]) -> None:
        asked.append(data)

    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", may_publish="everyone", history=2)
        stage.channel("moderated", on_publish=moderate)
        listener = await stage.subscribed("room")
        guest = stage.arrive(BINARY)
        for command in (
            "04 0801 2200",
            "0f 0802 3a0b 0a04 726f6f6d 1203 ff0001",
            "14 0803 3a10 0a09 6d6f64657261746564 1203 ff0001",
        ):
            guest.transport.says(bytes.fromhex(command))
        await ticks(5)
        assert b"".join(guest.transport.received).count(b"bad request: the data is not JSON") == 2  # type: ignore[arg-type]
        assert (guest.closed, listener.closed) == (None, None)
        assert listener.pushes() == []
        assert not (await stage.engine.history("room"))[0]
        assert asked == []

    clock.run(scenario())
