"""The ordinary channel: what a subscription has, what it recovers, and what it is sent then."""

import asyncio
import json
from typing import Any

import pytest
from centrifuge.fossil import apply_delta
from tests.clock import Clock, ticks
from tests.hub.sessions import BINARY, TODAY, Guest, SessionStage, SlowBroker

from hubbub import Grant, Position, Publication
from hubbub.auth.base import Override
from hubbub.protocol.publication import Json

KEPT: dict[str, Any] = {"history": 10}
LONG = "x" * 60


async def published(stage: SessionStage, count: int, channel: str = "room", **tags: str) -> Position:
    """Publishes so many more, numbered by their offsets; gives the last position."""
    for _ in range(count):
        number = (await stage.engine.history(channel, None, 0))[1].offset + 1
        position = await stage.engine.publish(channel, {"text": LONG, "n": number}, tags=tags)
    return position


async def asked(guest: Guest, **request: Any) -> Any:
    """The result of a subscribe to ``room``; or its error."""
    reply = await guest.ask(subscribe={"channel": "room", **request})
    return reply.get("subscribe", reply.get("error"))


def offsets(pushes: list[Any]) -> list[int]:
    return [push["pub"]["offset"] for push in pushes if "pub" in push]


# What a subscription has


@pytest.mark.parametrize(
    ("rules", "request_", "override", "has"),
    [
        ({}, {}, Override(), ""),
        ({}, {"recoverable": True, "positioned": True}, Override(), ""),
        ({}, {}, Override(force_recovery=True, force_positioning=True), ""),
        (KEPT, {}, Override(), ""),
        (KEPT, {"recoverable": True, "positioned": True}, Override(), ""),
        ({**KEPT, "recovery": True}, {}, Override(), ""),
        ({**KEPT, "recovery": True}, {"positioned": True}, Override(), ""),
        ({**KEPT, "recovery": True}, {"recoverable": True}, Override(), "recoverable positioned"),
        ({**KEPT, "recovery": "force"}, {}, Override(), "recoverable positioned"),
        ({**KEPT, "recovery": "force"}, {}, Override(force_recovery=False), ""),
        (
            {**KEPT, "recovery": "force"},
            {"recoverable": True},
            Override(force_recovery=False),
            "recoverable positioned",
        ),
        (KEPT, {}, Override(force_recovery=True), "recoverable positioned"),
        ({**KEPT, "positioning": True}, {}, Override(), ""),
        ({**KEPT, "positioning": True}, {"positioned": True}, Override(), "positioned"),
        ({**KEPT, "positioning": True}, {"recoverable": True}, Override(), ""),
        ({**KEPT, "positioning": "force"}, {}, Override(), "positioned"),
        ({**KEPT, "positioning": "force"}, {}, Override(force_positioning=False), ""),
        (KEPT, {}, Override(force_positioning=True), "positioned"),
        ({**KEPT, "may_read_history": "subscribers"}, {"recoverable": True}, Override(), "recoverable positioned"),
        ({**KEPT, "may_read_history": "everyone"}, {"positioned": True}, Override(), "positioned"),
        ({**KEPT, "may_read_history": "users"}, {"recoverable": True}, Override(), ""),
        ({"may_read_history": "everyone"}, {"recoverable": True}, Override(), ""),
    ],
)
def test_a_place_in_the_history_is_for_those_who_ask_and_may_or_for_all(
    clock: Clock, rules: dict[str, Any], request_: dict[str, Any], override: Override, has: str
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", **rules)
        stage.auth.grants["t"] = Grant(override=override)
        result = await asked(await stage.enter(), token="t", **request_)
        assert " ".join(name for name in ("recoverable", "positioned") if result.get(name)) == has
        assert ("epoch" in result) == ("positioned" in has)

    clock.run(scenario())


def test_a_fresh_subscription_is_told_where_it_stands(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", history=10, recovery="force")
        result = await asked(await stage.enter())
        assert result == {"recoverable": True, "positioned": True, "epoch": result["epoch"]}
        top = await published(stage, 3)
        assert top.epoch == result["epoch"]
        assert await asked(await stage.enter()) == {**result, "offset": 3}

    clock.run(scenario())


@pytest.mark.parametrize("presence", [True, False])
def test_who_is_there_is_seen_where_that_is_kept(clock: Clock, *, presence: bool) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", presence=presence)
        stage.auth.grants["t"] = Grant(info=Json("7"), expire_at=TODAY + 60)
        guest = await stage.subscribed("room", "anna", token="t")
        members = await stage.engine.members("room")
        assert [(member.user, member.channel_info) for member in members.values()] == [("anna", "7")] * presence
        assert guest.session.subscriptions["room"].expire_at == TODAY + 60
        await guest.ask(unsubscribe={"channel": "room"})
        await ticks(3)
        assert await stage.engine.members("room") == {}

    clock.run(scenario())


def test_who_comes_and_leaves_is_told_to_those_who_want_to_know(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", join_leave=True, may_see_presence="subscribers")
        curious = await stage.subscribed("room", "anna", join_leave=True)
        indifferent = await stage.subscribed("room", "bert")
        assert [push["join"]["info"]["user"] for push in curious.pushes()] == ["bert"]
        indifferent.transport.leaves()
        await ticks(5)
        assert [push["leave"]["info"]["user"] for push in curious.pushes()] == ["bert"]
        await curious.ask(unsubscribe={"channel": "room"})
        await ticks(5)
        assert curious.pushes() == [], "who leaves does not hear of itself"

    clock.run(scenario())


# What was missed


@pytest.mark.parametrize(
    ("since", "epoch", "offset", "missed"),
    [(3, "own", 3, [4, 5]), (0, "own", 0, [1, 2, 3, 4, 5]), (5, "own", 5, []), (4, "", 4, [5])],
)
def test_who_comes_back_gets_what_it_missed_with_the_answer(
    clock: Clock, since: int, epoch: str, offset: int, missed: list[int]
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", history=10, recovery=True)
        top = await published(stage, 5, lang="en")
        guest = await stage.enter()
        place = {"offset": since, "epoch": top.epoch if epoch else ""}
        result = await asked(guest, recoverable=True, recover=True, **place)
        assert (result["recovered"], result["was_recovering"], result.get("offset", 0)) == (True, True, offset)
        assert result["epoch"] == top.epoch
        assert [one["offset"] for one in result.get("publications", [])] == missed
        assert all(one["tags"] == {"lang": "en"} for one in result.get("publications", []))
        await published(stage, 1)
        await ticks(3)
        assert offsets(guest.pushes()) == [6]

    clock.run(scenario())


@pytest.mark.parametrize(
    ("since", "epoch", "settings"),
    [
        (3, "own", {}),
        (5, "another", {}),
        (9, "own", {}),
        (6, "own", {"max_recovered_publications": 1}),
    ],
)
def test_what_cannot_be_recovered_is_told_and_the_subscription_goes_on_from_the_top(
    clock: Clock, since: int, epoch: str, settings: dict[str, Any]
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(**settings)
        stage.channel("room", history=3, recovery="force")
        top = await published(stage, 8)
        guest = await stage.enter()
        place = {"offset": since, "epoch": top.epoch if epoch == "own" else epoch}
        result = await asked(guest, recover=True, **place)
        assert result == {
            "recoverable": True,
            "positioned": True,
            "epoch": top.epoch,
            "offset": 8,
            "was_recovering": True,
        }
        other = await stage.enter()
        error = await asked(other, recover=True, flag=2, **place)
        assert error == {"code": 112, "message": "unrecoverable position"}
        assert stage.engine.fanout.channels() == {"room": 1}, "nothing is left of it"
        assert await asked(other, recover=True, flag=1, **place) == result

    clock.run(scenario())


def test_as_many_as_may_be_recovered_are(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_recovered_publications=3)
        stage.channel("room", history=10, recovery="force")
        top = await published(stage, 5)
        for since, recovered in ((2, True), (1, False)):
            result = await asked(await stage.enter(), recover=True, offset=since, epoch=top.epoch)
            assert result.get("recovered", False) is recovered

    clock.run(scenario())


def test_a_channel_may_recover_more_or_less_than_the_setting_says(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_recovered_publications=3)
        stage.channel("room", history=10, recovery="force", max_recovered=4)
        stage.channel("small", history=10, recovery="force", max_recovered=1)
        top = await published(stage, 5)
        await stage.engine.publish("small", 1)
        await stage.engine.publish("small", 2)
        result = await asked(await stage.enter(), recover=True, offset=1, epoch=top.epoch)
        assert [one["offset"] for one in result["publications"]] == [2, 3, 4, 5]
        assert not caplog.records
        guest = await stage.enter()
        for _ in range(2):
            result = (await guest.ask(subscribe={"channel": "small", "recover": True}))["subscribe"]
            assert "recovered" not in result
            await guest.ask(unsubscribe={"channel": "small"})
        (record,) = caplog.records
        assert "a client missed more than 1 publications of 'small'" in record.getMessage()
        assert "a larger max_recovered" in record.getMessage()

    clock.run(scenario())


def test_a_history_of_one_is_a_history(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", history=1, recovery="force")
        top = await published(stage, 2)
        result = await asked(await stage.enter(), recover=True, offset=1, epoch=top.epoch)
        assert [one["offset"] for one in result["publications"]] == [2]

    clock.run(scenario())


@pytest.mark.parametrize(("positioned", "codes"), [(True, [2500]), (False, [])])
def test_a_loss_is_told_to_those_whose_place_is_watched(clock: Clock, *, positioned: bool, codes: list[int]) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", history=10, positioning=True)
        guest = await stage.enter()
        await asked(guest, positioned=positioned)
        top = await published(stage, 1)
        stage.engine.fanout.deliver("room", Publication(Json("3"), 3, top.epoch))
        await ticks(3)
        assert [push["unsubscribe"]["code"] for push in guest.pushes() if "unsubscribe" in push] == codes

    clock.run(scenario())


def test_who_does_not_ask_or_may_not_recovers_nothing(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", history=10, recovery=True)
        top = await published(stage, 3)
        result = await asked(await stage.enter(), recoverable=True, offset=1, epoch=top.epoch)
        assert "publications" not in result
        assert "was_recovering" not in result
        result = await asked(await stage.enter(), recover=True, offset=1, epoch=top.epoch)
        assert "publications" not in result
        assert "recovered" not in result

    clock.run(scenario())


@pytest.mark.parametrize(
    ("since", "recovered", "missed"), [((0, ""), True, [5]), ((3, "own"), True, [5]), ((5, "own"), True, [])]
)
def test_in_cache_mode_the_newest_is_all_there_is_to_recover(
    clock: Clock, since: tuple[int, str], *, recovered: bool, missed: list[int]
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", history=10, recovery="force", recovery_mode="cache")
        top = await published(stage, 5)
        guest = await stage.enter()
        place = {"offset": since[0], "epoch": top.epoch if since[1] else ""}
        result = await asked(guest, recover=True, **place)
        assert (result["recovered"], result["was_recovering"]) == (recovered, True)
        assert [one["offset"] for one in result.get("publications", [])] == missed
        assert "recovered" not in await asked(await stage.enter()), "who has not asked"
        await stage.engine.remove_history("room")
        result = await asked(await stage.enter(), recover=True, flag=2)
        assert "recovered" not in result
        assert result["was_recovering"]

    clock.run(scenario())


def test_in_auto_cache_mode_everyone_gets_the_newest(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", history=10, recovery="force", recovery_mode="cache", auto_cache=True)
        assert "recovered" not in await asked(await stage.enter()), "there is nothing yet"
        await published(stage, 2)
        result = await asked(await stage.enter())
        assert [one["offset"] for one in result["publications"]] == [2]
        assert result["recovered"]

    clock.run(scenario())


# Filters


ENGLISH = {"key": "lang", "cmp": "eq", "val": "en"}


def test_who_filters_recovers_and_gets_what_matches(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", history=10, recovery="force", tags_filter=True)
        for lang in ("en", "de", "en", "de"):
            await published(stage, 1, lang=lang)
        guest = await stage.enter()
        result = await asked(guest, tf=ENGLISH, recover=True)
        assert result["recovered"]
        assert [one["offset"] for one in result["publications"]] == [1, 3]
        for lang in ("de", "en"):
            await published(stage, 1, lang=lang)
        await ticks(5)
        assert offsets(guest.pushes()) == [6]

    clock.run(scenario())


def test_a_filter_where_there_are_none_is_refused(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room")
        assert (await asked(await stage.enter(), tf=ENGLISH))["code"] == 107
        assert stage.engine.fanout.channels() == {}

    clock.run(scenario())


# Deltas


def read(publications: list[Any], base: str | None = None) -> tuple[list[str], str | None, int]:
    """The payloads as an SDK reads them, the last one, and how many came as deltas."""
    texts, deltas = [], 0
    for one in publications:
        data = one["data"]
        if one.get("delta"):
            assert base is not None, "a delta for somebody who has nothing to apply it to"
            deltas += 1
            data = bytes(apply_delta(base.encode(), data.encode())).decode()
        base = data
        texts.append(data)
    return texts, base, deltas


def text(number: int) -> str:
    return json.dumps({"text": LONG, "n": number}, separators=(",", ":"))


def test_deltas_go_on_from_what_was_recovered(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", history=10, recovery="force", delta=True)
        early = await stage.enter()
        assert (await asked(early, delta="fossil"))["delta"]
        top = await published(stage, 5)
        await ticks(3)
        texts, base, deltas = read([push["pub"] for push in early.pushes()])
        assert (texts, deltas) == ([text(number) for number in range(1, 6)], 4)

        late = await stage.enter()
        result = await asked(late, delta="fossil", recover=True, offset=2, epoch=top.epoch)
        texts, base, deltas = read(result["publications"])
        assert (texts, deltas) == ([text(3), text(4), text(5)], 2)
        await published(stage, 2)
        await ticks(3)
        texts, _, deltas = read([push["pub"] for push in late.pushes()], base)
        assert (texts, deltas) == ([text(6), text(7)], 2), "the last recovered is what the next differs from"

    clock.run(scenario())


@pytest.mark.parametrize("claims", ["nothing", "another epoch", "the top"])
def test_what_a_client_may_not_have_is_no_base_for_a_delta(clock: Clock, claims: str) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", history=10, recovery="force", delta=True)
        await asked(await stage.enter(), delta="fossil")
        top = await published(stage, 3)
        await ticks(3)
        place = {"recover": True, "offset": 3, "epoch": top.epoch if claims == "the top" else "another"}
        guest = await stage.enter()
        result = await asked(guest, delta="fossil", **({} if claims == "nothing" else place))
        assert result.get("recovered", False) is (claims == "the top")
        await published(stage, 2)
        await ticks(3)
        texts, _, deltas = read([push["pub"] for push in guest.pushes()])
        assert (texts, deltas) == ([text(4), text(5)], 1)

    clock.run(scenario())


def test_in_protobuf_deltas_are_bytes(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("ab", history=10, delta=True)
        guest = stage.arrive(BINARY)
        guest.transport.says(bytes.fromhex("04 0801 2200"))
        guest.transport.says(bytes.fromhex("10 0802 2a0c 0a02 6162 6206 666f7373696c"))
        await ticks(5)
        assert guest.transport.received[-1] == bytes.fromhex("06 0802 3202 6801")
        await published(stage, 2, "ab")
        await ticks(3)
        (both,) = guest.transport.received[2:]
        assert isinstance(both, bytes)
        assert both.count(LONG.encode()) == 1, "the second says only what differs"
        assert b'"n":2' not in both

    clock.run(scenario())


# With a broker that takes its time


@pytest.mark.parametrize("delta", ["", "fossil"])
@pytest.mark.parametrize("recover", [True, False])
def test_nothing_is_missed_or_comes_twice_while_the_broker_is_asked(clock: Clock, delta: str, *, recover: bool) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(broker=SlowBroker())
        stage.channel("room", history=100, recovery="force", delta=True, presence=True)
        guest = await stage.enter()
        place = {"recover": True, "offset": 0} if recover else {}
        guest.begin(subscribe={"channel": "room", "delta": delta, **place})
        for _ in range(50):
            await stage.engine.publish("room", json.loads(text((await _top(stage)) + 1)))
            await asyncio.sleep(0.1)
        await asyncio.sleep(5)
        answer, *others = guest.take()
        result = answer["subscribe"]
        first = result.get("publications", [])
        assert bool(first) is recover
        begun = len(first) if recover else result["offset"]
        pushed = [one["push"]["pub"] for one in others]
        assert [one["offset"] for one in (*first, *pushed)] == list(range(1 if recover else begun + 1, 51))
        if delta:
            texts, _, deltas = read([*first, *pushed])
            assert texts == [text(number) for number in range(1 if recover else begun + 1, 51)]
            assert deltas >= len(texts) - 3

    clock.run(scenario())


async def _top(stage: SessionStage) -> int:
    broker = stage.engine._broker
    assert isinstance(broker, SlowBroker)
    return (await super(SlowBroker, broker).history("room", None, 0))[1].offset


# Publishing


@pytest.mark.parametrize(
    ("request_", "code"), [({"type": 1, "key": "k", "data": 1}, 103), ({"type": 4, "data": 1}, 103), ({}, 107)]
)
def test_what_is_no_publication_of_a_stream_is_refused(clock: Clock, request_: dict[str, Any], code: int) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", may_publish="everyone", history=5)
        guest = await stage.enter()
        assert (await guest.ask(publish={"channel": "room", **request_}))["error"]["code"] == code
        assert (await stage.engine.history("room"))[0] == ()

    clock.run(scenario())


def test_a_publication_is_kept_by_the_rules_of_its_channel(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", may_publish="everyone", history=2, ttl=10.0, delta=True)
        guest = await stage.enter("anna")
        for number in range(3):
            await guest.ask(publish={"channel": "room", "data": number})
        kept, _ = await stage.engine.history("room")
        assert [(one.data, one.offset, one.delta) for one in kept] == [("1", 2, True), ("2", 3, True)]
        assert kept[0].publisher == guest.session.member(None)
        await asyncio.sleep(11)
        assert (await stage.engine.history("room"))[0] == ()

    clock.run(scenario())
