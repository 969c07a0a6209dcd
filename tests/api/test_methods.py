"""What the HTTP API's methods do, and what they answer: the requests and results of the reference server."""

import json
from typing import Any

import msgspec
import pytest
from tests.clock import Clock, ticks
from tests.hub.fakes import HUNG_UP
from tests.hub.sessions import BINARY, EMULATED, TODAY, Guest, SessionStage

from hubbub import CommandError, Grant
from hubbub.api.methods import METHODS, decode, run
from hubbub.hub.kinds.base import Entry, Kind
from hubbub.protocol.publication import Json

NOW = int(TODAY)


class Api:
    """Calls methods as the endpoints do."""

    def __init__(self, stage: SessionStage) -> None:
        self.stage = stage

    async def call(self, method: str, /, **request: Any) -> Any:
        """The result, as JSON says it."""
        body = json.dumps(request).encode()
        return json.loads(msgspec.json.encode(await run(self.stage.engine, method, decode(method, body))))

    async def error(self, method: str, /, **request: Any) -> int:
        """The code of the error that it is answered with."""
        with pytest.raises(CommandError) as raised:
            await self.call(method, **request)
        return raised.value.code


async def open_api(**settings: Any) -> tuple[SessionStage, Api]:
    stage = await SessionStage.open(**settings)
    stage.channel(
        "room:{name}", history=10, presence=True, join_leave="force", recovery="force", may_publish="everyone"
    )
    stage.channel("plain")
    return stage, Api(stage)


def heard(guest: Guest) -> list[Any]:
    return [push["pub"]["data"] for push in guest.pushes() if "pub" in push]


def test_the_methods_are_those_of_the_reference() -> None:
    assert set(METHODS) >= {
        "publish",
        "broadcast",
        "subscribe",
        "unsubscribe",
        "disconnect",
        "refresh",
        "presence",
        "presence_stats",
        "history",
        "history_remove",
        "channels",
        "info",
        "rpc",
    }


# Publishing


def test_what_is_published_reaches_subscribers_and_its_place_is_answered(clock: Clock) -> None:
    async def scenario() -> None:
        stage, api = await open_api()
        guest, plain = await stage.subscribed("room:a"), await stage.subscribed("plain")
        first = await api.call("publish", channel="room:a", data={"a": [1.5]}, tags={"t": "x"})
        second = await api.call("publish", channel="room:a", data=None)
        assert (first["offset"], second["offset"]) == (1, 2)
        assert first["epoch"] == second["epoch"] != ""
        assert await api.call("publish", channel="plain", data="text") == {}
        await ticks(5)
        pushes = [push["pub"] for push in guest.pushes() if "pub" in push]
        assert [(push["data"], push.get("tags")) for push in pushes] == [({"a": [1.5]}, {"t": "x"}), (None, None)]
        assert "info" not in pushes[0], "the server has no session"
        assert heard(plain) == ["text"]

    clock.run(scenario())


def test_what_is_published_stays_as_it_was_written_but_for_line_ends(clock: Clock) -> None:
    async def scenario() -> None:
        stage, _ = await open_api()
        guest = await stage.subscribed("plain")
        await run(stage.engine, "publish", decode("publish", b'{"channel":"plain","data":{"b" : 1.0,\n "a":1e999}}'))
        await ticks(5)
        assert '"data":{"b" : 1.0, "a":1e999}' in str(guest.transport.received[-1])

    clock.run(scenario())


def test_base64_may_hold_json_or_bytes(clock: Clock) -> None:
    async def scenario() -> None:
        stage, api = await open_api()
        stage.channel("binary", history=10, binary=True)
        for channel in ("room:a", "binary"):
            await api.call("publish", channel=channel, b64data="eyJhIjoxfQ==")
        assert await api.error("publish", channel="room:a", b64data="/w==", data={"not": "this"}) == 107
        await api.call("publish", channel="binary", b64data="/w==", data={"not": "this"})
        broadcast = await api.call("broadcast", channels=["room:a", "binary"], b64data="/g==")
        assert [reply.get("error", {}).get("code") for reply in broadcast["responses"]] == [107, None]
        kept = [one.data for channel in ("room:a", "binary") for one in (await stage.engine.history(channel))[0]]
        assert kept == ['{"a":1}', '{"a":1}', b"\xff", b"\xfe"]
        assert type(kept[0]) is type(kept[1]) is Json
        guest = await stage.enter("anna")
        for field in ("b64info", "b64data"):
            assert await api.error("subscribe", user="anna", channel="room:a", **{field: "/w=="}) == 107
        assert guest.closed is None

    clock.run(scenario())


