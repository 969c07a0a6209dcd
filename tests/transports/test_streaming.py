"""The endpoints of sessions over HTTP: what they take, what they answer, and what they leave when it goes wrong."""

import asyncio
import json
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.clock import Clock, ticks
from tests.hub.sessions import SessionStage
from tests.transports.callers import Caller

from hubbub.errors import ConnectionExpired, InvalidToken, TokenExpired
from hubbub.errors.sessions import custom_end
from hubbub.hub.engine import Engine
from hubbub.transports.streaming import (
    HTTP_STREAM,
    SSE,
    UNI_HTTP_STREAM,
    UNI_SSE,
    EmulationDoor,
    Form,
    StreamDoor,
)

CONNECT = b'{"id":1,"connect":{}}'
FORMS = {"sse": SSE, "http_stream": HTTP_STREAM, "uni_sse": UNI_SSE, "uni_http_stream": UNI_HTTP_STREAM}
OWN, FOREIGN = {"origin": "https://app.example"}, {"origin": "https://evil.example"}


class House:
    """A hub's stage and the doors to it."""

    def __init__(self, stage: SessionStage) -> None:
        self.stage = stage
        self.emulation = EmulationDoor(lambda: stage.engine)

    @classmethod
    async def open(cls, **settings: Any) -> "House":
        return cls(await SessionStage.open(**settings))

    @property
    def engine(self) -> Engine:
        return self.stage.engine

    def door(self, form: Form = SSE, methods: tuple[str, ...] = ("GET", "POST")) -> StreamDoor:
        return StreamDoor(lambda: self.engine, form, methods)

    async def stream(self, form: Form = SSE, *, body: bytes = CONNECT, **options: Any) -> Caller:
        """Somebody whose stream has begun."""
        caller = Caller(body=body, **options)
        caller.calls(self.door(form))
        await ticks(8)
        assert caller.status == 200
        return caller

    async def call(self, door: ASGIApp, caller: Caller) -> Caller:
        """A request that is answered at once, and has come to its end."""
        task = caller.calls(door)
        await ticks(8)
        assert task.done(), "it still runs"
        task.result()
        return caller

    async def emulate(self, body: bytes | dict[str, str], **options: Any) -> Caller:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.call(self.emulation, Caller(path="/emulation", body=data, **options))

    @property
    def empty(self) -> bool:
        """Whether there is room for as many as there may be, and nobody in it."""
        engine = self.engine
        return not engine.sessions._all and engine.admission._total == 0 and not engine.fanout.channels()


# Beginning


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sse", "text/event-stream; charset=utf-8"),
        ("http_stream", "text/plain; charset=utf-8"),
        ("uni_sse", "text/event-stream; charset=utf-8"),
        ("uni_http_stream", "text/plain; charset=utf-8"),
    ],
)
def test_a_stream_begins_with_the_answer_to_connect_and_is_not_kept_by_anybody_between(
    clock: Clock, name: str, kind: str
) -> None:
    async def scenario() -> None:
        house = await House.open()
        body = b"{}" if name.startswith("uni") else CONNECT
        caller = await house.stream(FORMS[name], body=body)
        assert caller.headers["content-type"] == kind
        assert caller.headers["x-accel-buffering"] == "no"
        assert "no-store" in caller.headers["cache-control"]
        (first,) = caller.replies()
        assert first["connect"]["client"]
        assert first["connect"]["session"]
        assert ("node" in first["connect"]) == (not name.startswith("uni"))
        (session,) = house.engine.sessions
        assert session._link.transport == name
        assert caller.body.startswith(b"\r\n") == name.endswith("sse"), "the headers get through at once"
        caller.leaves()
        await ticks(8)
        assert house.empty

    clock.run(scenario())


