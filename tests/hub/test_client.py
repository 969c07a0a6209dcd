"""One WebSocket in user code: what its body sees, how it ends, and what nobody has to see."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.exceptions import WebSocketException
from starlette.websockets import WebSocketDisconnect
from tests.clock import Clock, ticks
from tests.hub.fakes import FakeTransport, Stage, WatchedBroker

from hubbub import Client, Goodbye, UsageError
from hubbub.errors import Slow, Unresponsive
from hubbub.hub.client import is_logged
from hubbub.hub.reading import Mode
from hubbub.hub.transport import Peer, Policy

AnyClient = Client[Any]
NO_RATES: dict[str, Any] = {"message_rate": 0, "byte_rate": 0}
SMALL_INBOX: dict[str, Any] = {
    "max_inbox_messages": 2, "max_inbox_bytes": 100, "max_message_size": 100
}  # fmt: skip


class GoneTransport(FakeTransport):
    """A connection whose peer has left before the body begins."""

    def attach(self, peer: Peer, policy: Policy) -> None:
        super().attach(peer, policy)
        self.says("last words")
        self.leaves()


async def listen_forever(client: AnyClient) -> None:
    async for _ in client:
        pass


# Messages


def test_a_body_that_reads_gets_every_message_in_order_and_ends_when_the_peer_leaves(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()
        heard: list[str] = []

        async def body(client: AnyClient) -> None:
            async for text in client:
                heard.append(text)
            heard.append("(the end)")

        handler = stage.come(body, transport)
        await ticks(2)
        transport.says("one", "two")
        await ticks(2)
        transport.says("three")
        transport.says("four")
        transport.leaves(1001, "bye")
        client = await handler
        assert heard == ["one", "two", "three", "four", "(the end)"]
        assert client.goodbye == Goodbye(1001, "bye", "peer")
        assert transport.settled

    clock.run(scenario())


def test_iterating_again_after_the_end_ends_at_once(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def body(client: AnyClient) -> None:
            await listen_forever(client)
            await listen_forever(client)

        handler = stage.come(body, transport)
        await ticks(2)
        transport.leaves()
        await handler

    clock.run(scenario())


def test_what_comes_after_the_goodbye_is_not_read(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()
        heard: list[str] = []

        async def body(client: AnyClient) -> None:
            await client.close(4001)
            transport.says("too late")
            async for text in client:
                heard.append(text)

        await stage.come(body, transport)
        assert heard == []

    clock.run(scenario())


def test_bytes_mode_gives_bytes(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()
        heard: list[bytes] = []

        async def body(client: AnyClient) -> None:
            async for data in client:
                heard.append(data)

        handler = stage.come(body, transport, "bytes")
        await ticks()
        transport.says(b"\x00\xff", b"")
        transport.leaves()
        await handler
        assert heard == [b"\x00\xff", b""]

    clock.run(scenario())


def test_json_mode_gives_what_the_text_says(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()
        heard: list[Any] = []

        async def body(client: AnyClient) -> None:
            async for value in client:
                heard.append(value)

        handler = stage.come(body, transport, "json")
        await ticks()
        transport.says('{"a": [1, 2.5, null, true]}', '"text"', "0", '"\\ud83d\\ude00"')
        transport.leaves()
        await handler
        assert heard == [{"a": [1, 2.5, None, True]}, "text", 0, "\U0001f600"]

    clock.run(scenario())


@pytest.mark.parametrize("text", ["", "{", "{'a': 1}", "hello", "[1,]", "NaN", '{"a": Infinity}', "[" * 100_000, "1 2"])
def test_text_that_is_not_json_closes_with_1007_and_ends_the_iteration(clock: Clock, text: str) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(**NO_RATES), FakeTransport()
        heard: list[Any] = []

        async def body(client: AnyClient) -> None:
            async for value in client:
                heard.append(value)
            async for value in client:
                heard.append(value)

        handler = stage.come(body, transport, "json")
        await ticks()
        transport.says("1", text, "2")
        client = await handler
        assert heard == [1], "nothing behind the broken message is read"
        assert client.goodbye is not None
        assert (client.goodbye.code, client.goodbye.by) == (1007, "hub")
        assert client.goodbye.reason.startswith("not JSON: ")
        assert transport.closed == [(1007, client.goodbye.reason)]

    clock.run(scenario())


def test_half_an_emoji_in_json_is_read_as_the_replacement_character(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(**NO_RATES), FakeTransport()
        heard: list[Any] = []

        async def body(client: AnyClient) -> None:
            async for value in client:
                heard.append(value)

        handler = stage.come(body, transport, "json")
        await ticks()
        transport.says(r'{"text": "cut \ud83d"}', r'"\ud83d\ude00"')
        transport.leaves()
        await handler
        assert heard == [{"text": "cut \ufffd"}, "\U0001f600"]

    clock.run(scenario())


@pytest.mark.parametrize(
    ("mode", "good", "bad", "reason"),
    [
        ("text", "fine", b"bytes", "this endpoint reads text messages"),
        ("bytes", b"fine", "text", "this endpoint reads binary messages"),
        ("json", '"fine"', b'"bytes"', "this endpoint reads JSON text messages"),
    ],
)
def test_a_message_of_the_other_type_closes_with_1003(
    clock: Clock, mode: Mode, good: str | bytes, bad: str | bytes, reason: str
) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()
        heard: list[Any] = []

        async def body(client: AnyClient) -> None:
            async for message in client:
                heard.append(message)

        handler = stage.come(body, transport, mode)
        await ticks()
        transport.says(good, bad, good)
        client = await handler
        assert heard in (["fine"], [b"fine"]), "what came before it is read, what came behind is not"
        assert transport.closed == [(1003, reason)]
        assert client.goodbye == Goodbye(1003, reason, "hub")

    clock.run(scenario())


def test_two_tasks_that_iterate_one_client_are_told_so(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def body(client: AnyClient) -> None:
            reader = asyncio.create_task(listen_forever(client))
            await ticks()
            with pytest.raises(UsageError, match="two tasks iterate one client"):
                await anext(client)
            # The first one is not disturbed.
            transport.says("still read")
            await ticks(2)
            transport.leaves()
            await reader

        await stage.come(body, transport)

    clock.run(scenario())


# What may wait, and how much may come


def test_more_messages_than_the_inbox_holds_close_with_1008(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(max_inbox_messages=3), FakeTransport()
        heard: list[str] = []

        async def body(client: AnyClient) -> None:
            await asyncio.sleep(1)
            async for text in client:
                heard.append(text)

        handler = stage.come(body, transport)
        await ticks()
        transport.says("1", "2", "3")
        assert transport.closed == [], "as many as it holds are fine"
        transport.says("4")
        assert transport.closed == [(1008, "4 messages wait for the handler")]
        await handler

    clock.run(scenario())


def test_messages_that_the_body_has_not_got_to_still_count(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(max_inbox_messages=3), FakeTransport()

        async def body(client: AnyClient) -> None:
            assert await anext(client) == "1"
            await asyncio.sleep(1)

        stage.come(body, transport)
        await ticks()
        transport.says("1", "2", "3")
        await ticks(2)
        transport.says("4")
        assert transport.closed == [], "two are left, and one more is three"
        transport.says("5")
        assert transport.closed == [(1008, "4 messages wait for the handler")]
        await asyncio.sleep(2)

    clock.run(scenario())


@pytest.mark.parametrize(("mode", "message"), [("text", "x" * 30), ("text", "ü" * 15), ("bytes", b"x" * 30)])
def test_more_bytes_than_the_inbox_holds_close_with_1008(clock: Clock, mode: Mode, message: str | bytes) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(max_inbox_bytes=90, max_message_size=90), FakeTransport()

        async def body(client: AnyClient) -> None:
            await asyncio.sleep(1)

        stage.come(body, transport, mode)
        await ticks()
        for _ in range(3):
            transport.says(message)
        assert transport.closed == []
        transport.says(message)
        assert [code for code, _ in transport.closed] == [1008]
        await asyncio.sleep(2)

    clock.run(scenario())


def test_bytes_that_the_body_has_not_got_to_still_count(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(max_inbox_bytes=100, max_message_size=100), FakeTransport()

        async def body(client: AnyClient) -> None:
            assert await anext(client) == "x" * 40
            await asyncio.sleep(1)

        stage.come(body, transport)
        await ticks()
        transport.says("x" * 40, "x" * 50)
        await ticks(2)
        transport.says("x" * 50)
        assert transport.closed == [], "fifty are left, and fifty more are as many as there may be"
        transport.says("x")
        assert [code for code, _ in transport.closed] == [1008]
        await asyncio.sleep(2)

    clock.run(scenario())


def test_a_body_that_keeps_up_may_be_sent_any_amount(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await Stage.open(**SMALL_INBOX, **NO_RATES)
        transport = FakeTransport()
        heard: list[str] = []

        async def body(client: AnyClient) -> None:
            async for text in client:
                heard.append(text)

        handler = stage.come(body, transport)
        for _ in range(500):
            await ticks(2)
            transport.says("x" * 49, "y" * 49)
        await ticks(2)
        assert transport.closed == []
        transport.leaves()
        await handler
        assert len(heard) == 1000

    clock.run(scenario())


@pytest.mark.parametrize("reads", [True, False])
def test_pings_never_fill_the_inbox(clock: Clock, *, reads: bool) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(max_inbox_bytes=1000, max_message_size=1000, **NO_RATES), FakeTransport()

        async def body(client: AnyClient) -> None:
            await (listen_forever(client) if reads else asyncio.Event().wait())

        handler = stage.come(body, transport)
        await ticks()
        assert transport.peer is not None
        for _ in range(1000):
            # A peer that says nothing, and keeps the connection alive: 131 bytes are the largest ping.
            transport.peer.on_messages((), 1, 131)
        assert transport.closed == []
        transport.leaves()
        await handler

    clock.run(scenario())


def test_more_messages_a_second_than_the_rate_close_with_1008(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(message_rate=5, rate_burst=2), FakeTransport()
        handler = stage.come(listen_forever, transport)
        await ticks()
        for _ in range(10):
            transport.says("x")
        await asyncio.sleep(1)
        for _ in range(5):
            transport.says("x")
        assert transport.closed == []
        transport.says("x")
        assert transport.closed == [(1008, "more than 5 messages a second")]
        await handler

    clock.run(scenario())


def test_control_frames_count_as_messages_for_the_rate(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(message_rate=5, rate_burst=2), FakeTransport()
        handler = stage.come(listen_forever, transport)
        await ticks()
        assert transport.peer is not None
        transport.peer.on_messages((), 10, 60)
        assert transport.closed == []
        transport.peer.on_messages((), 1, 6)
        assert transport.closed == [(1008, "more than 5 messages a second")]
        await handler

    clock.run(scenario())


def test_more_bytes_a_second_than_the_rate_close_with_1008(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = (
            await Stage.open(message_rate=0, byte_rate=100, rate_burst=1, max_message_size=100),
            FakeTransport(),
        )
        handler = stage.come(listen_forever, transport)
        await ticks()
        transport.says("x" * 100)
        assert transport.closed == []
        transport.says("x")
        assert transport.closed == [(1008, "more than 100 bytes a second")]
        await handler

    clock.run(scenario())


def test_what_came_while_the_loop_was_blocked_is_no_flood(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(message_rate=100, rate_burst=2), FakeTransport()
        handler = stage.come(listen_forever, transport)
        await ticks(2)
        for _ in range(100):  # a voice: 50 messages a second
            transport.says("x")
            await asyncio.sleep(0.02)
        clock.block(6)
        transport.says(*("x" for _ in range(300)))
        await asyncio.sleep(0.02)
        assert not transport.closed
        transport.says(*("x" for _ in range(1000)))
        assert transport.closed == [(1008, "more than 100 messages a second")], "the allowance has an end"
        await handler

    clock.run(scenario())


def test_a_message_over_the_rate_is_not_read(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(message_rate=1, rate_burst=1), FakeTransport()
        heard: list[str] = []

        async def body(client: AnyClient) -> None:
            async for text in client:
                heard.append(text)

        handler = stage.come(body, transport)
        await ticks()
        transport.says("fine")
        transport.says("over")
        await handler
        assert heard == ["fine"]

    clock.run(scenario())


# How a body ends when its peer has gone


def test_a_body_that_never_reads_is_cancelled_at_once_and_its_finally_runs(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(leave_grace=100), FakeTransport()
        seen: list[str] = []

        async def body(client: AnyClient) -> None:
            try:
                await client.send("one")
                await asyncio.sleep(3600)
            finally:
                seen.append("finally")

        async def handler() -> None:
            async with stage.welcome(transport) as client:
                await body(client)
            seen.append("behind the block")
            await asyncio.sleep(1)
            seen.append("alive")

        task = asyncio.create_task(handler())
        await ticks(2)
        started = clock.time()
        transport.leaves()
        await ticks(3)
        assert seen == ["finally", "behind the block"]
        assert clock.time() == started
        await task
        assert seen[-1] == "alive", "the cancellation has stopped at the end of the block"
        assert task.cancelling() == 0
        assert transport.received == ["one"]

    clock.run(scenario())


def test_a_loop_of_sends_gives_way_when_the_peer_has_left_and_is_cancelled(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()
        sent = 0

        async def body(client: AnyClient) -> None:
            nonlocal sent
            while True:
                await client.send("tick")
                sent += 1
                if sent == 3:
                    transport.leaves()
                assert sent < 100, "the loop was not cancelled"

        await stage.come(body, transport)
        assert transport.received == ["tick"] * 3, "nothing is sent to a client that is gone"

    clock.run(scenario())


def test_a_body_that_reads_and_is_busy_may_finish_within_the_grace(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(leave_grace=1.0), FakeTransport()
        done: list[str] = []

        async def body(client: AnyClient) -> None:
            async for text in client:
                await asyncio.sleep(0.3)
                done.append(text)

        handler = stage.come(body, transport)
        await ticks()
        transport.says("one", "two", "three")
        await ticks(2)
        transport.leaves()
        await handler
        assert done == ["one", "two", "three"], "what the peer had sent before it left is worked off"
        assert clock.timers() == 0, "the timer of the grace is gone"

    clock.run(scenario())


def test_the_log_says_that_code_after_the_loop_was_cancelled_and_what_gives_it_longer(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        stage = await Stage.open(leave_grace=2)
        saved: list[str] = []

        async def slow_to_save(client: AnyClient) -> None:
            await listen_forever(client)
            await asyncio.sleep(3)
            saved.append("all")

        async def quick_to_save(client: AnyClient) -> None:
            await listen_forever(client)
            await asyncio.sleep(1)
            saved.append("all")

        async def in_the_loop(client: AnyClient) -> None:
            async for _ in client:
                await asyncio.sleep(3600)

        for body in (slow_to_save, quick_to_save, in_the_loop, lambda _: asyncio.sleep(3600)):
            transport = FakeTransport()
            handler = stage.come(body, transport)
            await ticks(2)
            transport.says("a message")
            await ticks(2)
            transport.leaves()
            await handler
        assert saved == ["all"]

    clock.run(scenario())
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "client client-1 (/ws): the code after its loop is cancelled, 2 s after the connection ended; "
        "HUBBUB_LEAVE_GRACE gives it longer"
    ]


def test_a_body_in_which_something_was_cancelled_has_failed(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def body(client: AnyClient) -> None:
            task = asyncio.create_task(asyncio.sleep(3600))
            task.cancel()
            await task

        handler = stage.come(body, transport)
        with pytest.raises(asyncio.CancelledError) as caught:
            await handler
        assert is_logged(caught.value)
        assert transport.closed == [(1011, "internal error")]

    clock.run(scenario())
    assert [record.getMessage() for record in caplog.records] == ["client client-1: the handler of /ws failed"]


def test_a_body_that_reads_and_is_busy_for_longer_is_cancelled_when_the_grace_is_over(clock: Clock) -> None:
    async def scenario() -> float:
        stage, transport = await Stage.open(leave_grace=2.5), FakeTransport()
        seen: list[str] = []

        async def body(client: AnyClient) -> None:
            async for text in client:
                seen.append(text)
                try:
                    await asyncio.sleep(3600)
                finally:
                    seen.append("finally")

        handler = stage.come(body, transport)
        await ticks()
        transport.says("one", "two")
        await asyncio.sleep(10)
        left_at = clock.time()
        transport.leaves()
        await handler
        assert seen == ["one", "finally"]
        return clock.time() - left_at

    assert clock.run(scenario()) == pytest.approx(2.5)


def test_without_a_grace_a_body_that_is_busy_is_cancelled_at_once(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(leave_grace=0), FakeTransport()

        async def body(client: AnyClient) -> None:
            async for _ in client:
                await asyncio.sleep(3600)

        handler = stage.come(body, transport)
        await ticks()
        transport.says("one")
        await ticks(2)
        started = clock.time()
        transport.leaves()
        await handler
        assert clock.time() == started

    clock.run(scenario())


def test_tasks_inside_the_body_end_with_it(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(leave_grace=1.0), FakeTransport()
        seen: list[str] = []

        async def read(client: AnyClient) -> None:
            async for text in client:
                seen.append(text)
            seen.append("reader ended")

        async def send(client: AnyClient) -> None:
            try:
                while True:
                    await client.send("tick")
                    await asyncio.sleep(10)
            finally:
                seen.append("sender cancelled")

        async def body(client: AnyClient) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(read(client))
                group.create_task(send(client))

        handler = stage.come(body, transport)
        await ticks(3)
        transport.says("hello")
        await ticks(3)
        left_at = clock.time()
        transport.leaves()
        client = await handler
        assert seen == ["hello", "reader ended", "sender cancelled"]
        assert clock.time() - left_at == pytest.approx(1.0)
        assert client.goodbye == Goodbye(1001, "", "peer")

    clock.run(scenario())


def test_a_peer_that_is_gone_before_the_body_begins_is_still_read_to_its_last_word(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), GoneTransport()
        heard: list[str] = []

        async def body(client: AnyClient) -> None:
            await client.join("lobby")
            async for text in client:
                heard.append(text)

        client = await stage.come(body, transport)
        assert heard == ["last words"]
        assert client.goodbye == Goodbye(1001, "", "peer")
        assert len(stage.goodbyes) == 1

    clock.run(scenario())


def test_a_peer_that_is_gone_before_a_body_that_only_sends_begins_ends_it_at_once(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), GoneTransport()

        async def body(client: AnyClient) -> None:
            await asyncio.sleep(3600)

        started = clock.time()
        await stage.come(body, transport)
        assert clock.time() == started

    clock.run(scenario())


# Faults of the code


def test_an_exception_closes_with_1011_is_logged_once_with_the_id_and_goes_on(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def body(client: AnyClient) -> None:
            raise LookupError("no such row: secret details")

        with pytest.raises(LookupError, match="no such row") as caught:
            await stage.come(body, transport)
        assert transport.closed == [(1011, "internal error")], "the peer is told nothing of the inside"
        assert transport.settled
        assert is_logged(caught.value)
        assert stage.goodbyes == [("client-1", Goodbye(1011, "internal error", "hub"))]

    with caplog.at_level(logging.DEBUG, "hubbub"):
        clock.run(scenario())
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage() == "client client-1: the handler of /ws failed"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


def test_an_exception_that_cannot_be_marked_goes_on_as_it_is(clock: Clock) -> None:
    @dataclass(frozen=True)
    class FrozenError(Exception):
        detail: str

    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def body(client: AnyClient) -> None:
            raise FrozenError("frozen")

        with pytest.raises(FrozenError) as caught:
            await stage.come(body, transport)
        assert not is_logged(caught.value)
        assert transport.closed == [(1011, "internal error")]

    clock.run(scenario())


def test_an_exception_after_the_peer_has_left_is_not_lost(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def body(client: AnyClient) -> None:
            await listen_forever(client)
            raise LookupError("in the clean-up")

        handler = stage.come(body, transport)
        await ticks()
        transport.leaves()
        with pytest.raises(LookupError):
            await handler
        assert stage.goodbyes == [("client-1", Goodbye(1001, "", "peer"))]

    clock.run(scenario())
    assert "client client-1: the handler of /ws failed" in caplog.text


def test_a_websocket_exception_closes_with_its_code_and_ends_there(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def body(client: AnyClient) -> None:
            raise WebSocketException(code=4003, reason="not in this room")

        client = await stage.come(body, transport)
        assert transport.closed == [(4003, "not in this room")]
        assert client.goodbye == Goodbye(4003, "not in this room", "app")

    with caplog.at_level(logging.DEBUG, "hubbub"):
        clock.run(scenario())
    assert caplog.records == []


@pytest.mark.parametrize("code", [403, 1005, 1006, 1015, 5000])
def test_a_websocket_exception_with_a_code_that_cannot_be_sent_is_a_fault_of_the_code(
    clock: Clock, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def body(client: AnyClient) -> None:
            raise WebSocketException(code=code, reason="no")

        await stage.come(body, transport)
        assert transport.closed == [(1011, "internal error")]
        assert transport.settled

    clock.run(scenario())
    assert str(code) in caplog.text
    assert "client-1" in caplog.text


def test_a_disconnect_raised_after_the_goodbye_is_swallowed(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def body(client: AnyClient) -> None:
            await listen_forever(client)
            raise WebSocketDisconnect(1001)  # what code of a plain WebSocket raises

        handler = stage.come(body, transport)
        await ticks()
        transport.leaves()
        await handler

    clock.run(scenario())
    assert caplog.records == []


def test_a_disconnect_raised_while_the_peer_is_there_is_a_fault_of_the_code(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def body(client: AnyClient) -> None:
            raise WebSocketDisconnect(1000)

        with pytest.raises(WebSocketDisconnect):
            await stage.come(body, transport)
        assert transport.closed == [(1011, "internal error")]

    clock.run(scenario())


def test_what_is_no_exception_of_the_program_closes_with_1001_and_goes_on(clock: Clock) -> None:
    class Abandon(BaseException):
        pass

    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def body(client: AnyClient) -> None:
            raise Abandon

        with pytest.raises(Abandon):
            await stage.come(body, transport)
        assert transport.closed == [(1001, "going away")]

    clock.run(scenario())


# Other cancellations


def test_a_cancellation_from_outside_is_not_swallowed(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()
        handler = stage.come(listen_forever, transport)
        await ticks(2)
        handler.cancel()
        with pytest.raises(asyncio.CancelledError):
            await handler
        assert handler.cancelled()
        assert transport.closed == [(1001, "going away")]
        assert transport.settled
        assert [goodbye.by for _, goodbye in stage.goodbyes] == ["hub"]

    clock.run(scenario())


def test_a_cancellation_from_outside_wins_over_ours(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def body(client: AnyClient) -> None:
            await asyncio.sleep(3600)

        handler = stage.come(body, transport)
        await ticks(2)
        transport.leaves()
        loop = asyncio.get_running_loop()
        # Behind the timer of our own cancellation, in the same iteration.
        loop.call_later(0, handler.cancel)
        with pytest.raises(asyncio.CancelledError):
            await handler

    clock.run(scenario())


def test_a_timeout_around_the_block_still_works(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def handler() -> str:
            try:
                async with asyncio.timeout(5), stage.welcome(transport) as client:
                    await listen_forever(client)
            except TimeoutError:
                return "timed out"
            return "not timed out"

        started = clock.time()
        assert await handler() == "timed out"
        assert clock.time() - started == pytest.approx(5)
        assert transport.closed == [(1001, "going away")]

    clock.run(scenario())


def test_a_timeout_around_the_block_that_comes_with_the_goodbye_still_works(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def handler() -> str:
            try:
                async with asyncio.timeout(5), stage.welcome(transport):
                    asyncio.get_running_loop().call_later(5, transport.leaves)
                    await asyncio.sleep(3600)
            except TimeoutError:
                return "timed out"
            return "not timed out"

        task = asyncio.create_task(handler())
        assert await task == "timed out"
        assert task.cancelling() == 0

    clock.run(scenario())


def test_a_timeout_around_the_block_does_not_fire_for_our_cancellation(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def handler() -> str:
            async with asyncio.timeout(5), stage.welcome(transport):
                asyncio.get_running_loop().call_later(1, transport.leaves)
                await asyncio.sleep(3600)
            return "went on"

        assert await handler() == "went on"

    clock.run(scenario())


def test_a_timeout_inside_the_block_still_works(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def body(client: AnyClient) -> None:
            try:
                async with asyncio.timeout(5):
                    await anext(client)
            except TimeoutError:
                await client.send("are you there?")
            assert await anext(client) == "yes"

        handler = stage.come(body, transport)
        await asyncio.sleep(6)
        assert transport.received == ["are you there?"]
        transport.says("yes")
        client = await handler
        assert client.goodbye == Goodbye(1000, "", "app")

    clock.run(scenario())


def test_our_cancellation_passes_a_timeout_inside_the_block(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()
        seen: list[str] = []

        async def body(client: AnyClient) -> None:
            try:
                async with asyncio.timeout(5):
                    await asyncio.sleep(3600)
            except TimeoutError:
                seen.append("a time-out that was none")

        handler = stage.come(body, transport)
        await asyncio.sleep(1)
        transport.leaves()
        await handler
        assert seen == []

    clock.run(scenario())


def test_a_cancellation_that_the_handler_has_survived_before_the_block_does_not_count(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def handler() -> str:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
            async with stage.welcome(transport):
                asyncio.get_running_loop().call_later(1, transport.leaves)
                await asyncio.sleep(3600)
            return "went on"

        task = asyncio.create_task(handler())
        await ticks(2)
        task.cancel()
        assert await task == "went on"

    clock.run(scenario())


def test_a_body_that_swallows_our_cancellation_ends_as_it_likes(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def body(client: AnyClient) -> None:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                await asyncio.sleep(1)

        handler = stage.come(body, transport)
        await ticks(2)
        transport.leaves()
        await handler
        assert handler.cancelling() == 0

    clock.run(scenario())


# Sending


def test_everything_that_has_a_form_can_be_sent(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def body(client: AnyClient) -> None:
            await client.send("text")
            await client.send(b"bytes")
            await client.send({"a": [1, None]})
            with pytest.raises(UsageError, match="cannot send a object"):
                await client.send(object())

        await stage.come(body, transport)
        assert transport.received == ["text", b"bytes", '{"a":[1,null]}']
        assert transport.closed == [(1000, "")]

    clock.run(scenario())


def test_sending_waits_while_the_transport_is_behind(clock: Clock) -> None:
    class Behind(FakeTransport):
        async def send(self, batch: tuple[str | bytes, ...]) -> None:
            await asyncio.sleep(2)
            await super().send(batch)

    async def scenario() -> None:
        stage, transport = await Stage.open(), Behind()

        async def body(client: AnyClient) -> None:
            await client.send("one")
            await client.send("two")

        started = clock.time()
        await stage.come(body, transport)
        assert clock.time() - started == pytest.approx(4)
        assert transport.received == ["one", "two"]

    clock.run(scenario())


def test_a_loop_of_sends_to_a_peer_that_keeps_up_lets_the_others_have_their_turn(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        async def body(client: AnyClient) -> None:
            for number in range(1000):
                await client.send(f"{number}")

        task = asyncio.create_task(other())
        await stage.come(body, transport)
        task.cancel()
        assert turns >= 5
        assert transport.received == [f"{number}" for number in range(1000)]

    clock.run(scenario())


# Closing


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999])
def test_a_code_that_may_be_sent_is_sent(clock: Clock, code: int) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()
        client = await stage.come(lambda client: client.close(code, "because"), transport)
        assert transport.closed == [(code, "because")]
        assert client.goodbye == Goodbye(code, "because", "app")

    clock.run(scenario())


@pytest.mark.parametrize("code", [-1, 0, 403, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536])
def test_a_code_that_may_not_be_sent_is_refused_and_nothing_closes(clock: Clock, code: int) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def body(client: AnyClient) -> None:
            with pytest.raises(UsageError, match=f"^{code} is no close code that may be sent; use 1000"):
                await client.close(code)
            assert client.goodbye is None
            assert transport.closed == []

        await stage.come(body, transport)

    clock.run(scenario())


def test_closing_without_a_code_is_a_normal_goodbye(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()
        await stage.come(lambda client: client.close(), transport)
        assert transport.closed == [(1000, "")]

    clock.run(scenario())


def test_leaving_the_block_is_a_normal_goodbye(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()
        client = await stage.come(lambda client: asyncio.sleep(1), transport)
        assert transport.closed == [(1000, "")]
        assert client.goodbye == Goodbye(1000, "", "app")

    clock.run(scenario())


def test_a_body_that_has_closed_runs_on_and_hears_no_more(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()
        seen: list[str] = []

        async def body(client: AnyClient) -> None:
            async for text in client:
                seen.append(text)
                await client.close(4000, "enough")
            await asyncio.sleep(100)
            seen.append("tidied up")

        handler = stage.come(body, transport)
        await ticks()
        transport.says("one")
        await handler
        assert seen == ["one", "tidied up"]
        assert transport.closed == [(4000, "enough")]

    clock.run(scenario())


@pytest.mark.parametrize("reads", [True, False])
def test_another_task_may_close_and_the_body_ends(clock: Clock, *, reads: bool) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()
        clients: list[AnyClient] = []

        async def body(client: AnyClient) -> None:
            clients.append(client)
            await (listen_forever(client) if reads else asyncio.sleep(3600))

        handler = stage.come(body, transport)
        await ticks(2)
        started = clock.time()
        await clients[0].close(4004, "kicked")
        client = await handler
        assert clock.time() == started
        assert client.goodbye == Goodbye(4004, "kicked", "app")
        assert transport.closed == [(4004, "kicked")]

    clock.run(scenario())


# Goodbyes


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (lambda transport: transport.leaves(1001), Goodbye(1001, "", "peer")),
        (lambda transport: transport.fails(Slow("behind")), Goodbye(3008, "behind", "hub")),
        (lambda transport: transport.says(b"wrong"), Goodbye(1003, "this endpoint reads text messages", "hub")),
    ],
)
def test_the_goodbye_is_told_once_and_the_first_reason_counts(
    clock: Clock, first: Callable[[FakeTransport], None], expected: Goodbye
) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def body(client: AnyClient) -> None:
            first(transport)
            transport.leaves(1006)
            transport.fails(Unresponsive("silent"))
            await client.close(4000)
            await listen_forever(client)

        client = await stage.come(body, transport)
        assert client.goodbye == expected
        assert stage.goodbyes == [("client-1", expected)]
        assert len(transport.closed) == 1

    clock.run(scenario())


@pytest.mark.parametrize(("fault", "aborts"), [(Slow("behind"), True), (Unresponsive("silent"), True)])
def test_a_peer_that_does_not_read_is_cut_off(
    clock: Clock, caplog: pytest.LogCaptureFixture, fault: Slow, *, aborts: bool
) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()
        handler = stage.come(listen_forever, transport)
        await ticks(2)
        transport.fails(fault)
        await handler
        assert transport.aborted is aborts

    with caplog.at_level(logging.DEBUG, "hubbub"):
        clock.run(scenario())
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == f"client client-1 (203.0.113.7, /ws): {fault.code} {fault.reason}"


def test_a_peer_that_reads_gets_its_close_frame(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()
        handler = stage.come(listen_forever, transport)
        await ticks(2)
        transport.says(b"wrong type")
        await handler
        assert not transport.aborted

    clock.run(scenario())


def test_on_goodbye_is_told_by_plain_functions_and_coroutines(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()
        told: list[tuple[str, str, int]] = []

        def plain(client: AnyClient, goodbye: Goodbye) -> None:
            told.append(("plain", client.info.id, goodbye.code))

        async def coroutine(client: AnyClient, goodbye: Goodbye) -> None:
            await asyncio.sleep(5)
            told.append(("coroutine", client.info.id, goodbye.code))

        stage.engine.on_goodbye += [coroutine, plain]
        handler = stage.come(listen_forever, transport)
        await ticks(2)
        transport.leaves(4321)
        assert told == [("plain", "client-1", 4321)]
        await handler
        await asyncio.sleep(6)
        assert told == [("plain", "client-1", 4321), ("coroutine", "client-1", 4321)]

    clock.run(scenario())


def test_an_on_goodbye_that_fails_is_logged_and_the_others_are_told(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()
        told: list[int] = []

        def plain_failure(client: AnyClient, goodbye: Goodbye) -> None:
            raise LookupError("plain failure")

        async def coroutine_failure(client: AnyClient, goodbye: Goodbye) -> None:
            raise LookupError("coroutine failure")

        stage.engine.on_goodbye += [plain_failure, coroutine_failure, lambda _, goodbye: told.append(goodbye.code)]
        handler = stage.come(listen_forever, transport)
        await ticks(2)
        transport.leaves(1001)
        await handler
        await ticks(2)
        assert told == [1001]

    clock.run(scenario())
    assert "client client-1: an on_goodbye function failed" in caplog.text
    assert "plain failure" in caplog.text
    assert "a background step of the hub failed" in caplog.text
    assert "coroutine failure" in caplog.text


# Channels


def test_who_has_joined_receives_until_it_leaves(clock: Clock) -> None:
    async def scenario() -> None:
        stage, transport = await Stage.open(), FakeTransport()

        async def body(client: AnyClient) -> None:
            await client.join("lobby")
            await client.join("lobby")
            await stage.engine.publish("lobby", "one")
            await client.leave("lobby")
            assert transport.received == ["one"], "what was published before has arrived, once"
            await client.leave("lobby")
            await stage.engine.publish("lobby", "two")
            await ticks(2)
            await client.join("lobby")
            await stage.engine.publish("lobby", "three")
            await ticks(2)

        await stage.come(body, transport)
        assert transport.received == ["one", "three"]

    clock.run(scenario())


def test_who_has_gone_has_left_all_its_channels(clock: Clock) -> None:
    async def scenario() -> None:
        broker = WatchedBroker()
        stage, transport = await Stage.open(broker), FakeTransport()

        async def body(client: AnyClient) -> None:
            await client.join("red")
            await client.join("blue")
            await listen_forever(client)
            await client.join("green")
            await client.leave("red")

        handler = stage.come(body, transport)
        await ticks(2)
        await stage.engine.publish("red", "before")
        transport.leaves()
        assert transport.received == ["before"], "what was published before the goodbye is pushed before the close"
        await handler
        await ticks(2)
        assert sorted(broker.calls) == [
            ("subscribe", "blue"),
            ("subscribe", "red"),
            ("unsubscribe", "blue"),
            ("unsubscribe", "red"),
        ]
        await stage.engine.publish("red", "after")
        await ticks(2)
        assert transport.received == ["before"]

    clock.run(scenario())


def test_who_goes_while_it_joins_is_not_left_in_the_channel(clock: Clock) -> None:
    class SlowBroker(WatchedBroker):
        async def subscribe(self, channel: str) -> None:
            await asyncio.sleep(1)
            await super().subscribe(channel)

    async def scenario() -> None:
        broker = SlowBroker()
        stage, transport = await Stage.open(broker), FakeTransport()

        async def body(client: AnyClient) -> None:
            asyncio.get_running_loop().call_later(0.5, transport.leaves)
            joining = asyncio.create_task(client.join("lobby"))
            await listen_forever(client)
            await joining

        await stage.come(body, transport)
        await stage.engine.publish("lobby", "after")
        await ticks(2)
        assert transport.received == []

    clock.run(scenario())


# Size of one client


def test_an_idle_client_has_neither_task_nor_timer_of_its_own(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await Stage.open()
        transports = [FakeTransport() for _ in range(51)]
        handlers = [stage.come(listen_forever, transports[0])]
        await ticks(2)
        idle_tasks, idle_timers = len(asyncio.all_tasks()), clock.timers()
        handlers += [stage.come(listen_forever, transport) for transport in transports[1:]]
        await ticks(2)
        assert len(asyncio.all_tasks()) == idle_tasks + 50, "the handlers, which are the server's tasks"
        assert clock.timers() == idle_timers
        for transport in transports:
            transport.leaves()
        await asyncio.gather(*handlers)

    clock.run(scenario())


def test_a_flood_of_small_messages_is_read_in_linear_time(clock: Clock) -> None:
    async def scenario(count: int) -> float:
        stage = await Stage.open(max_inbox_messages=10**6, max_inbox_bytes=10**9, **NO_RATES)
        transport = FakeTransport()
        handler = stage.come(listen_forever, transport)
        await ticks()
        transport.says(*["x"] * count)
        transport.leaves()
        started = time.process_time()
        await handler
        return time.process_time() - started

    clock.run(scenario(1000))
    small = min(clock.run(scenario(20_000)) for _ in range(3))
    large = min(clock.run(scenario(200_000)) for _ in range(3))
    assert large < 40 * small, f"ten times as many messages took {large / small:.0f} times as long"
