"""Sessions over WebSocket: the door, and the same conversation on the fast path and on every other server."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, WebSocket
from starlette.requests import HTTPConnection
from starlette.types import Message
from tests.clock import Clock, ticks
from tests.hub.fakes import FakeTransport
from tests.hub.sessions import SessionStage
from tests.tls import connect
from tests.transports.callers import Visitor
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from hubbub import Client, Goodbye, Grant, Hub, Identity
from hubbub.errors.sessions import custom_end
from hubbub.transports.exchange import EXTENSION
from hubbub.transports.websocket import WebSocketDoor

Serve = Callable[..., Any]
CONNECT = '{"id":1,"connect":{}}'


def door(stage: SessionStage, *, one_way: bool = False) -> WebSocketDoor:
    return WebSocketDoor(lambda: stage.engine, unidirectional=one_way)


def empty(stage: SessionStage) -> bool:
    """Whether there is room for as many as there may be, and nobody in it."""
    return not stage.engine.sessions._all and stage.engine.admission._total == 0


# Who comes in


@pytest.mark.parametrize(
    ("subprotocols", "query", "codec", "answered"),
    [
        ([], "", "json", None),
        (["centrifuge-json"], "", "json", "centrifuge-json"),
        (["centrifuge-protobuf"], "", "protobuf", "centrifuge-protobuf"),
        (["other", "centrifuge-protobuf", "centrifuge-json"], "", "protobuf", "centrifuge-protobuf"),
        (["other"], "", "json", None),
        ([], "format=protobuf", "protobuf", None),
        ([], "cf_protocol=protobuf&cf_protocol_version=v2", "protobuf", None),
        ([], "format=json&cf_protocol=", "json", None),
    ],
)
def test_the_client_chooses_how_it_speaks(
    clock: Clock, subprotocols: list[str], query: str, codec: str, answered: str | None
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        visitor = Visitor(subprotocols=subprotocols, query=query)
        visitor.calls(door(stage))
        await ticks(5)
        (session,) = stage.engine.sessions._all
        assert session.codec.name == codec
        assert visitor.sent[0]["type"] == "websocket.accept"
        assert visitor.sent[0]["subprotocol"] == answered

    clock.run(scenario())


@pytest.mark.parametrize("protobuf", [True, False])
def test_a_client_may_leave_the_pings_to_the_server(clock: Clock, *, protobuf: bool) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        offered = ["centrifuge-protobuf"] if protobuf else []
        visitor = Visitor(subprotocols=offered, query="cf_ws_frame_ping_pong=true")
        visitor.calls(door(stage))
        await ticks(3)
        (session,) = stage.engine.sessions._all
        visitor.says(bytes.fromhex("04 0801 2200") if protobuf else CONNECT)
        await ticks(8)
        assert session._link.native_pings
        assert session.codec.name == ("protobuf" if protobuf else "json")
        if not protobuf:
            assert not {"ping", "pong"} & set(visitor.replies()[0]["connect"])
        await asyncio.sleep(300)
        assert session.alive, "without pings of the protocol nobody waits for pongs"
        with_pings = Visitor(query="cf_ws_frame_ping_pong=false")
        with_pings.calls(door(stage))
        await ticks(3)
        with_pings.says(CONNECT)
        await ticks(8)
        assert with_pings.replies()[0]["connect"]["ping"] == 25

    clock.run(scenario())


@pytest.mark.parametrize(("reason", "code"), [("origin", 1008), ("full", 1013), ("stopping", 1012)])
def test_who_may_not_come_in_is_refused_before_the_accept(clock: Clock, reason: str, code: int) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(max_connections=1)
        if reason == "full":
            stage.arrive()
        elif reason == "stopping":
            stage.engine.begin_stop()
        total = stage.engine.admission._total
        for _ in range(3):
            headers = {"origin": "https://evil.example"} if reason == "origin" else {}
            visitor = Visitor(headers=headers)
            task = visitor.calls(door(stage))
            await ticks(3)
            (close,) = visitor.sent
            assert (close["type"], close["code"]) == ("websocket.close", code)
            assert task.done()
        assert stage.engine.admission._total == total

    clock.run(scenario())


def test_who_is_accepted_while_the_stop_begins_is_told_so(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        visitor = Visitor()
        send = visitor.send

        async def stop_meanwhile(message: Message) -> None:
            await send(message)
            stage.engine.begin_stop()

        visitor.send = stop_meanwhile  # type: ignore[method-assign]
        task = visitor.calls(door(stage))
        await asyncio.sleep(5)
        assert visitor.closed == (3001, "shutdown")
        assert task.done()
        assert empty(stage)

    clock.run(scenario())


@pytest.mark.parametrize("how", ["the server fails", "the peer is gone", "it takes too long", "it is cancelled"])
def test_a_handshake_that_comes_to_nothing_is_counted_out(clock: Clock, how: str) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(handshake_timeout=10)
        visitor = Visitor()
        if how == "the server fails":
            visitor.fails = OSError("gone")
        else:
            await visitor.receive()
            if how == "the peer is gone":
                visitor.leaves()
        task = visitor.calls(door(stage))
        await ticks(3)
        if how == "it is cancelled":
            task.cancel()
        await asyncio.sleep(11)
        assert task.done()
        assert task.cancelled() or task.exception() is not None
        assert empty(stage)

    clock.run(scenario())


# Servers that offer a transport of their own


class Offering(Visitor):
    """A WebSocket of the fast path."""

    def __init__(self, **options: Any) -> None:
        self.transport = FakeTransport()
        super().__init__(extensions={EXTENSION: {"transport": self.transport}}, **options)


def test_a_transport_that_the_server_offers_is_taken_without_compression_and_outlives_the_endpoint(
    clock: Clock,
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        visitor = Offering(subprotocols=["centrifuge-json"])
        task = visitor.calls(door(stage))
        await ticks(3)
        assert visitor.sent == [{"type": "websocket.accept", "subprotocol": "centrifuge-json", "hubbub.deflate": False}]
        assert task.done(), "an idle session has no task"
        visitor.transport.says(CONNECT)
        await ticks(5)
        assert "connect" in json.loads(str(visitor.transport.received[0]))
        assert visitor.transport.policy is stage.engine.session_policy
        visitor.transport.leaves()
        assert empty(stage)

    clock.run(scenario())


def test_who_leaves_the_pings_to_the_server_is_on_the_servers_wheel(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        visitor = Offering(query="cf_ws_frame_ping_pong=true")
        visitor.calls(door(stage))
        await ticks(3)
        assert visitor.transport.policy is stage.engine.policy
        assert stage.engine.policy.heartbeat is not None
        assert stage.engine.session_policy.heartbeat is None

    clock.run(scenario())


def test_a_fast_path_that_fails_to_accept_is_counted_out(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        visitor = Offering()
        visitor.fails = RuntimeError("closed")
        task = visitor.calls(door(stage))
        await ticks(3)
        assert task.exception() is not None
        assert empty(stage)

    clock.run(scenario())


# One way


def test_who_only_listens_connects_by_the_query_or_by_its_first_message(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        asking = Visitor(query="cf_connect=%7B%22token%22%3A%22anna%22%7D")
        saying = Visitor(query="cf_connect=")
        for visitor in (asking, saying):
            visitor.calls(door(stage, one_way=True))
        await ticks(5)
        assert asking.replies()[0]["connect"]["session"]
        assert saying.replies() == []
        saying.says('{"token":"bert"}')
        await ticks(5)
        assert saying.replies()[0]["connect"]["client"]
        assert sorted(session.user for session in stage.engine.sessions) == ["anna", "bert"]
        for session in stage.engine.sessions:
            assert session._link.transport == "uni_websocket"
            session.end(custom_end(4001, "enough"))
        await ticks(5)
        assert asking.replies()[-1] == {"disconnect": {"code": 4001, "reason": "enough"}}
        assert asking.closed == (4001, "enough")

    clock.run(scenario())


def test_the_other_way_a_query_connects_nobody(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        visitor = Visitor(query="cf_connect=%7B%7D")
        visitor.calls(door(stage))
        await ticks(5)
        assert visitor.replies() == []
        assert len(stage.engine.sessions) == 0

    clock.run(scenario())


# One conversation on every server


class App:
    """A FastAPI app with sessions."""

    def __init__(self, **settings: Any) -> None:
        self.hub = Hub(**{"allow_anonymous": True, "message_rate": 0, "byte_rate": 0, **settings})
        self.room = self.hub.channel(
            "room:{name}",
            history=10,
            presence=True,
            join_leave="force",
            may_subscribe="everyone",
            may_publish="everyone",
            may_see_presence="everyone",
        )
        self.seen: list[Any] = []

        @self.hub.rpc("echo")
        async def echo(data: Any) -> Any:
            self.seen.append(data)
            return data

        self.app = FastAPI(lifespan=self.hub.lifespan)
        self.app.include_router(self.hub.router)

    def sessions(self) -> int:
        """How many there are. Read from another thread, so only to be waited for."""
        return len(self.hub._running().sessions)


class Talk:
    """A client that speaks JSON over a real WebSocket."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket
        self._heard: list[Any] = []

    def hear(self) -> Any:
        while not self._heard:
            self._heard = [json.loads(line) for line in str(self.websocket.recv(timeout=5)).split("\n")]
        return self._heard.pop(0)

    def ask(self, number: int, **request: Any) -> Any:
        self.websocket.send(json.dumps({"id": number, **request}))
        while True:
            reply = self.hear()
            if reply.get("id") == number:
                return reply

    def end(self) -> tuple[int, str]:
        """Reads to the end; how the connection was closed."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.websocket.recv(timeout=5)
        assert self.websocket.close_code is not None
        return self.websocket.close_code, self.websocket.close_reason or ""


def within(seconds: float, condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.005)


@contextlib.contextmanager
def talk(url: str, **options: Any) -> Any:
    with connect(url, **options) as websocket:
        talk = Talk(websocket)
        talk.client = talk.ask(1, connect={})["connect"]["client"]  # type: ignore[attr-defined]
        yield talk


def test_clients_hear_each_other(serve: Serve, implementation: str) -> None:
    app = App()
    url = f"{serve(app.app, implementation).ws}/connection/websocket"
    with talk(url) as anna, talk(url) as bert:
        for one in (anna, bert):
            assert one.ask(2, subscribe={"channel": "room:a"})["subscribe"]["recoverable"]
        assert anna.ask(3, publish={"channel": "room:a", "data": {"text": "hi"}}) == {"id": 3, "publish": {}}
        while "pub" not in (push := bert.hear()["push"]):
            pass
        assert push["pub"]["data"] == {"text": "hi"}
        assert push["pub"]["info"]["client"] == anna.client
        presence = bert.ask(4, presence={"channel": "room:a"})["presence"]["presence"]
        assert set(presence) == {anna.client, bert.client}
        assert bert.ask(5, rpc={"method": "echo", "data": [1.50, None]})["rpc"]["data"] == [1.5, None]
    within(5, lambda: app.sessions() == 0, "the end of the sessions")


def test_what_was_missed_is_recovered_by_who_comes_back(serve: Serve, implementation: str) -> None:
    app = App()
    url = f"{serve(app.app, implementation).ws}/connection/websocket"
    with talk(url) as guest:
        result = guest.ask(2, subscribe={"channel": "room:a"})["subscribe"]
    for number in range(3):
        app.hub.publish_sync("room:a", {"n": number})
    with talk(url) as guest:
        since = {"recover": True, "epoch": result["epoch"], "offset": result.get("offset", 0)}
        result = guest.ask(2, subscribe={"channel": "room:a", **since})["subscribe"]
        assert result["recovered"]
        assert [one["data"]["n"] for one in result["publications"]] == [0, 1, 2]


def test_protobuf_is_binary_and_its_subprotocol_is_answered(serve: Serve, implementation: str) -> None:
    app = App()
    url = f"{serve(app.app, implementation).ws}/connection/websocket"
    with connect(url, subprotocols=["centrifuge-protobuf"]) as websocket:  # type: ignore[list-item]
        assert websocket.subprotocol == "centrifuge-protobuf"
        websocket.send(bytes.fromhex("04 0801 2200"))
        reply = websocket.recv(timeout=5)
        assert isinstance(reply, bytes)
        websocket.send(bytes.fromhex("0a 0802 3206 0a04 726f6f6d"))
        assert websocket.recv(timeout=5) == bytes.fromhex("04 0802 3a00")


def test_what_is_against_the_protocol_is_told_by_code_and_reason(serve: Serve, implementation: str) -> None:
    app = App()
    url = f"{serve(app.app, implementation).ws}/connection/websocket"
    for first, closed in (
        ("rubbish", (3501, "bad request")),
        ('{"id":1,"connect":{"token":"x"}}', (3500, "invalid token")),
        (CONNECT + '\n{"id":2,"send":{}}', (3508, "not available")),
    ):
        with connect(url) as websocket:
            websocket.send(first)
            assert Talk(websocket).end() == closed
    with connect(url) as websocket:
        websocket.send("x" * 65_537)
        assert Talk(websocket).end()[0] == 1009
    within(5, lambda: app.hub._running().admission._total == 0, "all to be counted out")


def test_no_compression_is_agreed_to_on_the_fast_path(serve: Serve, wire: str) -> None:
    app = App()
    url = f"{serve(app.app, wire).ws}/connection/websocket"
    with connect(url, compression="deflate") as websocket:
        assert websocket.response is not None
        assert "sec-websocket-extensions" not in websocket.response.headers


def test_a_foreign_page_and_a_plain_request_do_not_get_in(serve: Serve, implementation: str) -> None:
    app = App()
    served = serve(app.app, implementation)
    url = f"{served.ws}/connection/websocket"
    with pytest.raises(InvalidStatus) as refused, connect(url, origin="https://evil.example"):  # type: ignore[arg-type]
        pass
    assert refused.value.response.status_code == 403
    with connect(url, origin=served.http):  # type: ignore[arg-type]
        pass
    plain = httpx.get(f"{served.http}/connection/websocket")
    assert (plain.status_code, plain.headers["sec-websocket-version"]) == (400, "13")


def test_a_stop_ends_every_session_with_shutdown(serve: Serve, implementation: str) -> None:
    app = App()
    served = serve(app.app, implementation)
    url = f"{served.ws}/connection/websocket"
    with talk(url) as guest, connect(f"{served.ws}/connection/uni_websocket?cf_connect=%7B%7D") as listener:
        assert "connect" in json.loads(str(listener.recv(timeout=5)))
        engine = app.hub._running()
        engine.loop.call_soon_threadsafe(engine.begin_stop)
        assert guest.end() == (3001, "shutdown")
        assert json.loads(str(listener.recv(timeout=5)))["disconnect"]["code"] == 3001
        with pytest.raises(InvalidStatus), connect(url):
            pass
    begun = time.monotonic()
    served.stop()
    assert time.monotonic() - begun < 5


def test_a_frozen_client_that_only_listens_is_noticed_within_the_bound(serve: Serve, implementation: str) -> None:
    app = App(ping_interval=0.4, ping_timeout=0.4)
    served = serve(app.app, implementation)
    url = f"{served.ws}/connection/uni_websocket?cf_connect=%7B%7D"
    with served.dial() as frozen, connect(url) as listener:
        frozen.sendall(
            b"GET /connection/uni_websocket?cf_connect=%7B%7D HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        within(3, lambda: app.sessions() == 2, "both to connect")
        within(3, lambda: app.sessions() == 1, "the frozen one to be noticed")
        assert "connect" in json.loads(str(listener.recv(timeout=5)))


FIRST = f'{CONNECT}\n{{"id":2,"subscribe":{{"channel":"room:a"}}}}'.encode()


def subscribe_by_websocket(sleeper: socket.socket) -> None:
    sleeper.sendall(
        b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert b" 101 " in sleeper.recv(1000)
    sleeper.sendall(bytes((0x81, 0x80 | len(FIRST), 0, 0, 0, 0)) + FIRST)


def subscribe_by_stream(sleeper: socket.socket) -> None:
    head = b"POST /connection/http_stream HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    sleeper.sendall(head % len(FIRST) + FIRST)


@pytest.mark.parametrize("subscribe", [subscribe_by_websocket, subscribe_by_stream])
def test_a_reader_that_stops_is_evicted_and_its_connection_ends(
    serve: Serve, implementation: str, subscribe: Callable[[socket.socket], None]
) -> None:
    app = App(max_queued_bytes=128 * 1024)
    served = serve(app.app, implementation)
    with served.dial(receive_buffer=4096) as sleeper:
        subscribe(sleeper)
        within(5, lambda: app.hub._running().fanout.receivers("room:a") == 1, "the sleeper to subscribe")
        for number in range(400):
            app.hub.publish_sync("room:a", f"{number:>60000}")
            if app.sessions() == 0:
                break
        within(1, lambda: app.sessions() == 0, "the sleeper to be evicted")
        within(4, lambda: len(served.server.server_state.connections) == 0, "the end of its connection")


def test_an_identity_of_the_handshake_is_that_of_the_session(serve: Serve, implementation: str) -> None:
    app = App()

    @app.hub.on_connect
    async def who(connection: HTTPConnection) -> Identity:
        return Identity(connection.headers["x-user"], data={"path": connection.url.path})

    url = f"{serve(app.app, implementation).ws}/connection/websocket"
    with connect(url, additional_headers={"x-user": "anna"}) as websocket:
        reply = Talk(websocket).ask(1, connect={})
        assert reply["connect"]["data"] == {"path": "/connection/websocket"}
        within(1, lambda: app.hub._running().sessions.of_user("anna"), "the session of the user")


def test_a_session_that_is_ended_with_3000_gets_what_was_queued_and_no_close_frame(
    serve: Serve, implementation: str
) -> None:
    app = App()
    served = serve(app.app, implementation)

    async def publish_and_disconnect() -> None:
        await app.hub.publish("room:a", "x" * 50_000)
        app.hub._running().fanout.flush()
        for session in app.hub._running().sessions:
            session.end(custom_end(3000))

    with talk(f"{served.ws}/connection/websocket") as guest:
        guest.ask(2, subscribe={"channel": "room:a"})
        app.hub.run_sync(publish_and_disconnect)
        while "pub" not in (push := guest.hear()["push"]):
            pass
        assert push["pub"]["data"] == "x" * 50_000
        assert guest.end() == (1006, "")
    within(5, lambda: not served.server.server_state.connections, "the end of the connection")


tenant: ContextVar[str] = ContextVar("tenant", default="nobody's")


class TenantMiddleware:
    """Sets a context variable for as long as the app runs, as tracing and logging libraries do."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        names = [value.decode() for name, value in scope.get("headers", ()) if name == b"x-tenant"]
        token = tenant.set(names[0] if names else "nobody's")
        try:
            await self._app(scope, receive, send)
        finally:
            tenant.reset(token)