def test_subscribers_are_told_the_version_of_a_publication_live_in_recovery_and_in_history(clock: Clock) -> None:
    async def scenario() -> None:
        stage, api = await open_api()
        stage.channel("read", history=10, recovery="force", may_read_history="everyone")
        guest, binary = await stage.subscribed("read"), stage.arrive(BINARY)
        for command in ("04 0801 2200", "0a 0802 2a06 0a04 72656164"):
            binary.transport.says(bytes.fromhex(command))
        await ticks(5)
        epoch = (await api.call("publish", channel="read", data=1, version=7))["epoch"]
        await api.call("publish", channel="read", data=2, version=2**64 - 1, skip_history=True)
        await ticks(3)
        assert [push["pub"].get("version") for push in guest.pushes()] == [7, 2**64 - 1]
        pushed = b"".join(binary.transport.received)  # type: ignore[arg-type]
        assert bytes.fromhex("800107") in pushed, "field 16"
        assert bytes.fromhex("8001" + "ff" * 9 + "01") in pushed
        late = await stage.enter()
        recovered = (await late.ask(subscribe={"channel": "read", "recover": True, "epoch": epoch}))["subscribe"]
        history = (await late.ask(history={"channel": "read", "limit": 9}))["history"]
        for publications in (recovered["publications"], history["publications"]):
            assert [(one["data"], one["version"]) for one in publications] == [(1, 7)]
        (told,) = (await api.call("history", channel="read", limit=9))["publications"]
        assert told == {"data": 1, "offset": 1}, "as the reference server has it"

    clock.run(scenario())


def test_the_version_of_what_is_not_kept_does_not_count(clock: Clock) -> None:
    async def scenario() -> None:
        _, api = await open_api()
        assert (await api.call("publish", channel="room:a", data=1, version=5))["offset"] == 1
        assert await api.call("publish", channel="room:a", data=2, version=3, skip_history=True) == {}
        assert await api.call("publish", channel="room:a", data=3, version=9, skip_history=True) == {}
        assert (await api.call("publish", channel="room:a", data=4, version=6))["offset"] == 2

    clock.run(scenario())


def test_the_options_of_a_publication_are_kept(clock: Clock) -> None:
    async def scenario() -> None:
        stage, api = await open_api()
        stage.channel("delta", history=10, delta=True)
        guest = await stage.subscribed("room:a")
        once = {"channel": "room:a", "data": 1, "idempotency_key": "k"}
        assert await api.call("publish", **once) == await api.call("publish", **once)
        for version, epoch in ((5, ""), (4, ""), (4, "b")):
            await api.call("publish", channel="room:a", data=version, version=version, version_epoch=epoch)
        assert await api.call("publish", channel="room:a", data="gone", skip_history=True) == {}
        await ticks(5)
        assert heard(guest) == [1, 5, 4, "gone"]
        kept, _ = await stage.engine.history("room:a")
        assert [one.data for one in kept] == ["1", "5", "4"]
        assert not any(one.delta for one in kept)
        await api.call("publish", channel="room:a", data=1, delta=True)
        await api.call("publish", channel="delta", data=1)
        for channel in ("room:a", "delta"):
            assert (await stage.engine.history(channel, None, 1, reverse=True))[0][0].delta

    clock.run(scenario())