@pytest.mark.parametrize("name", FORMS)
def test_what_is_published_reaches_the_stream(clock: Clock, name: str) -> None:
    async def scenario() -> None:
        house = await House.open()
        house.stage.channel("room")
        subscribe = b'{"id":2,"subscribe":{"channel":"room"}}'
        body = b'{"subs":{"room":{}}}' if name.startswith("uni") else CONNECT + b"\n" + subscribe
        caller = await house.stream(FORMS[name], body=body)
        before = len(caller.replies())
        for number in range(3):
            await house.engine.publish("room", {"n": number})
        await ticks(8)
        pushes = [reply.get("push", reply) for reply in caller.replies()[before:]]
        assert [push["pub"]["data"]["n"] for push in pushes] == [0, 1, 2]

    clock.run(scenario())


def test_protobuf_is_chosen_by_the_type_of_the_body(clock: Clock) -> None:
    async def scenario() -> None:
        house = await House.open()
        headers = {"content-type": "application/octet-stream"}
        caller = await house.stream(HTTP_STREAM, body=bytes.fromhex("04 0801 2200"), headers=headers)
        assert caller.headers["content-type"] == "application/octet-stream"
        (session,) = house.engine.sessions
        assert session.codec.name == "protobuf"
        assert caller.body[2:5] == bytes.fromhex("0801 2a"), "a length, the id, and the answer to connect"

    clock.run(scenario())


def test_events_may_be_asked_for_with_get(clock: Clock) -> None:
    async def scenario() -> None:
        house = await House.open()
        query = "cf_connect=%7B%22id%22%3A1%2C%22connect%22%3A%7B%22token%22%3A%22anna%22%7D%7D"
        await house.stream(SSE, method="GET", query=query)
        await house.stream(UNI_SSE, method="GET", query="cf_connect=%7B%22token%22%3A%22bert%22%7D")
        await house.stream(UNI_SSE, method="GET")
        assert [session.user for session in house.engine.sessions] == ["anna", "bert", ""]

    clock.run(scenario())


# Refusing


@pytest.mark.parametrize(
    ("form", "options", "status"),
    [
        (SSE, {"method": "GET"}, 400),
        (SSE, {"method": "GET", "query": "cf_connect="}, 400),
        (UNI_SSE, {"method": "GET", "query": "cf_connect=%7B"}, 400),
        (UNI_SSE, {"body": b"rubbish"}, 400),
        (UNI_HTTP_STREAM, {"body": b""}, 400),
        (UNI_HTTP_STREAM, {"body": b'{"token":1}'}, 400),
        (HTTP_STREAM, {"body": b"x" * 101}, 413),
        (HTTP_STREAM, {"body": [b"x" * 60, b"x" * 60]}, 413),
        (SSE, {"headers": FOREIGN, "body": CONNECT}, 403),
        (SSE, {"headers": [("a", "")] * 200, "body": CONNECT}, 403),
        (SSE, {"headers": [("origin", "https://app.example")] * 2, "body": CONNECT}, 403),
        (SSE, {"method": "DELETE"}, 405),
    ],
)
def test_a_request_that_cannot_be_is_answered_with_its_status_and_leaves_nothing(
    clock: Clock, form: Form, options: dict[str, Any], status: int
) -> None:
    async def scenario() -> None:
        house = await House.open(max_message_size=100, max_connections=1)
        for _ in range(3):
            caller = await house.call(house.door(form), Caller(**options))
            assert caller.status == status
        assert house.empty
        if status == 405:
            assert caller.headers["allow"] == "GET, POST, OPTIONS"

    clock.run(scenario())


def test_a_body_may_be_as_large_as_a_message(clock: Clock) -> None:
    async def scenario() -> None:
        house = await House.open(max_message_size=100)
        caller = await house.stream(body=CONNECT.ljust(100))
        assert caller.replies()[0]["connect"]["client"]

    clock.run(scenario())


@pytest.mark.parametrize("body", [b"", b"rubbish", b'{"id":1,"rpc":{"method":"m"}}'])
def test_what_is_no_connect_is_told_in_the_stream(clock: Clock, body: bytes) -> None:
    async def scenario() -> None:
        house = await House.open()
        caller = await house.stream(HTTP_STREAM, body=body)
        await ticks(5)
        assert caller.replies() == [{"push": {"disconnect": {"code": 3501, "reason": "bad request"}}}]
        assert caller.over
        assert house.empty

    clock.run(scenario())


