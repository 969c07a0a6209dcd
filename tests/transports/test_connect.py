"""What `hub.connect` promises, on the fast path and on every WebSocket implementation of uvicorn."""

import asyncio
import contextlib
import json
import logging
import os
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, WebSocket, WebSocketException
from pydantic import BaseModel
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from tests.tls import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from hubbub import Client, Goodbye, Hub

Serve = Callable[..., Any]

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def within(seconds: float, condition: Callable[[], Any], what: str) -> Any:
    """The first true value of `condition`, or a failure that says what was awaited."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.005)
    return value


def closed(websocket: ClientConnection) -> tuple[int, str]:
    """Reads to the end; how the connection was closed."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            websocket.recv(timeout=5)
    assert websocket.close_code is not None
    return websocket.close_code, websocket.close_reason or ""


def reset(websocket: ClientConnection) -> None:
    """Vanishes with a TCP reset."""
    websocket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    websocket.socket.close()


class App:
    """A FastAPI app with a hub, and what its endpoints and its hub have seen."""

    def __init__(self, **settings: Any) -> None:
        self.hub = Hub(**settings)
        self.app = FastAPI(lifespan=self.hub.lifespan)
        self.goodbyes: list[Goodbye] = []
        self.seen: list[Any] = []

        @self.hub.on_goodbye
        def note(client: Client[Any], goodbye: Goodbye) -> None:
            self.goodbyes.append(goodbye)


@pytest.fixture
def chat() -> App:
    app = App()

    @app.app.websocket("/chat")
    async def endpoint(websocket: WebSocket) -> None:
        async with app.hub.connect(websocket) as client:
            await client.join("room")
            async for text in client:
                await app.hub.publish("room", f"said: {text}")
        await app.hub.publish("room", "left")

    return app


def test_members_hear_each_other_and_who_leaves(chat: App, serve: Serve, implementation: str) -> None:
    url = f"{serve(chat.app, implementation).ws}/chat"
    with connect(url) as alice, connect(url) as bob:
        alice.send("hello")
        assert alice.recv(timeout=5) == bob.recv(timeout=5) == "said: hello"
        alice.close(4321, "bye")
        assert bob.recv(timeout=5) == "left"
        assert chat.goodbyes == [Goodbye(4321, "bye", "peer")]
    within(5, lambda: len(chat.goodbyes) == 2, "the second goodbye")
    assert not chat.hub.clients


def test_a_peer_that_vanishes_leaves_like_any_other(chat: App, serve: Serve, implementation: str) -> None:
    url = f"{serve(chat.app, implementation).ws}/chat"
    with connect(url) as bob:
        with connect(url) as vanishing:
            reset(vanishing)
        assert bob.recv(timeout=5) == "left"
        assert len(chat.goodbyes) == 1
        assert chat.goodbyes[0].by == "peer"


def test_a_binary_frame_closes_its_sender_alone(chat: App, serve: Serve, implementation: str) -> None:
    url = f"{serve(chat.app, implementation).ws}/chat"
    with connect(url) as bob, connect(url) as mallory:
        mallory.send(b"\0")
        assert closed(mallory) == (1003, "this endpoint reads text messages")
        assert bob.recv(timeout=5) == "left"
        bob.send("still here")
        assert bob.recv(timeout=5) == "said: still here"


def test_a_message_over_the_limit_closes_1009_and_says_the_limit(chat: App, serve: Serve, implementation: str) -> None:
    url = f"{serve(chat.app, implementation).ws}/chat"
    with connect(url) as websocket:
        websocket.send("x" * 65536)
        assert websocket.recv(timeout=5) == "said: " + "x" * 65536
        websocket.send("x" * 65537)
        code, reason = closed(websocket)
        assert code == 1009
        assert "65536" in reason


def test_more_messages_than_the_rate_close_1008(serve: Serve, implementation: str) -> None:
    app = App(message_rate=5, rate_burst=2)

    @app.app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        async with app.hub.connect(websocket) as client:
            async for text in client:
                await client.send(text)

    with connect(f"{serve(app.app, implementation).ws}/") as websocket:
        for number in range(10):
            websocket.send(str(number))
            assert websocket.recv(timeout=5) == str(number)
        websocket.send("one too many")
        assert closed(websocket) == (1008, "more than 5 messages a second")