class Other(Kind):
    """Channels that are no streams."""

    types = frozenset((7,))

    async def prepare(self, *arguments: Any) -> Entry:
        raise AssertionError

    def leave(self, *arguments: Any) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"data": 1}, 107),
        ({"channel": "", "data": 1}, 107),
        ({"channel": "unknown", "data": 1}, 102),
        ({"channel": "plain"}, 107),
        ({"channel": "plain", "b64data": "*"}, 107),
        ({"channel": "other", "data": 1}, 107),
    ],
)
def test_what_cannot_be_published_is_refused(clock: Clock, request_: dict[str, Any], code: int) -> None:
    async def scenario() -> None:
        stage, api = await open_api()
        stage.channel("other", kind=Other())
        assert await api.error("publish", **request_) == code

    clock.run(scenario())


def test_a_broadcast_is_answered_for_each_channel(clock: Clock) -> None:
    async def scenario() -> None:
        stage, api = await open_api()
        guests = [await stage.subscribed(channel) for channel in ("room:a", "room:b", "plain")]
        result = await api.call("broadcast", channels=["room:a", "unknown", "plain", "", "room:b"], data={"n": 1})
        codes = [reply.get("error", {}).get("code", 0) for reply in result["responses"]]
        assert codes == [0, 102, 0, 107, 0]
        assert [reply["result"].get("offset") for reply in result["responses"] if "result" in reply] == [1, None, 1]
        await ticks(5)
        assert [heard(guest) for guest in guests] == [[{"n": 1}]] * 3
        assert await api.error("broadcast", data=1) == 107
        assert await api.error("broadcast", channels=["plain"], b64data="*") == 107
        codes = [
            reply["error"]["code"] for reply in (await api.call("broadcast", channels=["plain", "room:a"]))["responses"]
        ]
        assert codes == [107, 107]

    clock.run(scenario())


# Sessions of a user


def test_a_user_is_subscribed_as_it_is_asked_for(clock: Clock) -> None:
    async def scenario() -> None:
        stage, api = await open_api()
        top = await stage.engine.publish("room:a", 1)
        one, two, other = await stage.enter("anna"), await stage.enter("anna", EMULATED), await stage.enter("bert")
        request = {
            "user": "anna",
            "channel": "room:a",
            "client": one.session.id,
            "info": {"role": "owner"},
            "b64data": "WzFd",
            "expire_at": NOW + 60,
            "recover_since": {"offset": 0, "epoch": top.epoch},
            "override": {"presence": {"value": False}, "force_positioning": {"value": True}},
        }
        assert await api.call("subscribe", **request) == {}
        await ticks(5)
        pushes = one.pushes()
        assert pushes[0]["subscribe"]["data"] == [1]
        assert [push["pub"]["offset"] for push in pushes if "pub" in push] == [1]
        assert [push["join"]["info"]["chan_info"] for push in pushes if "join" in push] == [{"role": "owner"}]
        assert one.session.subscriptions["room:a"].expire_at == NOW + 60
        assert await stage.engine.members("room:a") == {}, "presence was overridden"
        assert not two.session.subscriptions
        await api.call("subscribe", user="anna", channel="plain", session=two.session.secret)
        assert set(two.session.subscriptions) == {"plain"}
        assert not other.session.subscriptions
        assert await api.call("subscribe", user="nobody", channel="plain") == {}

    clock.run(scenario())


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"channel": "plain"}, 107),
        ({"user": "anna"}, 107),
        ({"user": "anna", "channel": "unknown"}, 102),
        ({"user": "anna", "channel": "plain", "expire_at": NOW - 1}, 110),
        ({"user": "anna", "channel": "plain", "b64info": "*"}, 107),
        ({"user": "anna", "channel": "plain", "b64data": "*"}, 107),
    ],
)
def test_a_subscription_that_cannot_be_is_refused(clock: Clock, request_: dict[str, Any], code: int) -> None:
    async def scenario() -> None:
        stage, api = await open_api()
        guest = await stage.enter("anna")
        assert await api.error("subscribe", **request_) == code
        assert not guest.session.subscriptions

    clock.run(scenario())


