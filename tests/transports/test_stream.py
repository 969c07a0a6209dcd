"""One long response: what is framed how, how far a reader may be behind, and every way that it can end."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.clock import Clock, ticks
from tests.transports.callers import Caller

from hubbub import Goodbye
from hubbub.errors import Disconnect, Slow
from hubbub.hub.backlog import Backlog
from hubbub.hub.transport import Policy
from hubbub.protocol.codecs import JSON, PROTOBUF
from hubbub.protocol.publication import Payload
from hubbub.transports.stream import Delimited, EventStream, Lines, StreamTransport

# Framing


def test_lines_end_with_a_line_end_each() -> None:
    assert Lines().join(["{}"]) == b"{}\n"
    assert Lines().join(['{"id":1}\n{"id":2}', '{"a":"ü"}']) == '{"id":1}\n{"id":2}\n{"a":"ü"}\n'.encode()
    assert Lines.head == b""


def test_events_hold_one_reply_each() -> None:
    assert EventStream().join(["{}"]) == b"data: {}\n\n"
    joined = EventStream().join(['{"id":1}\n{"id":2}', '{"a":"ü"}']).decode()
    assert joined == 'data: {"id":1}\n\ndata: {"id":2}\n\ndata: {"a":"ü"}\n\n'
    assert EventStream.head == b"\r\n", "so that the headers get through buffering proxies at once"


def test_what_is_delimited_already_stays_as_it_is() -> None:
    assert Delimited().join([b"\x00", b"\x02\x08\x01\x00"]) == b"\x00\x02\x08\x01\x00"


# The response


class Session:
    """What the transport tells, noted; like a session, it closes what fails."""

    def __init__(self) -> None:
        self.lost: list[Goodbye] = []
        self.faults: list[Disconnect] = []
        self.transport: StreamTransport | None = None

    def on_messages(self, messages: Sequence[Payload], count: int, size: int) -> None:
        raise AssertionError("a response has nothing to say")

    def on_lost(self, goodbye: Goodbye) -> None:
        self.lost.append(goodbye)

    def on_fault(self, fault: Disconnect) -> None:
        self.faults.append(fault)
        assert self.transport is not None
        self.transport.close(3008, "slow")
        if fault.aborts:
            self.transport.abort()


class Server:
    """The event loop's transport behind a response, as far as it is used: one without a socket."""

    def __init__(self, caller: Caller) -> None:
        self.aborted = 0
        self._caller = caller

    def get_extra_info(self, name: str) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.aborted > 0

    def abort(self) -> None:
        self.aborted += 1
        self._caller.leaves()


class Stream:
    """A response under way, its session, and whoever calls."""

    def __init__(
        self, *, max_queued_bytes: int = 1000, total: int = 100_000, close_timeout: float = 1.0, patience: float = 10.0
    ) -> None:
        self.backlog = Backlog(total, patience)
        policy = Policy(65536, max_queued_bytes, close_timeout, 15.0, 8.0, None, self.backlog)
        self.session, self.caller = Session(), Caller()
        self.server = Server(self.caller)
        self.transport = self.session.transport = StreamTransport(Lines(), JSON, self.server)
        self.transport.attach(self.session, policy)
        self._task: asyncio.Task[None] | None = None

    @property
    def dropped(self) -> int:
        return self.server.aborted

    async def begin(self) -> None:
        await self.caller.receive()  # the body of the request, which the door has read
        self._task = asyncio.create_task(self._run())
        await ticks(3)

    async def _run(self) -> None:
        await self.caller.send({"type": "http.response.start", "status": 200, "headers": []})
        await self.transport.respond(self.caller.receive, self.caller.send)

    @property
    def ended(self) -> bool:
        assert self._task is not None
        return self._task.done() and self._task.result() is None

    def cancel(self) -> None:
        assert self._task is not None
        self._task.cancel()


def test_what_is_pushed_is_sent_in_order_and_together_if_it_comes_together(clock: Clock) -> None:
    async def scenario() -> None:
        stream = Stream()
        stream.transport.push(b"before\n")
        await stream.begin()
        for text in (b"one\n", b"two\n"):
            stream.transport.push(text)
        await ticks(5)
        await stream.transport.send(b"three\n")
        await ticks(5)
        assert [message["body"] for message in stream.caller.sent[1:]] == [b"before\n", b"one\ntwo\n", b"three\n"]
        assert all(message["more_body"] for message in stream.caller.sent[1:])
        assert not stream.ended
        assert (len(stream.backlog), stream.backlog.total) == (0, 0)

    clock.run(scenario())