def test_handlers_see_the_context_variables_of_their_own_handshake(serve: Serve, implementation: str) -> None:
    app = App()
    app.app.add_middleware(TenantMiddleware)
    goodbyes: list[tuple[str, str]] = []

    def shop() -> str:
        return tenant.get()

    @app.hub.on_connect
    async def who() -> Identity:
        return Identity(tenant.get(), data=tenant.get())

    @app.hub.rpc("tenant")
    async def rpc(of_dependency: Annotated[str, Depends(shop)]) -> list[str]:
        before = tenant.get()
        tenant.set("changed by a handler")
        return [before, of_dependency]

    guarded = app.hub.channel("guarded:{n}")

    @guarded.on_subscribe
    async def guard(n: str) -> Grant:
        return Grant(data=tenant.get())

    @guarded.on_publish
    def publish(n: str) -> None:
        app.seen.append(tenant.get())

    @app.hub.on_goodbye
    async def note(client: Client[Any], goodbye: Goodbye) -> None:
        goodbyes.append((client.info.path, tenant.get()))

    @app.app.websocket("/plain")
    async def plain(websocket: WebSocket) -> None:
        async with app.hub.connect(websocket) as client:
            async for _ in client:
                pass

    served = serve(app.app, implementation)
    url = f"{served.ws}/connection/websocket"
    with (
        connect(url, additional_headers={"x-tenant": "red"}) as red,
        connect(url, additional_headers={"x-tenant": "blue"}) as blue,
        connect(f"{served.ws}/plain", additional_headers={"x-tenant": "green"}),
    ):
        for websocket, name in ((red, "red"), (blue, "blue")):
            talk = Talk(websocket)
            assert talk.ask(1, connect={})["connect"]["data"] == name
            for number in (2, 3):
                reply = talk.ask(number, rpc={"method": "tenant", "data": 1})
                assert reply["rpc"]["data"] == [name, name]
            assert talk.ask(4, subscribe={"channel": "guarded:1"})["subscribe"]["data"] == name
            assert "publish" in talk.ask(5, publish={"channel": "guarded:1", "data": 1})
            assert app.seen.pop() == name
    within(5, lambda: goodbyes == [("/plain", "green")], "the goodbye of the plain WebSocket")