def test_a_user_is_taken_from_one_channel_or_from_all(clock: Clock) -> None:
    async def scenario() -> None:
        stage, api = await open_api()
        one, two = await stage.subscribed("room:a", "anna"), await stage.subscribed("room:a", "anna")
        await one.ask(subscribe={"channel": "plain"})
        assert await api.call("unsubscribe", user="anna", channel="room:a", client=two.session.id) == {}
        assert not two.session.subscriptions
        assert await api.call("unsubscribe", user="anna") == {}
        assert not one.session.subscriptions
        assert await api.error("unsubscribe", channel="plain") == 107
        assert await api.error("unsubscribe", user="anna", channel="unknown") == 102

    clock.run(scenario())


def test_a_user_is_disconnected_with_a_code_and_a_reason(clock: Clock) -> None:
    async def scenario() -> None:
        stage, api = await open_api()
        one, two, three = [await stage.enter("anna") for _ in range(3)]
        spared = [three.session.id]
        assert await api.call("disconnect", user="anna", client=one.session.id) == {}
        own = {"code": 4501, "reason": "banned"}
        assert await api.call("disconnect", user="anna", whitelist=spared, disconnect=own) == {}
        assert [guest.closed for guest in (one, two, three)] == [(3503, "force disconnect"), (4501, "banned"), None]
        await api.call("disconnect", user="anna", disconnect={"code": 3000})
        assert three.closed == HUNG_UP
        assert await api.error("disconnect") == 107
        for wrong in ({"code": 2999}, {"code": 5000}, {"code": 4000, "reason": "x" * 124}):
            assert await api.error("disconnect", user="anna", disconnect=wrong) == 107

    clock.run(scenario())


def test_a_user_is_refreshed_or_expired(clock: Clock) -> None:
    async def scenario() -> None:
        stage, api = await open_api()
        one, two = await stage.enter("anna"), await stage.enter("anna")
        request = {"user": "anna", "client": one.session.id, "expire_at": NOW + 60, "info": {"n": 1}}
        assert await api.call("refresh", **request) == {}
        await ticks(3)
        assert one.pushes() == [{"refresh": {"expires": True, "ttl": 60}}]
        assert one.session.info == '{"n": 1}'
        assert two.pushes() == []
        await api.call("refresh", user="anna", client=one.session.id, expired=True)
        assert one.closed == (3005, "connection expired")
        await api.call("refresh", user="anna")
        await ticks(3)
        assert two.pushes() == [{"refresh": {}}]
        await api.call("refresh", user="anna", expire_at=NOW)
        assert two.closed == (3005, "connection expired")
        assert await api.error("refresh") == 107

    clock.run(scenario())


# What is known of channels


def test_presence_is_who_is_there(clock: Clock) -> None:
    async def scenario() -> None:
        stage, api = await open_api()
        stage.auth.grants["t"] = Grant(info=Json("[1]"))
        anna = await stage.subscribed("room:a", "anna", token="t")
        bert = await stage.subscribed("room:a", "bert", link=EMULATED)
        again = await stage.subscribed("room:a", "bert")
        members = {
            anna.session.id: {"user": "anna", "client": anna.session.id, "chan_info": [1]},
            bert.session.id: {"user": "bert", "client": bert.session.id},
            again.session.id: {"user": "bert", "client": again.session.id},
        }
        assert await api.call("presence", channel="room:a") == {"presence": members}
        assert await api.call("presence_stats", channel="room:a") == {"num_clients": 3, "num_users": 2}
        assert await api.call("presence", channel="room:b") == {"presence": {}}

    clock.run(scenario())


@pytest.mark.parametrize("method", ["presence", "presence_stats", "history", "history_remove"])
def test_what_is_not_kept_of_a_channel_is_not_available(clock: Clock, method: str) -> None:
    async def scenario() -> None:
        _, api = await open_api()
        assert await api.error(method, channel="plain") == 108
        assert await api.error(method, channel="unknown") == 102
        assert await api.error(method) == 107

    clock.run(scenario())