def test_more_bytes_than_the_rate_close_1008(serve: Serve, implementation: str) -> None:
    app = App(byte_rate=1000, rate_burst=1, max_message_size=1000)

    @app.app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        async with app.hub.connect(websocket) as client:
            async for _ in client:
                pass

    with connect(f"{serve(app.app, implementation).ws}/") as websocket:
        for _ in range(2):
            websocket.send("x" * 900)
        assert closed(websocket) == (1008, "more than 1000 bytes a second")


def test_a_busy_handler_keeps_its_client_until_the_inbox_is_full(serve: Serve, implementation: str) -> None:
    app = App(message_rate=0, max_inbox_messages=50)
    release = asyncio.Event()

    @app.app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        async with app.hub.connect(websocket) as client:
            async for text in client:
                await client.send(text)
                await release.wait()

    with connect(f"{serve(app.app, implementation).ws}/") as websocket:
        websocket.send("first")
        assert websocket.recv(timeout=5) == "first"
        with contextlib.suppress(ConnectionClosed):  # the close may come before the last is sent
            for number in range(52):
                websocket.send(str(number))
        code, reason = closed(websocket)
        assert code == 1008
        assert "wait for the handler" in reason


def test_a_push_only_body_is_cancelled_when_the_peer_goes(serve: Serve, implementation: str) -> None:
    app = App()

    @app.app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        async with app.hub.connect(websocket) as client:
            try:
                await client.send("started")
                await asyncio.sleep(3600)
            finally:
                app.seen.append("cleaned up")
        app.seen.append("went on")

    with connect(f"{serve(app.app, implementation).ws}/") as websocket:
        assert websocket.recv(timeout=5) == "started"
    within(3, lambda: app.seen == ["cleaned up", "went on"], "the body's end")


def test_a_loop_of_sends_ends_when_the_peer_vanishes(serve: Serve, implementation: str) -> None:
    app = App()

    @app.app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        async with app.hub.connect(websocket) as client:
            while True:
                await client.send("tick")
                await asyncio.sleep(0.001)
        app.seen.append("went on")  # type: ignore[unreachable]

    with connect(f"{serve(app.app, implementation).ws}/") as websocket:
        assert websocket.recv(timeout=5) == "tick"
        reset(websocket)
    within(3, lambda: app.seen == ["went on"], "the body's end")


def test_what_the_peer_sent_before_it_left_is_still_read(serve: Serve, implementation: str) -> None:
    app = App()

    @app.app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        async with app.hub.connect(websocket) as client:
            async for text in client:
                await client.send("an answer to nobody")
                await asyncio.sleep(0.01)
                app.seen.append(text)
        app.seen.append("end")

    with connect(f"{serve(app.app, implementation).ws}/") as websocket:
        for number in range(5):
            websocket.send(str(number))
    within(3, lambda: app.seen == ["0", "1", "2", "3", "4", "end"], "all messages")


def test_leaving_the_block_closes_1000_or_the_code_asked_for(serve: Serve, implementation: str) -> None:
    app = App()

    @app.app.websocket("/{code}")
    async def endpoint(websocket: WebSocket, code: int) -> None:
        async with app.hub.connect(websocket) as client:
            await client.send("one")
            if code:
                await client.close(code, "asked for")

    url = serve(app.app, implementation).ws
    with connect(f"{url}/0") as websocket:
        assert websocket.recv(timeout=5) == "one"
        assert closed(websocket) == (1000, "")
    with connect(f"{url}/4000") as websocket:
        assert websocket.recv(timeout=5) == "one"
        assert closed(websocket) == (4000, "asked for")
    assert app.goodbyes == [Goodbye(1000, "", "app"), Goodbye(4000, "asked for", "app")]