def test_where_there_is_no_room_and_while_the_hub_stops_it_is_503(clock: Clock) -> None:
    async def scenario() -> None:
        house = await House.open(max_connections=1)
        first = await house.stream(body=CONNECT)
        refused = await house.call(house.door(), Caller(body=CONNECT))
        assert refused.status == 503
        assert 1 <= int(refused.headers["retry-after"]) <= 10
        first.leaves()
        await ticks(5)
        second = await house.stream(body=CONNECT)
        house.engine.begin_stop()
        await ticks(5)
        assert second.replies()[-1] == {"push": {"disconnect": {"code": 3001, "reason": "shutdown"}}}
        assert second.over
        assert (await house.call(house.door(), Caller(body=CONNECT))).status == 503
        assert house.empty

    clock.run(scenario())


def test_a_body_that_does_not_come_is_waited_for_as_long_as_a_handshake(clock: Clock) -> None:
    async def scenario() -> None:
        house = await House.open(handshake_timeout=10)
        caller = Caller(body=[b'{"id":1,', b""])
        await caller.receive()
        caller.tells({"type": "http.request", "body": b'{"id"', "more_body": True})
        task = caller.calls(_without(house.door()))
        await asyncio.sleep(9)
        assert not task.done()
        await asyncio.sleep(2)
        assert caller.status == 408
        assert house.empty

    clock.run(scenario())


