"""What messages of one session may cost us: time, memory and work, whoever sends them."""

import asyncio
import tracemalloc

from centrifuge.protocol import client_pb2
from google.protobuf.internal.encoder import _VarintBytes  # type: ignore[attr-defined]
from tests.clock import Clock, ticks
from tests.hub.sessions import BINARY, ONE_WAY, WEBSOCKET, SessionStage

from hubbub import Forbidden

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