def test_an_exception_of_the_handler_closes_1011_and_is_logged_once_with_the_client_id(
    serve: Serve, implementation: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()

    @app.app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        async with app.hub.connect(websocket) as client:
            app.seen.append(client.info.id)
            async for _ in client:
                raise ValueError("a fault of the handler")

    url = f"{serve(app.app, implementation).ws}/"
    with caplog.at_level(logging.WARNING), connect(url) as bystander:
        with connect(url) as websocket:
            websocket.send("go")
            assert closed(websocket) == (1011, "internal error")
        within(3, lambda: len(app.hub.clients) == 1, "the end of the failed client")
        bystander.ping().wait(3)
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1, [record.getMessage() for record in errors]
    assert app.seen[1] in errors[0].getMessage()
    assert errors[0].exc_info is not None


def test_an_exception_reaches_the_dependencies(serve: Serve, implementation: str) -> None:
    app = App()

    async def session() -> Any:
        try:
            yield "session"
        except ValueError:
            app.seen.append("rolled back")
            raise

    @app.app.websocket("/")
    async def endpoint(websocket: WebSocket, session: Annotated[str, Depends(session)]) -> None:
        async with app.hub.connect(websocket):
            raise ValueError("a fault of the handler")

    with connect(f"{serve(app.app, implementation).ws}/") as websocket:
        assert closed(websocket)[0] == 1011
    within(3, lambda: app.seen == ["rolled back"], "the dependency's end")


def test_a_websocket_exception_in_the_body_closes_with_its_code(
    serve: Serve, implementation: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()

    @app.app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        async with app.hub.connect(websocket):
            raise WebSocketException(4400, "not like this")

    with connect(f"{serve(app.app, implementation).ws}/") as websocket:
        assert closed(websocket) == (4400, "not like this")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_text_binary_and_json_go_both_ways(serve: Serve, implementation: str) -> None:
    class Point(BaseModel):
        x: int

    app = App()

    @app.app.websocket("/bytes")
    async def binary(websocket: WebSocket) -> None:
        async with app.hub.connect(websocket, receive="bytes") as client:
            async for data in client:
                await client.send(data[::-1])

    @app.app.websocket("/json")
    async def parsed(websocket: WebSocket) -> None:
        async with app.hub.connect(websocket, receive="json") as client:
            async for value in client:
                await client.send(Point(x=value["x"] + 1))

    url = serve(app.app, implementation).ws
    with connect(f"{url}/bytes") as websocket:
        websocket.send(b"abc")
        assert websocket.recv(timeout=5) == b"cba"
        websocket.send("text")
        assert closed(websocket) == (1003, "this endpoint reads binary messages")
    with connect(f"{url}/json") as websocket:
        websocket.send('{"x": 1}')
        assert json.loads(websocket.recv(timeout=5)) == {"x": 2}
        websocket.send("{")
        code, reason = closed(websocket)
        assert code == 1007
        assert reason.startswith("not JSON")


def test_fastapi_machinery_works_unchanged(serve: Serve, implementation: str) -> None:
    app = App()
    router = APIRouter(prefix="/rooms")

    def greeting(connection: HTTPConnection, name: str = "nobody") -> str:
        return f"{connection.headers['x-greeting']} {name}"

    @router.websocket("/{room}")
    async def endpoint(websocket: WebSocket, room: int, greeting: Annotated[str, Depends(greeting)]) -> None:
        headers = [(b"x-answer", b"42")]
        async with app.hub.connect(websocket, subprotocol="v2", headers=headers, user="u", data=7) as client:
            await client.send([room, greeting, client.info.user, client.info.data, client.info.subprotocol])
            await client.send([client.info.path, client.info.address, client.info.id in app.hub.clients])

    app.app.include_router(router)
    url = f"{serve(app.app, implementation).ws}/rooms/3?name=Ada"
    with connect(url, additional_headers={"x-greeting": "Hello"}, subprotocols=["v1", "v2"]) as websocket:  # type: ignore[list-item]
        assert websocket.subprotocol == "v2"
        assert websocket.response is not None
        assert websocket.response.headers["x-answer"] == "42"
        assert json.loads(websocket.recv(timeout=5)) == [3, "Hello Ada", "u", 7, "v2"]
        assert json.loads(websocket.recv(timeout=5)) == ["/rooms/3", "127.0.0.1", True]


def test_lifespan_state_reaches_the_endpoint(serve: Serve, implementation: str) -> None:
    hub = Hub()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        async with hub.lifespan(app):
            yield {"database": "connected"}

    app = FastAPI(lifespan=lifespan)

    @app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        async with hub.connect(websocket) as client:
            await client.send(websocket.state.database)

    with connect(f"{serve(app, implementation).ws}/") as websocket:
        assert websocket.recv(timeout=5) == "connected"


@pytest.mark.parametrize("handling", ["closes", "answers", "sends", "fails"])
def test_an_exception_handler_of_the_app_adds_no_second_error_of_the_same_failure(
    serve: Serve, implementation: str, handling: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()

    @app.app.exception_handler(LookupError)
    async def handle(websocket: WebSocket, error: Exception) -> JSONResponse | None:
        app.seen.append(error)
        if handling == "closes":
            await websocket.close(4000, "something is missing")
        elif handling == "sends":
            await websocket.send_json({"error": str(error)})
        elif handling == "fails":
            raise ValueError("a fault of the exception handler")
        return JSONResponse({"error": str(error)}, 404) if handling == "answers" else None

    @app.app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        async with app.hub.connect(websocket):
            raise KeyError("missing")

    served = serve(app.app, implementation)
    with connect(f"{served.ws}/") as websocket:
        assert closed(websocket) == (1011, "internal error")
    served.stop()
    assert [type(error) for error in app.seen] == [KeyError]
    messages = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert "the handler of / failed" in messages[0]
    assert messages[1:] == (["Exception in ASGI application\n"] if handling == "fails" else [])


def test_a_full_hub_answers_503_and_when_to_come_back_and_clients_that_reconnect_do(
    serve: Serve, implementation: str
) -> None:
    app = App(max_connections=1, allow_anonymous=True)
    app.app.include_router(app.hub.router)

    @app.app.websocket("/chat")
    async def endpoint(websocket: WebSocket) -> None:
        async with app.hub.connect(websocket) as client:
            async for _ in client:
                pass

    url = f"{serve(app.app, implementation).ws}"
    for path in ("/chat", "/connection/websocket"):
        with connect(url + path):
            with pytest.raises(InvalidStatus) as refused, connect(url + path):
                pass
            response = refused.value.response
            assert response.status_code == 503
            assert 1 <= int(response.headers["retry-after"]) <= 10
            assert b"holds 1 connections already" in (response.body or b"")
        assert app.hub._engine is not None
        within(5, lambda: app.hub._engine.admission._total == 0, "the first to be counted out")  # type: ignore[union-attr]


@pytest.mark.parametrize("way", ["close", "raise"])
def test_a_reason_that_is_too_long_is_cut_between_characters_and_the_code_arrives(
    serve: Serve, implementation: str, way: str
) -> None:
    app = App()
    reason = "x" * 121 + "é" * 3 + "\ud83d"

    @app.app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        async with app.hub.connect(websocket) as client:
            if way == "raise":
                raise WebSocketException(4001, reason)
            await client.close(4001, reason)

    with connect(f"{serve(app.app, implementation).ws}/") as websocket:
        assert closed(websocket) == (4001, "x" * 121 + "é")
    within(5, lambda: app.goodbyes == [Goodbye(4001, "x" * 121 + "é", "app")], "the goodbye, as the peer saw it")


def test_a_foreign_origin_is_refused_before_the_accept_and_the_log_says_why(
    chat: App, serve: Serve, implementation: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{serve(chat.app, implementation).ws}/chat"
    with pytest.raises(InvalidStatus) as refused, connect(url, origin="https://evil.example"):
        pass
    assert refused.value.response.status_code == 403
    assert any("https://evil.example" in record.getMessage() for record in caplog.records)
    own = url.replace("ws", "http", 1).removesuffix("/chat")
    with connect(url, origin=own) as websocket:  # type: ignore[arg-type]
        websocket.send("x")
        assert websocket.recv(timeout=5) == "said: x"


def test_connections_over_the_limits_are_refused(serve: Serve, implementation: str) -> None:
    app = App(max_connections=2, max_connections_per_address=1)

    @app.app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        async with app.hub.connect(websocket) as client:
            async for _ in client:
                pass

    url = f"{serve(app.app, implementation).ws}/"
    with connect(url), pytest.raises(InvalidStatus), connect(url):
        pass
    within(3, lambda: not app.hub.clients, "the first client's end")
    with connect(url):
        pass


def test_a_refusing_dependency_refuses_before_the_accept(serve: Serve, implementation: str) -> None:
    app = App()

    def user(token: str = "") -> str:
        if token == "unknown":
            raise HTTPException(401, "unknown token")
        if token != "right":
            raise WebSocketException(1008, "wrong token")
        return "ada"

    @app.app.websocket("/")
    async def endpoint(websocket: WebSocket, user: Annotated[str, Depends(user)]) -> None:
        async with app.hub.connect(websocket, user=user) as client:
            await client.send(f"hello {user}")

    url = f"{serve(app.app, implementation).ws}/"
    for token, status in (("", 403), ("wrong", 403), ("unknown", 401)):
        with pytest.raises(InvalidStatus) as refused, connect(f"{url}?token={token}"):
            pass
        assert refused.value.response.status_code == status, token
    with connect(f"{url}?token=right") as websocket:
        assert websocket.recv(timeout=5) == "hello ada"


def test_publishing_from_a_route_and_from_a_thread_reaches_the_members(
    chat: App, serve: Serve, implementation: str
) -> None:
    import httpx

    @chat.app.post("/async")
    async def asynchronous(text: str) -> None:
        await chat.hub.publish("room", text)

    @chat.app.post("/sync")
    def synchronous(text: str) -> int:
        return chat.hub.publish_sync("room", {"text": text}).offset

    served = serve(chat.app, implementation)
    with connect(f"{served.ws}/chat") as websocket:
        httpx.post(f"{served.http}/async", params={"text": "from a route"}).raise_for_status()
        assert websocket.recv(timeout=5) == "from a route"
        httpx.post(f"{served.http}/sync", params={"text": "from a thread"}).raise_for_status()
        assert websocket.recv(timeout=5) == '{"text":"from a thread"}'


def test_a_reader_that_stops_is_evicted_and_the_others_do_not_notice(serve: Serve, implementation: str) -> None:
    app = App(max_queued_bytes=256 * 1024, message_rate=0, byte_rate=0)

    @app.app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        async with app.hub.connect(websocket) as client:
            await client.join("room")
            async for text in client:
                await app.hub.publish("room", text)

    served = serve(app.app, implementation)
    url = f"{served.ws}/"
    with served.dial(receive_buffer=4096) as sleeper, connect(url) as bob:
        sleeper.sendall(HANDSHAKE)
        within(5, lambda: len(app.hub.clients) == 2, "both to join")
        for number in range(300):
            bob.send(f"{number:>60000}")
            heard = str(bob.recv(timeout=2)).strip()
            assert heard == str(number)
            if len(app.hub.clients) == 1:
                break
        within(1, lambda: [goodbye.code for goodbye in app.goodbyes] == [3008], "the goodbye")
        bob.send("still here")
        assert bob.recv(timeout=2) == "still here"
        within(3, lambda: len(served.server.server_state.connections) == 1, "the end of the sleeper's connection")


def test_an_evicted_peer_sees_the_end_though_a_child_process_still_has_its_socket_open(
    serve: Serve, implementation: str
) -> None:
    app = App(max_queued_bytes=64 * 1024)

    @app.app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        async with app.hub.connect(websocket) as client:
            await client.join("room")
            async for _ in client:
                pass

    served = serve(app.app, implementation)
    with served.dial(receive_buffer=4096) as sleeper:
        sleeper.sendall(HANDSHAKE)
        within(5, lambda: app.hub.clients, "the sleeper to join")
        (connection,) = served.server.server_state.connections
        shown = getattr(connection, "transport", None) or connection._transport
        inherited = os.dup(shown.get_extra_info("socket").fileno())  # as a fork would leave it behind
        try:
            for number in range(600):
                app.hub.publish_sync("room", f"{number:>60000}")
                if not app.hub.clients:
                    break
            within(3, lambda: not app.hub.clients, "the sleeper to be evicted")
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                while sleeper.recv(1 << 20):
                    pass
        finally:
            os.close(inherited)


def test_a_stop_tells_every_client_1012_and_a_reason(chat: App, serve: Serve, implementation: str) -> None:
    served = serve(chat.app, implementation)
    with connect(f"{served.ws}/chat") as websocket:
        websocket.send("x")
        assert websocket.recv(timeout=5) == "said: x"
        # In a process of its own the signal does this; see the end-to-end tests.
        engine = chat.hub._engine
        assert engine is not None
        engine.loop.call_soon_threadsafe(engine.begin_stop)
        code, reason = closed(websocket)
        assert code == 1012
        assert "come back" in reason
        with pytest.raises(InvalidStatus), connect(f"{served.ws}/chat"):
            pass
    begun = time.monotonic()
    served.stop()
    assert time.monotonic() - begun < 5


def test_a_silent_peer_is_noticed_within_the_bound(serve: Serve, implementation: str) -> None:
    app = App(ping_interval=0.4, ping_timeout=0.4)

    @app.app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        async with app.hub.connect(websocket) as client:
            async for _ in client:
                pass

    with serve(app.app, implementation).dial() as silent:
        silent.sendall(HANDSHAKE)
        within(3, lambda: app.hub.clients, "the silent peer to be a client")
        within(3, lambda: app.goodbyes, "the silent peer to be noticed")
        assert not app.hub.clients
    assert len(app.goodbyes) == 1


def test_a_peer_that_answers_pings_stays(serve: Serve, implementation: str) -> None:
    app = App(ping_interval=0.2, ping_timeout=0.2)

    @app.app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        async with app.hub.connect(websocket) as client:
            async for text in client:
                await client.send(text)

    with connect(f"{serve(app.app, implementation).ws}/") as websocket:
        time.sleep(1.5)  # the time that passes is the subject
        websocket.send("still here")
        assert websocket.recv(timeout=5) == "still here"