def _without(door: StreamDoor) -> ASGIApp:
    """The door, where the last piece of a body never comes."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def first_pieces() -> Any:
            message = await receive()
            if not message.get("more_body", True):
                await asyncio.sleep(3600)
            return message

        await door(scope, first_pieces, send)

    return app


def test_who_leaves_before_its_body_is_there_leaves_nothing(clock: Clock) -> None:
    async def scenario() -> None:
        house = await House.open()
        for door in (house.door(), house.emulation):
            caller = Caller(body=[b"{", b"}"])
            await caller.receive()
            await caller.receive()
            caller.leaves()
            await house.call(door, caller)
            assert caller.sent == []
            assert house.empty

    clock.run(scenario())


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_request_that_the_server_ends_leaves_nothing(clock: Clock, *, cancelled: bool) -> None:
    async def scenario() -> None:
        house = await House.open()
        caller = Caller(body=[b"{", b"}"])
        await caller.receive()
        await caller.receive()
        task = caller.calls(house.door())
        await ticks(3)
        if cancelled:
            task.cancel()
        else:
            caller.tells({"type": "lifespan.shutdown"})
        await ticks(5)
        if not cancelled:
            caller.leaves()
            await ticks(5)
        assert task.done()
        assert house.empty

    clock.run(scenario())


def test_a_server_that_cannot_begin_the_answer_leaves_nothing(clock: Clock) -> None:
    async def scenario() -> None:
        house = await House.open()
        caller = Caller(body=CONNECT)
        caller.fails = OSError("gone")
        task = caller.calls(house.door())
        await ticks(5)
        with pytest.raises(OSError, match="gone"):
            task.result()
        assert house.empty

    clock.run(scenario())


# Leaving


@pytest.mark.parametrize("ticks_", range(12))
def test_a_peer_that_goes_at_any_moment_leaves_nothing(clock: Clock, ticks_: int) -> None:
    async def scenario() -> None:
        house = await House.open()
        house.stage.channel("room", presence=True, join_leave="force")
        caller = Caller(body=CONNECT + b'\n{"id":2,"subscribe":{"channel":"room"}}')
        task = caller.calls(house.door())
        await ticks(ticks_)
        caller.leaves()
        await ticks(20)
        assert task.done()
        assert house.empty
        assert await house.engine.members("room") == {}

    clock.run(scenario())


def test_a_reader_that_is_too_slow_is_disconnected(clock: Clock) -> None:
    async def scenario() -> None:
        house = await House.open(max_queued_bytes=1000)
        house.stage.channel("room")
        caller = await house.stream(body=CONNECT + b'\n{"id":2,"subscribe":{"channel":"room"}}')
        caller.stops_reading()
        for _ in range(4):
            await house.engine.publish("room", "x" * 400)
            await ticks(3)
        await asyncio.sleep(3)
        assert house.empty
        assert house.engine.policy.backlog.total == 0

    clock.run(scenario())


def test_a_session_that_ends_ends_its_response(clock: Clock) -> None:
    async def scenario() -> None:
        house = await House.open(stale_timeout=2)
        caller = await house.stream(body=b'{"id":1,"connect":{"token":"bad"}}\n')
        house.stage.auth.identities["late"] = LookupError("x")
        other = await house.stream(body=b'{"id":1,"connect":{"token":"late"}}')
        (session,) = house.engine.sessions.of_user("bad")
        session.on_silence()
        await asyncio.sleep(4)
        assert caller.replies()[-1]["push"]["disconnect"]["code"] == 3012
        assert other.replies()[0]["error"]["code"] == 100
        assert other.replies()[-1]["push"]["disconnect"]["code"] == 3502
        assert caller.over
        assert other.over
        assert house.empty

    clock.run(scenario())


@pytest.mark.parametrize("form", [SSE, UNI_SSE])
def test_an_event_source_that_is_refused_for_good_comes_back_once_and_is_told_to_stop(clock: Clock, form: Form) -> None:
    async def scenario() -> None:
        house = await House.open()
        house.stage.auth.identities["bad"] = InvalidToken()
        body = b'{"token":"bad"}' if form is UNI_SSE else b'{"id":1,"connect":{"token":"bad"}}'
        caller = await house.stream(form, body=body)
        assert caller.over
        assert caller.body.startswith(b"\r\nid: ended\ndata: ")
        again = await house.call(house.door(form), Caller(body=body, headers={"last-event-id": "ended", **OWN}))
        assert (again.status, again.body) == (204, b"")
        assert again.headers["access-control-allow-origin"] == OWN["origin"]
        assert house.empty

    clock.run(scenario())


@pytest.mark.parametrize(
    ("code", "final"), [(3500, True), (3503, True), (4500, True), (3001, False), (3012, False), (4000, False)]
)
def test_an_event_source_comes_back_after_those_ends_alone_that_are_not_for_good(
    clock: Clock, code: int, *, final: bool
) -> None:
    async def scenario() -> None:
        house = await House.open()
        caller = await house.stream(UNI_SSE, body=b"{}")
        (session,) = house.engine.sessions
        session.end(custom_end(code, "over"))
        await ticks(8)
        assert caller.over
        assert (b"\nid: ended\n" in caller.body) is final

    clock.run(scenario())


def test_an_event_source_whose_token_has_expired_comes_back_once_more_when_it_was_connected(clock: Clock) -> None:
    async def scenario() -> None:
        house = await House.open()
        first = await house.stream(UNI_SSE, body=b"{}")
        (session,) = house.engine.sessions
        session.end(ConnectionExpired())
        await ticks(8)
        house.stage.auth.identities["old"] = TokenExpired()
        then = await house.stream(UNI_SSE, body=b'{"token":"old"}')
        for caller, stops in ((first, False), (then, True)):
            assert caller.replies()[-1]["disconnect"]["code"] == 3005
            assert (b"\nid: ended\n" in caller.body) is stops

    clock.run(scenario())


# The way back


def test_commands_come_by_emulation_and_answers_by_the_stream(clock: Clock) -> None:
    async def scenario() -> None:
        house = await House.open()
        house.stage.channel("room")
        caller = await house.stream(HTTP_STREAM)
        connect = caller.replies()[0]["connect"]
        address = {"node": connect["node"], "session": connect["session"]}
        data = '{"id":2,"subscribe":{"channel":"room"}}\n{"id":3,"unsubscribe":{"channel":"room"}}'
        assert (await house.emulate({**address, "data": data})).status == 204
        await ticks(5)
        assert caller.replies()[1:] == [{"id": 2, "subscribe": {}}, {"id": 3, "unsubscribe": {}}]
        assert (await house.emulate({**address, "data": "{}"})).status == 204
        await ticks(5)
        assert caller.replies()[-1]["push"]["disconnect"]["code"] == 3501, "a pong that nobody asked for"

    clock.run(scenario())


def test_protobuf_comes_by_emulation_as_protobuf(clock: Clock) -> None:
    async def scenario() -> None:
        house = await House.open()
        house.stage.channel("ab")
        headers = {"content-type": "application/octet-stream"}
        caller = await house.stream(HTTP_STREAM, body=bytes.fromhex("04 0801 2200"), headers=headers)
        (session,) = house.engine.sessions
        node, secret = house.engine.node.encode(), session.secret.encode()
        data = bytes.fromhex("08 0803 3204 0a02 6162")
        body = b"".join(
            bytes((number << 3 | 2, len(part))) + part for number, part in enumerate((node, secret, data), 1)
        )
        assert (await house.emulate(body, headers=headers)).status == 204
        await ticks(5)
        assert caller.body.endswith(bytes.fromhex("04 0803 3a00"))

    clock.run(scenario())


@pytest.mark.parametrize(
    ("body", "options", "status"),
    [
        (b"", {}, 400),
        (b"rubbish", {}, 400),
        (b"[" * 60_000, {}, 400),
        (b"\xff", {"headers": {"content-type": "application/octet-stream"}}, 400),
        (b"x" * 65_537, {}, 413),
        ({"node": "another", "session": "", "data": "{}"}, {}, 404),
        ({"node": "own", "session": "nobody's", "data": "{}"}, {}, 204),
        ({"node": "own", "session": "", "data": "{}"}, {}, 204),
        ({"node": "own", "session": "", "data": "{}"}, {"headers": FOREIGN}, 403),
        (b"", {"method": "GET"}, 405),
        (b"", {"method": "OPTIONS"}, 204),
    ],
)
def test_an_emulation_is_answered_with_what_became_of_it(
    clock: Clock, body: Any, options: dict[str, Any], status: int
) -> None:
    async def scenario() -> None:
        house = await House.open()
        await house.stream()
        if isinstance(body, dict) and body["node"] == "own":
            body["node"] = house.engine.node
        caller = await house.emulate(body, **options)
        assert caller.status == status
        assert len(house.engine.sessions) == 1

    clock.run(scenario())


# Pages of other origins


@pytest.mark.parametrize("origin", ["https://app.example", "https://friend.example"])
def test_pages_of_allowed_origins_may_see_the_answer(clock: Clock, origin: str) -> None:
    async def scenario() -> None:
        house = await House.open(allowed_origins="https://friend.example")
        headers = {"origin": origin}
        caller = await house.stream(headers=headers)
        emulation = await house.emulate({"node": "x", "session": "", "data": ""}, headers=headers)
        too_large = await house.call(house.door(), Caller(method="GET", headers=headers))
        asked = {**headers, "access-control-request-headers": "content-type, x-own"}
        preflight = await house.call(house.door(), Caller(method="OPTIONS", headers=asked))
        for answer in (caller, emulation, too_large, preflight):
            assert answer.headers["access-control-allow-origin"] == origin
            assert answer.headers["access-control-allow-credentials"] == "true"
            assert answer.headers["vary"] == "Origin"
        assert preflight.status == 204
        assert preflight.headers["access-control-allow-headers"] == "content-type, x-own"
        assert preflight.headers["access-control-allow-methods"] == "GET, POST, OPTIONS"

    clock.run(scenario())


@pytest.mark.parametrize("headers", [{**FOREIGN, "access-control-request-headers": "x-own"}, FOREIGN, {}])
def test_pages_of_other_origins_and_what_is_no_page_get_no_such_headers(clock: Clock, headers: dict[str, str]) -> None:
    async def scenario() -> None:
        house = await House.open()
        preflight = await house.call(house.door(), Caller(method="OPTIONS", headers=headers))
        answer = await house.emulate({"node": "x", "session": "", "data": ""}, headers=headers)
        assert preflight.status == 204
        for one in (preflight, answer):
            assert not {"access-control-allow-origin", "access-control-allow-headers"} & set(one.headers)

    clock.run(scenario())