def test_an_idle_response_waits_without_a_timer_whatever_else_the_server_tells(clock: Clock) -> None:
    async def scenario() -> None:
        stream = Stream()
        await stream.begin()
        stream.caller.tells({"type": "http.request", "body": b"", "more_body": False})
        assert clock.timers() == 0
        await asyncio.sleep(3600)
        assert not stream.ended

    clock.run(scenario())


def test_a_close_says_why_behind_what_was_pushed_and_ends_the_response(clock: Clock) -> None:
    async def scenario() -> None:
        stream = Stream()
        await stream.begin()
        stream.transport.push(b'{"last":"words"}\n')
        stream.transport.close(3503, "force disconnect")
        stream.transport.close(3000, "twice")
        stream.transport.push(b"too late\n")
        await ticks(8)
        assert stream.caller.replies() == [
            {"last": "words"},
            {"push": {"disconnect": {"code": 3503, "reason": "force disconnect"}}},
        ]
        assert stream.caller.over
        assert stream.ended
        assert stream.session.lost == [Goodbye(1006, "", "peer")], "which a session that has ended does not mind"
        await asyncio.sleep(10)
        assert (stream.dropped, clock.timers()) == (0, 0)

    clock.run(scenario())


def test_a_close_before_the_response_has_begun_is_all_of_it(clock: Clock) -> None:
    async def scenario() -> None:
        stream = Stream()
        stream.transport.close(3501, "bad request")
        await stream.begin()
        await ticks(5)
        assert stream.caller.replies() == [{"push": {"disconnect": {"code": 3501, "reason": "bad request"}}}]
        assert stream.ended

    clock.run(scenario())


def test_in_protobuf_a_close_says_why_in_protobuf(clock: Clock) -> None:
    async def scenario() -> None:
        stream = Stream()
        stream.transport = StreamTransport(Delimited(), PROTOBUF, None)
        stream.transport.attach(stream.session, Policy(1, 1, 1.0, 1.0, 1.0, None, stream.backlog))
        stream.transport.close(3000, "x")
        await stream.begin()
        await ticks(5)
        assert stream.caller.body == bytes.fromhex("0a 2208 5a06 08b817 1201 78")

    clock.run(scenario())


# Behind


def test_a_reader_that_is_behind_its_bound_is_given_up_and_its_connection_dropped(clock: Clock) -> None:
    async def scenario() -> None:
        stream = Stream(max_queued_bytes=1000)
        await stream.begin()
        stream.caller.stops_reading()
        for _ in range(4):
            assert stream.session.faults == []
            stream.transport.push(b"x" * 400)
            await ticks(3)
        assert [type(fault) for fault in stream.session.faults] == [Slow]
        assert str(stream.session.faults[0]) == "more than 1000 bytes behind"
        await ticks(5)
        assert stream.dropped == 1
        assert stream.ended
        assert (len(stream.backlog), stream.backlog.total) == (0, 0)

    clock.run(scenario())


def test_a_reader_that_catches_up_stays(clock: Clock) -> None:
    async def scenario() -> None:
        stream = Stream(max_queued_bytes=1000)
        await stream.begin()
        for _ in range(5):
            stream.caller.stops_reading()
            for number in range(9):
                stream.transport.push(b"%d" % number * 100)
                await ticks(2)
            assert stream.backlog.total == 900
            stream.caller.reads_on()
            await ticks(8)
            assert stream.backlog.total == 0
        assert stream.session.faults == []
        assert len(stream.caller.body) == 4500

    clock.run(scenario())


def test_what_is_taken_waits_no_more_and_the_rest_does(clock: Clock) -> None:
    async def scenario() -> None:
        stream = Stream(max_queued_bytes=1000)
        await stream.begin()
        stream.caller.stops_reading()
        for _ in range(3):
            stream.transport.push(b"x" * 100)
            await ticks(2)
        assert stream.backlog.total == 300
        stream.caller.reads_on()
        while len(stream.caller.sent) < 2:
            await ticks()
        stream.caller.stops_reading()
        await ticks(5)
        assert stream.backlog.total == 200

    clock.run(scenario())