def test_history_is_what_is_kept_and_may_be_removed(clock: Clock) -> None:
    async def scenario() -> None:
        stage, api = await open_api()
        guest = await stage.enter("anna")
        await guest.ask(publish={"channel": "room:a", "data": {"n": 1}})
        top = [await stage.engine.publish("room:a", {"n": number}) for number in (2, 3)][-1]

        async def read(**request: Any) -> list[int]:
            result = await api.call("history", channel="room:a", **request)
            assert (result["epoch"], result["offset"]) == (top.epoch, 3)
            return [one["offset"] for one in result["publications"]]

        assert await read() == []
        assert await read(limit=-1) == [1, 2, 3]
        assert await read(limit=2) == [1, 2]
        assert await read(limit=2, reverse=True) == [3, 2]
        assert await read(limit=5, since={"offset": 1, "epoch": top.epoch}) == [2, 3]
        (first,) = (await api.call("history", channel="room:a", limit=1))["publications"]
        assert first == {"data": {"n": 1}, "info": {"user": "anna", "client": guest.session.id}, "offset": 1}
        assert await api.error("history", channel="room:a", since={"offset": 1, "epoch": "other"}) == 112
        assert await api.error("history", channel="room:a", since={"offset": 0}, reverse=True) == 107
        assert await api.call("history_remove", channel="room:a") == {}
        assert await read(limit=-1) == []

    clock.run(scenario())


def test_what_cannot_be_told_in_json_is_an_internal_error(clock: Clock) -> None:
    async def scenario() -> None:
        stage, api = await open_api()
        stage.channel("binary", history=1, binary=True)
        await stage.engine.publish("binary", b"\xff")
        assert await api.error("history", channel="binary", limit=1) == 100

    clock.run(scenario())


def test_channels_are_those_with_subscribers(clock: Clock) -> None:
    async def scenario() -> None:
        stage, api = await open_api()
        for channel in ("room:a", "room:a", "room:b", "plain"):
            await stage.subscribed(channel)
        everything = {"room:a": {"num_clients": 2}, "room:b": {"num_clients": 1}, "plain": {"num_clients": 1}}
        assert await api.call("channels") == {"channels": everything}
        rooms = await api.call("channels", pattern="room:*")
        assert set(rooms["channels"]) == {"room:a", "room:b"}
        assert (await api.call("channels", pattern="ROOM:*"))["channels"] == {}

    clock.run(scenario())


def test_info_counts_what_this_hub_holds(clock: Clock) -> None:
    async def scenario() -> None:
        stage, api = await open_api()
        for user, channel in (("anna", "room:a"), ("anna", "room:b"), ("", "room:a")):
            await stage.subscribed(channel, user)
        stage.arrive(BINARY)
        (node,) = (await api.call("info"))["nodes"]
        assert node["uid"] == stage.engine.node
        assert node["version"] == stage.engine.version
        assert node["name"]
        assert (node["num_clients"], node["num_users"], node["num_channels"], node["num_subs"]) == (3, 2, 2, 3)
        assert node["uptime"] >= 0

    clock.run(scenario())


def test_there_are_no_methods_to_call(clock: Clock) -> None:
    async def scenario() -> None:
        _, api = await open_api()
        assert await api.error("rpc", method="m", params={}) == 104
        assert await api.error("rpc") == 107

    clock.run(scenario())


# Requests


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{", b"\xff", b'{"channel":1}', b'{"tags":{"a":1}}', b'{"version":-1}', b"[" * 60_000],
)
def test_what_is_no_request_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode("publish", body)


def test_what_is_not_known_is_ignored_and_null_is_absent(clock: Clock) -> None:
    async def scenario() -> None:
        stage, api = await open_api()
        request = {"channel": "plain", "data": 1, "tags": None, "delta": None, "b64data": None, "later": [1]}
        assert await api.call("publish", **request) == {}
        guest = await stage.enter("anna")
        request = {"user": "anna", "channel": "plain", "info": None, "recover_since": None, "override": None}
        await api.call("subscribe", **request)
        assert set(guest.session.subscriptions) == {"plain"}

    clock.run(scenario())
