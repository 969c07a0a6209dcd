"""What messages of one session may cost us: time, memory and work, whoever sends them."""

import asyncio
import tracemalloc
from typing import Any

import pytest
from centrifuge.protocol import client_pb2
from google.protobuf.internal.encoder import _VarintBytes  # type: ignore[attr-defined]
from tests.clock import Clock, ticks
from tests.hub.fakes import FakeTransport, TupleFraming
from tests.hub.maps.stage import PERSISTENT, SMALL_PAGES, MapStage
from tests.hub.sessions import BINARY, ONE_WAY, TODAY, WEBSOCKET, Guest, Json, SessionStage

from hubbub import Forbidden, Identity, Settings

# What came, before its turn


def test_the_rates_are_spent_before_anything_is_decoded(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(message_rate=10, rate_burst=2, max_channels_per_session=1)
        for link, rubbish in ((WEBSOCKET, "\n".join("{" * 30)), (BINARY, b"\x01\xff" * 30)):
            guest = stage.arrive(link)
            guest.transport.says(rubbish)
            assert guest.closed == (3013, "too many requests"), "and not 3501, which decoding would find"
        for link, rubbish in ((WEBSOCKET, "\n".join("{" * 20)), (BINARY, b"\x01\xff" * 20)):
            guest = stage.arrive(link)
            guest.transport.says(rubbish)
            await ticks(3)
            assert guest.closed == (3501, "bad request")

    clock.run(scenario())


def test_no_more_commands_are_looked_for_than_may_wait(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_inbox_messages=200, max_channels_per_session=1)
        guest = await stage.enter(link=WEBSOCKET)
        guest.transport.says("\n" * 60_000)
        assert guest.closed == (3013, "too many requests")
        guest = stage.arrive(BINARY)
        guest.transport.says(b"\x01\xff" * 30_000)
        assert guest.closed == (3013, "too many requests")

    clock.run(scenario())


def test_what_waits_takes_hardly_more_memory_than_it_had_on_the_wire(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.on_connect(slow_to_tell)
        nodes = client_pb2.FilterNode(nodes=[client_pb2.FilterNode()] * 8000)
        many = client_pb2.Command(id=2, subscribe=client_pb2.SubscribeRequest(channel="room", tf=nodes))
        body = many.SerializeToString()
        large = _VarintBytes(len(body)) + body
        guest = stage.arrive(BINARY)
        guest.transport.says(b"\x04\x08\x01\x22\x00")
        await ticks(3)
        tracemalloc.start()
        try:
            for _ in range(50):
                guest.transport.says(large)
            await ticks(3)
            waits, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert guest.closed is None
        assert waits < 2 * 50 * len(large)

    clock.run(scenario())


async def slow_to_tell() -> None:
    await asyncio.sleep(5)


def test_pongs_count_when_they_come_however_busy_the_session_is(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(session_ping_interval=25, session_pong_timeout=8)
        stage.method("slow", slow_to_tell)
        for link, pong in ((WEBSOCKET, "{}"), (WEBSOCKET, '{"id": 0, "ping": {}}'), (BINARY, b"\x00")):
            guest = await stage.enter() if link is WEBSOCKET else stage.arrive(link)
            if link is BINARY:
                guest.transport.says(b"\x04\x08\x01\x22\x00")
                await ticks(3)
            for _ in range(10):  # 50 seconds of work
                guest.transport.says(SLOW[link])
            pings = 0
            for _ in range(45):
                await asyncio.sleep(1)
                told = guest.transport.received[pings:]
                pings = len(guest.transport.received)
                if link.codec.ping in told:
                    guest.transport.says(pong)
            assert guest.closed is None
            guest.transport.leaves()

    clock.run(scenario())


SLOW = {WEBSOCKET: '{"id":9,"rpc":{"method":"slow"}}', BINARY: b"\x0a\x08\x09\x6a\x06\x12\x04slow"}


def test_sessions_that_only_listen_may_not_send_more_than_the_rate(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(message_rate=5, rate_burst=2, max_channels_per_session=1)
        guest = stage.arrive(ONE_WAY)
        guest.transport.says("{}")
        await ticks(3)
        for _ in range(9):
            guest.transport.says("x")
        assert guest.closed is None
        guest.transport.says("x")
        assert guest.closed == (3013, "too many requests")
        heavy = await SessionStage.open(byte_rate=1000, rate_burst=2, max_message_size=1000)
        guest = heavy.arrive(ONE_WAY)
        guest.transport.says("{}")
        await ticks(3)
        guest.transport.says("x" * 1900)
        assert guest.closed is None
        guest.transport.says("x" * 200)
        assert guest.closed == (3013, "too many requests")

    clock.run(scenario())


def test_refused_sessions_may_not_send_more_than_the_rate(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(message_rate=5, rate_burst=2, max_channels_per_session=1)
        stage.auth.identities["stranger"] = Forbidden()
        guest = stage.arrive()
        assert (await guest.ask(connect={"token": "stranger"}))["error"]["code"] == 103
        for _ in range(9):
            guest.transport.says("x")
        assert guest.closed is None
        guest.transport.says("x")
        assert guest.closed == (3013, "too many requests")

    clock.run(scenario())


# Rates


def test_what_came_while_the_loop_was_blocked_is_no_flood(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(message_rate=50, byte_rate=40_000, rate_burst=2)
        stage.method("hear", lambda data: None)
        guest = await stage.enter()
        said = [guest.command(rpc={"method": "hear", "data": "x" * 600}) for _ in range(350)]
        for number in range(50):
            guest.say(said[number])
            await asyncio.sleep(0.02)
        clock.block(6)
        for number in range(50, 350):
            guest.say(said[number])
        await asyncio.sleep(0.02)
        assert guest.closed is None
        guest.transport.says("x" * 70_000, "x" * 60_000, "x" * 60_000, "x" * 60_000)
        assert guest.closed == (3013, "too many requests"), "the allowance has an end"

    clock.run(scenario())


@pytest.mark.parametrize("channels", [128, 600])
def test_a_client_may_come_back_to_all_its_channels_and_ask_for_presence_and_history_of_each(
    clock: Clock, channels: int
) -> None:
    async def scenario() -> None:
        rates = {name: Settings.model_fields[name].default for name in ("message_rate", "byte_rate")}
        stage = await SessionStage.open(max_channels_per_session=channels, **rates)
        stage.channel("room:{n}", history=10, presence=True, may_see_presence="everyone", may_read_history="everyone")
        for _ in range(3):  # as SDKs do again and again, without a break
            guest = await stage.enter()
            names = [f"room:{number}" for number in range(channels)]
            guest.say(*(guest.command(subscribe={"channel": name}) for name in names))
            await settled(guest)
            for name in names:
                guest.say(guest.command(presence_stats={"channel": name}))
                guest.say(guest.command(history={"channel": name, "limit": 1}))
            replies = await settled(guest)
            assert guest.closed is None
            assert len(replies) == 2 * channels
            assert not [reply for reply in replies if "error" in reply]
            guest.transport.leaves()

    clock.run(scenario())


async def settled(guest: Guest) -> list[Json]:
    """What is heard until nothing more comes."""
    heard: list[Json] = []
    while True:
        for _ in range(50):
            await ticks()
        more = guest.take()
        if not more:
            return heard
        heard += more


# Work


async def crowd(stage: SessionStage, count: int, channel: str, **rules: Any) -> list[Guest]:
    stage.channel(channel, **rules)
    return [await stage.subscribed(channel) for _ in range(count)]


def test_commands_with_large_answers_are_refused_until_time_has_paid_for_those_before(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(work_rate=1000, rate_burst=2)
        await crowd(stage, 100, "room", presence=True, may_see_presence="everyone")
        stage.channel("log", history=300, may_read_history="everyone")
        for _ in range(300):
            await stage.engine.publish("log", "x" * 1000)
        dear: tuple[tuple[int, Json], ...] = (
            # about 2,000 units in so many answers: 100 members, their 10 KiB; 100 / 32; 300 publications, 300 KiB
            (19, {"presence": {"channel": "room"}}),
            (640, {"presence_stats": {"channel": "room"}}),
            (4, {"history": {"channel": "log", "limit": 300}}),
        )
        for about, command in dear:
            guest = await stage.enter()
            answers = 0
            while "error" not in (reply := await guest.ask(**command)):
                answers += 1
            assert reply["error"] == {"code": 111, "message": "too many requests", "temporary": True}
            assert about * 0.8 <= answers <= about * 1.2
            assert "error" in await guest.ask(subscribe={"channel": "room"}), "which may have a large answer as well"
            assert (await guest.ask(rpc={"method": "x"}))["error"]["code"] == 108, "what costs little is answered"
            await asyncio.sleep(2)
            assert "error" not in await guest.ask(**command)
            assert guest.closed is None

    clock.run(scenario())


def test_coming_back_for_a_history_again_and_again_is_refused_for_a_while(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(work_rate=1000, rate_burst=2)
        stage.channel("log", history=300, recovery="force")
        for _ in range(300):
            top = await stage.engine.publish("log", "x" * 1000)
        guest = await stage.enter()
        since = {"channel": "log", "recover": True, "epoch": top.epoch, "offset": 0}
        answers = 0
        while "error" not in (reply := await guest.ask(subscribe=since)):
            assert len(reply["subscribe"]["publications"]) == 300
            answers += 1
            await guest.ask(unsubscribe={"channel": "log"})
        assert reply["error"]["code"] == 111
        assert 3 <= answers <= 4

    clock.run(scenario())


def test_joins_and_leaves_cost_what_they_tell_to_others(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(work_rate=100, rate_burst=2)
        await crowd(stage, 49, "room", join_leave="force")
        guest = await stage.enter()
        rounds = 0
        while "error" not in (reply := await guest.ask(subscribe={"channel": "room"})):
            await guest.ask(unsubscribe={"channel": "room"})
            rounds += 1
        assert reply["error"]["code"] == 111
        assert rounds == 2, "100 receivers are told of each"
        await asyncio.sleep(1)
        assert "error" not in await guest.ask(subscribe={"channel": "room"})

    clock.run(scenario())


def test_the_pages_of_a_map_are_answered_to_the_last_once_the_first_is(clock: Clock) -> None:
    async def scenario() -> None:
        async with MapStage({**PERSISTENT, **SMALL_PAGES}, work_rate=10, rate_burst=2) as maps:
            await maps.fill(*(f"k{number:02}" for number in range(30)))
            guest = await maps.sessions.enter()
            page = {"channel": "board:1", "type": 1, "phase": 2, "limit": 3}
            reply = await guest.ask(subscribe=page)
            pages = 1
            while reply["subscribe"].get("cursor"):
                found = reply["subscribe"]
                reply = await guest.ask(subscribe={**page, "cursor": found["cursor"], "epoch": found["epoch"]})
                pages += 1
            assert pages == 10
            assert (await guest.ask(unsubscribe={"channel": "board:1"})).keys() == {"id", "unsubscribe"}
            assert (await guest.ask(subscribe=page))["error"]["code"] == 111

    clock.run(scenario())


# Filters


@pytest.mark.parametrize("type_", [0, 1])
def test_a_channel_has_a_bounded_number_of_different_filters(
    clock: Clock, caplog: pytest.LogCaptureFixture, type_: int
) -> None:
    def wants(value: str) -> Json:
        return {"type": type_, **({"phase": 2} if type_ else {}), "tf": {"key": "to", "cmp": "eq", "val": value}}

    async def scenario() -> None:
        async with MapStage({"mode": "persistent", "tags_filter": True}, max_filters_per_channel=3) as maps:
            stage, channel = maps.sessions, "board:1" if type_ else "room"
            stage.channel("room", tags_filter=True)
            framing = TupleFraming()  # one, as connections of one kind have

            async def ask(**request: Any) -> tuple[Guest, Json]:
                guest = stage.arrive(transport=FakeTransport(framing))
                await guest.ask(connect={})
                return guest, await guest.ask(subscribe={"channel": channel, **request})

            guests = []
            for name in ("anna", "bob", "carol"):
                guest, reply = await ask(**wants(name))
                assert "subscribe" in reply
                guests.append(guest)
            _, refused = await ask(**wants("dora"))
            assert (refused["error"]["code"], refused["error"]["temporary"]) == (106, True)
            assert "max_filters_per_channel" in caplog.text
            assert "subscribe" in (await ask(**wants("anna")))[1], "the same filter is no more"
            guests[1].transport.leaves()
            await ticks(3)
            assert "subscribe" in (await ask(**wants("dora")))[1]
            plain = {"type": type_, **({"phase": 2} if type_ else {})}
            assert "subscribe" in (await ask(**plain))[1], "and none is none"

    clock.run(scenario())


# The wall clock


def test_tokens_expire_by_the_wall_clock_also_when_that_jumps(clock: Clock) -> None:
    async def scenario() -> None:
        ahead = 0.0
        stage = await SessionStage.open(expired_grace=1)
        told = stage.engine.wall
        stage.engine.wall = lambda: told() + ahead
        stage.engine.clocks._wall = stage.engine.wall
        stage.auth.identities["anna"] = Identity("anna", expire_at=TODAY + 1800)
        guest = await stage.enter("anna")
        await asyncio.sleep(10)
        ahead = 3600.0
        await asyncio.sleep(2)
        assert guest.closed == (3005, "connection expired")

    clock.run(scenario())