def test_a_single_batch_may_be_larger_than_the_bound(clock: Clock) -> None:
    async def scenario() -> None:
        stream = Stream(max_queued_bytes=1000)
        await stream.begin()
        stream.transport.push(b"x" * 5000)
        await ticks(5)
        assert len(stream.caller.body) == 5000
        assert stream.session.faults == []

    clock.run(scenario())


def test_what_waits_for_all_together_counts_too(clock: Clock) -> None:
    async def scenario() -> None:
        stream = Stream(max_queued_bytes=10_000, total=1000)
        await stream.begin()
        stream.caller.stops_reading()
        stream.transport.push(b"x" * 800)
        await ticks(3)
        assert stream.session.faults == []
        stream.transport.push(b"x" * 800)
        await ticks(5)
        assert "all receivers together" in str(stream.session.faults[0])
        assert stream.backlog.total == 0

    clock.run(scenario())


def test_who_does_not_take_the_end_is_dropped_when_its_time_has_passed(clock: Clock) -> None:
    async def scenario() -> None:
        stream = Stream(close_timeout=1.5)
        await stream.begin()
        stream.caller.stops_reading()
        stream.transport.close(3001, "shutdown")
        await asyncio.sleep(1)
        assert not stream.ended
        await asyncio.sleep(1)
        assert stream.ended
        assert stream.dropped == 1

    clock.run(scenario())


@pytest.mark.parametrize("takes", [b"", b'{"push":'])
def test_where_the_connection_cannot_be_dropped_the_response_ends_all_the_same(clock: Clock, takes: bytes) -> None:
    async def scenario() -> None:
        stream = Stream(close_timeout=1)
        stream.transport._server = None
        await stream.begin()
        stream.transport.push(takes)
        stream.caller.stops_reading()
        await asyncio.sleep(1)
        stream.transport.close(3001, "shutdown")
        await asyncio.sleep(5)
        assert stream.ended

    clock.run(scenario())


# Gone


@pytest.mark.parametrize("when", ["idle", "sending", "closing", "at the end"])
def test_a_peer_that_goes_ends_the_response_whatever_it_was_doing(clock: Clock, when: str) -> None:
    async def scenario() -> None:
        stream = Stream()
        await stream.begin()
        if when != "idle":
            stream.caller.stops_reading()
        if when == "at the end":
            stream.transport.close(3000, "x")
            await ticks(3)
        elif when == "closing":
            stream.transport.push(b"x")
            stream.transport.close(3000, "x")
        elif when == "sending":
            stream.transport.push(b"x")
        await ticks(3)
        stream.caller.leaves()
        await ticks(8)
        assert stream.ended
        assert stream.session.lost == [Goodbye(1006, "", "peer")]
        assert stream.dropped == 0
        assert (len(stream.backlog), clock.timers()) == (0, 0)
        stream.transport.push(b"nobody hears it")
        stream.transport.give_up(Slow("nor that"))
        assert stream.session.faults == []

    clock.run(scenario())


@pytest.mark.parametrize("error", [OSError("broken pipe"), RuntimeError("the server's own")])
def test_a_server_that_cannot_send_has_lost_its_peer(clock: Clock, error: Exception) -> None:
    async def scenario() -> None:
        stream = Stream()
        await stream.begin()
        stream.caller.fails = error
        stream.transport.push(b"x")
        await ticks(8)
        assert stream.session.lost == [Goodbye(1006, "", "peer")]
        await asyncio.sleep(5)
        assert stream.ended

    clock.run(scenario())


@pytest.mark.parametrize("sending", [True, False])
def test_a_server_that_ends_the_request_leaves_nothing_running(clock: Clock, *, sending: bool) -> None:
    async def scenario() -> None:
        stream = Stream()
        await stream.begin()
        if sending:
            stream.caller.stops_reading()
            stream.transport.push(b"x")
            await ticks(2)
        stream.cancel()
        await ticks(8)
        assert stream.session.lost == [Goodbye(1006, "", "peer")]
        assert len(stream.backlog) == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    clock.run(scenario())


def test_serving_and_settling_are_the_responses_own_affair(clock: Clock) -> None:
    async def scenario() -> Any:
        stream = Stream()
        await stream.transport.serve()
        await stream.transport.settle()
        return json.loads("null")

    assert clock.run(scenario()) is None
