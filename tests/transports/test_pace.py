"""Readers of any speed that come back to several channels at once: those that read are never cut off for it."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.types import Message
from tests.clock import Clock, ticks
from tests.hub.sessions import SessionStage
from tests.transports.callers import Caller, Visitor

from hubbub import Hub
from hubbub.transports.streaming import HTTP_STREAM, StreamDoor
from hubbub.transports.websocket import WebSocketDoor

from .test_connect import within

Serve = Callable[..., Any]

QUEUE = 32 * 1024
"""Bytes of publications that may wait: less than most of the answers here have."""
CONNECT = {"id": 1, "connect": {}}


class SlowCaller(Caller):
    """Reads a streamed response at so many bytes a second, and answers pings when it has read them."""

    def __init__(self, stage: SessionStage, speed: float, body: str) -> None:
        super().__init__(body=body.encode())
        self._stage = stage
        self._speed = speed

    async def send(self, message: Message) -> None:
        body = message.get("body", b"")
        await asyncio.sleep(len(body) / self._speed)
        await super().send(message)
        if b"\n{}\n" in b"\n" + body:
            for session in self._stage.engine.sessions:
                session.on_messages(("{}",), 1, 2)  # as /emulation does

    def replies(self) -> list[Any]:
        """What has come whole."""
        return [json.loads(line) for line in self.body.decode().split("\n")[:-1]]


class SlowVisitor(Visitor):
    """Reads a WebSocket at so many bytes a second, and answers pings when it has read them."""

    def __init__(self, speed: float, body: str) -> None:
        super().__init__()
        self._speed = speed
        self.says(body)

    async def send(self, message: Message) -> None:
        text = message.get("text", "")
        await asyncio.sleep(len(text) / self._speed)
        await super().send(message)
        if text == "{}":
            self.says("{}")


Guest = SlowCaller | SlowVisitor


def come(stage: SessionStage, transport: str, speed: float, body: str) -> Guest:
    guest: Guest
    if transport == "stream":
        guest = SlowCaller(stage, speed, body)
        guest.calls(StreamDoor(lambda: stage.engine, HTTP_STREAM, ("POST",)))
    else:
        guest = SlowVisitor(speed, body)
        guest.calls(WebSocketDoor(lambda: stage.engine))
    return guest


def back_to(channels: int, epoch: Callable[[int], str]) -> str:
    """What an SDK says that comes back: all subscriptions behind the connect, in one message."""
    subscribes = [
        {"id": 3 + number, "subscribe": {"channel": f"c{number}", "recover": True, "epoch": epoch(number), "offset": 0}}
        for number in range(channels)
    ]
    return "\n".join(map(json.dumps, [CONNECT, {"id": 2, "subscribe": {"channel": "tick"}}, *subscribes]))


@pytest.mark.parametrize("transport", ["stream", "asgi"])
@given(
    speed=st.floats(20_000, 20_000_000),
    channels=st.integers(1, 5),
    count=st.integers(1, 40),
    size=st.integers(10, 20_000),
)
@example(speed=20_000, channels=5, count=40, size=20_000)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_reader_of_any_speed_gets_all_that_it_missed_and_what_comes_meanwhile(
    transport: str, speed: float, channels: int, count: int, size: int
) -> None:
    largest = 0

    async def scenario() -> None:
        nonlocal largest
        stage = await SessionStage.open(max_queued_bytes=QUEUE, message_rate=0, byte_rate=0)
        stage.channel("{name}", history=count, ttl=100_000, recovery="force")
        epochs = []
        for number in range(channels):
            for text in range(count):
                position = await stage.engine.publish(f"c{number}", f"{text:0{size}}")
            epochs.append(position.epoch)
        guest = come(stage, transport, speed, back_to(channels, epochs.__getitem__))
        answers: dict[int, Any] = {}
        while len(answers) < channels:
            await asyncio.sleep(0.25)
            await stage.engine.publish("tick", "x" * 100)
            await ticks(3)
            (session,) = stage.engine.sessions._all
            largest = max(largest, session.transport.waiting())
            answers = {reply["id"]: reply["subscribe"] for reply in guest.replies() if reply.get("id", 0) > 2}
        for answer in answers.values():
            assert answer["recovered"]
            assert len(answer["publications"]) == count
        assert stage.engine.sessions._all

    with Clock() as clock:
        clock.run(scenario())
    assert largest <= count * (size + 200) + 2 * QUEUE


@pytest.mark.parametrize("transport", ["stream", "asgi"])
def test_a_reader_that_stops_in_the_middle_of_an_answer_is_evicted_in_time(clock: Clock, transport: str) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_queued_bytes=QUEUE, slow_timeout=3, session_ping_interval=1000)
        stage.channel("{name}", history=50, recovery="force")
        for _ in range(50):
            position = await stage.engine.publish("c0", "x" * 5000)
        come(stage, transport, 1e-9, back_to(1, lambda _: position.epoch))
        await asyncio.sleep(2.9)
        assert stage.engine.sessions._all
        await asyncio.sleep(20)  # where the server shows no progress, a second for each 16 KiB of the message
        assert not stage.engine.sessions._all
        assert stage.engine.policy.backlog.total == 0

    clock.run(scenario())


@pytest.mark.parametrize("transport", ["stream", "asgi"])
def test_a_burst_that_is_larger_than_the_bound_cuts_nobody_off_who_reads(clock: Clock, transport: str) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_queued_bytes=QUEUE)
        stage.channel("{name}")
        guest = come(stage, transport, 100_000, back_to(0, str))
        await asyncio.sleep(1)
        for _ in range(20):
            await stage.engine.publish("tick", "x" * 10_000)  # in one turn of the event loop: six times the bound
        await asyncio.sleep(0.1)
        await stage.engine.publish("tick", "a small one behind it")
        await asyncio.sleep(5)
        assert len([reply for reply in guest.replies() if "push" in reply]) == 21
        for _ in range(20):
            await stage.engine.publish("tick", "x" * 10_000)
        await asyncio.sleep(0.1)
        for _ in range(4):
            await stage.engine.publish("tick", "x" * 10_000)  # what piles up behind it is bounded
            await ticks(3)
        assert not stage.engine.sessions._all

    clock.run(scenario())


def test_no_answer_is_larger_than_one_may_be(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_answer_bytes=10_000)
        stage.channel("{name}", history=100, recovery="force", may_read_history="everyone")

        async def shout() -> str:
            return "x" * 20_000

        stage.method("shout", shout)
        for number in range(20):
            position = await stage.engine.publish("c0", f"{number:01000}")
        guest = await stage.enter()
        page = (await guest.ask(history={"channel": "c0", "limit": -1}))["history"]
        assert [one["offset"] for one in page["publications"]] == list(range(1, len(page["publications"]) + 1))
        assert 5 < len(page["publications"]) < 10
        assert page["offset"] == 20, "there is more"
        rest = {"offset": page["publications"][-1]["offset"], "epoch": page["epoch"]}
        page = (await guest.ask(history={"channel": "c0", "limit": -1, "since": rest}))["history"]
        assert page["publications"][0]["offset"] == rest["offset"] + 1
        since = {"recover": True, "epoch": position.epoch}
        answer = (await guest.ask(subscribe={"channel": "c0", "offset": 0, **since}))["subscribe"]
        assert not answer.get("recovered")
        assert answer["offset"] == 20
        assert "publications" not in answer
        other = await stage.enter()
        answer = (await other.ask(subscribe={"channel": "c0", "offset": 15, **since}))["subscribe"]
        assert answer["recovered"]
        assert len(answer["publications"]) == 5
        assert (await guest.ask(rpc={"method": "shout", "data": {}}))["error"]["code"] == 106

    clock.run(scenario())


@pytest.mark.parametrize("delta", ["", "fossil"])
@pytest.mark.parametrize("data", ['"' * 500, "\x01" * 200, {"text": '"' * 400}, "é" * 400])
def test_text_that_grows_as_json_is_counted_as_it_is_sent(clock: Clock, data: Any, delta: str) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_answer_bytes=10_000)
        stage.channel("{name}", history=100, recovery="force", may_read_history="everyone", delta=bool(delta))
        for _ in range(20):
            position = await stage.engine.publish("c0", data)
        guest = await stage.enter()
        since = {"offset": 0, "epoch": position.epoch}
        got = 0
        while page := (await guest.ask(history={"channel": "c0", "limit": -1, "since": since}))["history"]:
            if not page["publications"]:
                break
            got += len(page["publications"])
            since["offset"] = page["publications"][-1]["offset"]
        assert got == 20
        for offset, recovered in ((0, False), (17, True)):
            other = await stage.enter()
            back = {"recover": True, "offset": offset, "epoch": position.epoch, "delta": delta}
            answer = (await other.ask(subscribe={"channel": "c0", **back}))["subscribe"]
            assert answer.get("recovered", False) is recovered
            assert len(answer.get("publications", ())) == (3 if recovered else 0)

    clock.run(scenario())


def test_an_answer_is_measured_in_bytes(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_answer_bytes=10_000)

        async def shout() -> str:
            return "é" * 6000

        stage.method("shout", shout)
        guest = await stage.enter()
        assert (await guest.ask(rpc={"method": "shout", "data": {}}))["error"]["code"] == 106

    clock.run(scenario())


def test_what_is_recovered_with_the_connect_shares_the_room_of_one_answer(clock: Clock) -> None:
    async def scenario() -> None:
        from hubbub import Grant, Identity

        stage = await SessionStage.open(max_answer_bytes=10_000)
        stage.channel("{name}", history=100, recovery="force")
        for name in ("a", "b"):
            for number in range(6):
                position = await stage.engine.publish(name, f"{number:01000}")
        stage.auth.identities["anna"] = Identity("anna", subscriptions={"a": Grant(), "b": Grant()})
        guest = stage.arrive()
        back = {"recover": True, "offset": 0}
        epochs = {name: (await stage.engine.history(name))[1].epoch for name in ("a", "b")}
        subs = {name: {**back, "epoch": epoch} for name, epoch in epochs.items()}
        answer = (await guest.ask(connect={"token": "anna", "subs": subs}))["connect"]["subs"]
        assert answer["a"]["recovered"]
        assert len(answer["a"]["publications"]) == 6
        assert not answer["b"].get("recovered")
        assert answer["b"]["offset"] == position.offset
        assert "publications" not in answer["b"]

    clock.run(scenario())


@pytest.mark.parametrize("implementation", ["wire", "wire-asyncio-tls", "wire-tls", "sansio"])
def test_on_a_real_server_a_reader_of_bounded_speed_comes_back_to_several_channels(
    serve: Serve, implementation: str
) -> None:
    hub = Hub(allow_anonymous=True, max_queued_bytes=64 * 1024)
    hub.channel("{name}", history=100, recovery="force", may_subscribe="everyone")
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router)
    served = serve(app, implementation)
    epochs = []
    for number in range(4):
        for text in range(100):
            position = hub.publish_sync(f"c{number}", f"{text:010000}")
        epochs.append(position.epoch)
    with served.dial(receive_buffer=16 * 1024) as peer:
        head = b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        peer.sendall(head + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        assert b" 101 " in peer.recv(4096)
        said = back_to(4, epochs.__getitem__).encode()
        peer.sendall(bytes((0x81, 0xFE)) + len(said).to_bytes(2, "big") + bytes(4) + said)
        got, began, published = bytearray(), time.monotonic(), 0
        while got.count(b'"recovered":true') < 4:
            data = peer.recv(16 * 1024)
            assert data, f"cut off after {len(got)} bytes: {bytes(got[-200:])!r}"
            got += data
            spent = time.monotonic() - began
            if spent > published / 20:
                hub.publish_sync("tick", "meanwhile")
                published += 1
            time.sleep(max(0.0, len(got) / 4e6 - spent))  # the speed of the reader is the subject
        assert got.count(b'"data":"') - got.count(b"meanwhile") == 400


def test_on_every_server_a_reader_that_takes_nothing_of_an_answer_is_counted_and_evicted(
    serve: Serve, implementation: str
) -> None:
    hub = Hub(allow_anonymous=True, slow_timeout=1)
    hub.channel("{name}", history=200, recovery="force", may_subscribe="everyone")
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router)
    served = serve(app, implementation)
    for _ in range(200):
        position = hub.publish_sync("c0", "x" * 60_000)
    with served.dial(receive_buffer=4096) as peer:
        head = b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        peer.sendall(head + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        assert b" 101 " in peer.recv(4096)
        said = back_to(1, lambda _: position.epoch).encode()
        peer.sendall(bytes((0x81, 0xFE)) + len(said).to_bytes(2, "big") + bytes(4) + said)
        engine = hub._running()
        within(5, lambda: engine.policy.backlog.total > 4_000_000, "the answer to be counted")
        within(5, lambda: not engine.sessions._all, "the end of the session")
        within(5, lambda: engine.policy.backlog.total == 0, "nothing to be counted")
        within(5, lambda: not served.server.server_state.connections, "the end of the connection")
