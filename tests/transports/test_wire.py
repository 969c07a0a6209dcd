"""The fast path as an ASGI server: apps without a hub, and uvicorn's own options."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from starlette.responses import JSONResponse
from tests.tls import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from hubbub.transports.wire import Protocol

from .test_connect import HANDSHAKE, closed, within

Serve = Callable[..., Any]
Scope = dict[str, Any]


@pytest.fixture
def plain() -> FastAPI:
    """A FastAPI app that knows nothing of Hubbub."""
    app = FastAPI()

    @app.websocket("/echo")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                await websocket.send({**message, "type": "websocket.send"})

    @app.websocket("/refuse")
    async def refuse(websocket: WebSocket) -> None:
        await websocket.close(4000)

    @app.websocket("/deny")
    async def deny(websocket: WebSocket) -> None:
        await websocket.send_denial_response(JSONResponse({"why": "full"}, status_code=429))

    @app.websocket("/fail")
    async def fail(websocket: WebSocket) -> None:
        raise ValueError("a fault before the accept")

    @app.websocket("/fail-later")
    async def fail_later(websocket: WebSocket) -> None:
        await websocket.accept()
        raise ValueError("a fault after the accept")

    @app.websocket("/return")
    async def returns(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("that is all")

    @app.get("/")
    async def page() -> str:
        return "page"

    return app


def test_an_app_without_a_hub_runs_unchanged(plain: FastAPI, serve: Serve, wire: str) -> None:
    with connect(f"{serve(plain, wire).ws}/echo") as websocket:
        for message in ("text", "", "ü" * 1000, b"", b"binary", b"\0" * 100_000):
            websocket.send(message)
            assert websocket.recv(timeout=5) == message
        websocket.send(["in ", "fragments"])
        assert websocket.recv(timeout=5) == "in fragments"
        assert websocket.ping().wait(3)


@pytest.mark.parametrize("deflate", [True, False])
def test_compression_is_offered_as_configured(plain: FastAPI, serve: Serve, wire: str, deflate: bool) -> None:
    url = f"{serve(plain, wire, ws_per_message_deflate=deflate).ws}/echo"
    with connect(url) as websocket:
        assert websocket.response is not None
        answered = "Sec-WebSocket-Extensions" in websocket.response.headers
        assert answered == deflate
        websocket.send("compressible " * 1000)
        assert websocket.recv(timeout=5) == "compressible " * 1000


def test_a_message_over_ws_max_size_closes_1009(plain: FastAPI, serve: Serve, wire: str) -> None:
    with connect(f"{serve(plain, wire, ws_max_size=1000).ws}/echo", compression=None) as websocket:
        websocket.send("x" * 1000)
        assert websocket.recv(timeout=5) == "x" * 1000
        websocket.send("x" * 1001)
        code, reason = closed(websocket)
        assert code == 1009
        assert "1000" in reason


def test_a_compressed_bomb_is_stopped_at_the_limit(plain: FastAPI, serve: Serve, wire: str) -> None:
    with connect(f"{serve(plain, wire, ws_max_size=10_000).ws}/echo", max_size=None) as websocket:
        websocket.send("0" * 5_000_000)
        assert closed(websocket)[0] == 1009


def test_refusals_before_the_accept_are_http_answers(plain: FastAPI, serve: Serve, wire: str) -> None:
    url = f"{serve(plain, wire).ws}"
    for path, status, body in (
        ("/refuse", 403, b""),
        ("/deny", 429, b'{"why":"full"}'),
        ("/fail", 500, b"Internal Server Error"),
        ("/nowhere", 403, b""),
    ):
        with pytest.raises(InvalidStatus) as refused, connect(url + path):
            pass
        assert (refused.value.response.status_code, bytes(refused.value.response.body or b"")) == (status, body)


def test_the_app_that_returns_closes_1000_and_the_one_that_raises_1011(
    plain: FastAPI, serve: Serve, wire: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{serve(plain, wire).ws}"
    with connect(f"{url}/return") as websocket:
        assert websocket.recv(timeout=5) == "that is all"
        assert closed(websocket)[0] == 1000
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    with connect(f"{url}/fail-later") as websocket:
        assert closed(websocket)[0] == 1011
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == [
        "Exception in ASGI application\n"
    ]


def test_an_app_that_returns_a_value_has_failed_before_the_accept_and_after(
    serve: Serve, wire: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> Any:
        if scope["path"] == "/accepted":
            await send({"type": "websocket.accept"})
        return "a value"

    url = f"{serve(app, wire, lifespan='off').ws}"
    with connect(f"{url}/accepted") as websocket:
        assert closed(websocket) == (1011, "internal error")
    with pytest.raises(InvalidStatus) as refused, connect(f"{url}/"):
        pass
    assert refused.value.response.status_code == 500
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == [
        "ASGI callable should return None, but returned 'a value'."
    ] * 2


@pytest.mark.parametrize("implementation", ["wire", "wire-asyncio", "sansio", "wsproto"])
def test_of_two_pending_receives_one_may_be_cancelled_and_the_other_still_hears(
    serve: Serve, implementation: str
) -> None:
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        pending = [asyncio.create_task(receive()) for _ in range(3)]
        await asyncio.sleep(0)
        for task in (pending[0], pending[2]):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await send({"type": "websocket.send", "text": "one was cancelled"})
        heard.append((await pending[1])["text"])
        heard.append((await receive())["text"])
        await send({"type": "websocket.close", "code": 4000})

    with connect(f"{serve(app, implementation, lifespan='off').ws}/") as websocket:
        assert websocket.recv(timeout=5) == "one was cancelled"
        websocket.send("first")
        websocket.send("second")
        assert closed(websocket)[0] == 4000
    assert heard == ["first", "second"]


def test_every_pending_receive_hears_that_the_peer_has_left(serve: Serve, wire: str) -> None:
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        heard.extend(await asyncio.gather(receive(), receive()))
        heard.append(await receive())

    with connect(f"{serve(app, wire, lifespan='off').ws}/") as websocket:
        websocket.close(4123, "bye")
    within(5, lambda: len(heard) == 3, "the end to be told")
    assert heard == [{"type": "websocket.disconnect", "code": 4123, "reason": "bye"}] * 3


def test_a_stop_refuses_who_is_not_accepted_yet_with_503_and_when_to_come_back(serve: Serve, wire: str) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([await receive(), await receive()])

    served = serve(app, wire, lifespan="off")
    with served.dial() as peer:
        peer.sendall(HANDSHAKE)
        within(5, lambda: served.server.server_state.tasks, "the app to run")
        served.stop()
        answer = peer.recv(4096)
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: ")
    assert [event["type"] for event in seen] == ["websocket.connect", "websocket.disconnect"]


def test_the_scope_is_that_of_uvicorn(serve: Serve) -> None:
    scopes: list[Scope] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            scopes.append(scope)
            await receive()
            await send({"type": "websocket.close"})

    for implementation in ("wire", "sansio"):
        served = serve(app, implementation, root_path="/api", lifespan="off")
        with (
            pytest.raises(InvalidStatus),
            connect(f"{served.ws}/a%20b?x=%20y", subprotocols=["a", "b"], user_agent_header="test"),  # type: ignore[list-item]
        ):
            pass
    ours, theirs = scopes
    assert "hubbub.wire" in ours["extensions"]
    for scope in scopes:
        scope["extensions"].pop("hubbub.wire", None)
        scope["headers"] = [
            (name, b"" if name in (b"host", b"sec-websocket-key") else value) for name, value in scope["headers"]
        ]
        scope["client"], scope["server"] = scope["client"][0], scope["server"][0]
    assert ours == theirs


def test_proxy_headers_name_the_client(serve: Serve, wire: str) -> None:
    clients: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            clients.append((scope["client"][0], scope["scheme"]))
            await receive()
            await send({"type": "websocket.close"})

    headers = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    url = f"{serve(app, wire, lifespan='off').ws}/"
    with pytest.raises(InvalidStatus), connect(url, additional_headers=headers):
        pass
    assert clients == [("203.0.113.9", "wss")]


def test_limit_concurrency_answers_503(plain: FastAPI, serve: Serve, wire: str) -> None:
    url = f"{serve(plain, wire, limit_concurrency=2).ws}/echo"
    with connect(url), connect(url):
        with pytest.raises(InvalidStatus) as refused, connect(url):
            pass
        assert refused.value.response.status_code == 503


@pytest.mark.parametrize("access_log", [True, False])
def test_the_access_log_is_kept_as_configured_and_has_no_tokens(
    plain: FastAPI, serve: Serve, wire: str, access_log: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    url = f"{serve(plain, wire, access_log=access_log).ws}"
    with connect(f"{url}/echo?token=SECRET&room=1"):
        pass
    with pytest.raises(InvalidStatus), connect(f"{url}/refuse?access_token=SECRET"):
        pass
    assert "SECRET" not in caplog.text
    assert ('"WebSocket /echo?token=***&room=1" [accepted]' in caplog.text) == access_log
    assert ('"WebSocket /refuse?access_token=***" 403' in caplog.text) == access_log


def test_a_stop_closes_1012_with_a_reason_and_the_app_sees_it(serve: Serve, wire: str) -> None:
    seen: list[Any] = []
    app = FastAPI()

    @app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await websocket.receive_text()
        except WebSocketDisconnect as disconnect:
            seen.append(disconnect.code)

    served = serve(app, wire)
    with connect(f"{served.ws}/") as websocket:
        served.server.should_exit = True
        code, reason = closed(websocket)
        assert code == 1012
        assert "come back" in reason
    served.stop()
    assert seen == [1012]


def test_a_stop_with_a_peer_that_does_not_read_ends(serve: Serve, wire: str) -> None:
    app = FastAPI()

    @app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await websocket.send_bytes(b"x" * 100_000)

    served = serve(app, wire)
    with served.dial() as sleeper:
        sleeper.sendall(HANDSHAKE)
        connections = served.server.server_state.connections
        within(5, lambda: any(getattr(c, "paused", False) for c in tuple(connections)), "the buffers to fill")
        begun = time.monotonic()
        served.stop()
        assert time.monotonic() - begun < 4


def test_a_ping_to_a_slow_reader_is_never_taken_to_have_arrived_before_it_has(serve: Serve, wire: str) -> None:
    """What TLS hides below the buffer that it tells of lies before the ping as well."""
    reach: list[int] = []
    app = FastAPI()

    @app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        transport = websocket.scope["extensions"]["hubbub.wire"]["transport"]
        while not transport.paused:
            transport.push(transport.framing.join(("x" * 10_000,)))
        transport.ping(b"arrived")
        reach.append(transport.reach())
        await websocket.receive()

    served = serve(app, wire)
    with served.dial() as peer:
        raw = Counted(peer.raw if served.encrypted else peer)
        if served.encrypted:
            peer.raw = raw
        peer.sendall(HANDSHAKE)
        within(5, lambda: bool(reach), "the buffers to fill")
        end = b""
        while not end.endswith(b"arrived"):
            end = end[-10:] + (peer if served.encrypted else raw).recv(1 << 16)
        assert reach[0] >= raw.received


class Counted:
    """A socket that counts what it receives."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.received = 0

    def recv(self, size: int) -> bytes:
        data: bytes = self._raw.recv(size)
        self.received += len(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


def test_a_slow_app_is_not_flooded_and_its_client_is_not_cut(serve: Serve, wire: str) -> None:
    """Reading pauses behind the app, and a pong that cannot be seen is not missed."""
    app = FastAPI()
    count = 500

    @app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await asyncio.sleep(2)
        for _ in range(count):
            await websocket.receive_text()
        await websocket.send_text("all")

    served = serve(app, wire, ws_ping_interval=0.2, ws_ping_timeout=0.2)
    with connect(f"{served.ws}/", compression=None) as websocket:
        websocket.send("x")
        for _ in range(count - 1):
            websocket.send("x" * 1000)
        connection = next(iter(served.server.server_state.connections))
        within(1, lambda: not connection.reading, "reading to pause")
        assert websocket.recv(timeout=10) == "all"


def test_a_peer_that_answers_no_ping_is_cut_off(plain: FastAPI, serve: Serve, wire: str) -> None:
    served = serve(plain, wire, ws_ping_interval=0.3, ws_ping_timeout=0.3)
    with served.dial() as silent:
        silent.sendall(HANDSHAKE.replace(b"GET / ", b"GET /echo "))
        silent.settimeout(5)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while data := silent.recv(4096):
                received += data
        assert b"101 Switching" in received
        assert received.endswith(b"\x03\xf3no answer to a ping")  # 1011


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"GET /", b"POST /"), b"405"),
        ((b"Version: 13", b"Version: 8"), b"426"),
        ((b"Key: dGhlIHNhbXBsZSBub25jZQ==", b"Key: short"), b"400"),
    ],
)
def test_a_wrong_handshake_is_answered_with_what_is_wrong(
    plain: FastAPI, serve: Serve, wire: str, change: tuple[bytes, bytes], status: bytes
) -> None:
    with serve(plain, wire).dial() as peer:
        peer.sendall(HANDSHAKE.replace(*change))
        assert peer.recv(4096).split(b" ")[1] == status


def test_a_handshake_may_have_a_whole_uri_and_two_connection_fields(plain: FastAPI, serve: Serve) -> None:
    seen: list[Any] = []

    @plain.websocket("/seen")
    async def endpoint(websocket: WebSocket) -> None:
        seen.append((websocket.url.path, websocket.url.query, websocket.headers["host"]))
        await websocket.close()

    with serve(plain, "wire").dial() as peer:
        handshake = HANDSHAKE.replace(b"GET / ", b"GET http://hub.example:8000/seen?a=1 ")
        peer.sendall(handshake.replace(b"Connection: Upgrade", b"Connection: Upgrade\r\nConnection: keep-alive"))
        assert peer.recv(4096).startswith(b"HTTP/1.1 403 ")
    assert seen == [("/seen", "a=1", "hub.example:8000")]


def test_bytes_that_are_no_frames_close_1002_with_a_reason(plain: FastAPI, serve: Serve, wire: str) -> None:
    with serve(plain, wire).dial() as peer:
        peer.sendall(HANDSHAKE.replace(b"GET / ", b"GET /echo "))
        peer.recv(4096)
        peer.sendall(b"\x81\x01x")
        answer = peer.recv(4096)
        assert answer[0] == 0x88
        assert answer[2:4] == b"\x03\xea"
        assert answer[4:]


def test_what_came_before_a_fault_is_answered_before_the_close(plain: FastAPI, serve: Serve, wire: str) -> None:
    with serve(plain, wire).dial() as peer:
        peer.sendall(HANDSHAKE.replace(b"GET / ", b"GET /echo "))
        peer.recv(4096)
        peer.sendall(b"\x81\x82\0\0\0\0ok" + b"\x83\x80\0\0\0\0")
        answer = b""
        while data := peer.recv(4096):
            answer += data
        assert answer.startswith(b"\x81\x02ok\x88")


def test_a_head_that_never_ends_is_answered_408(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    from hubbub.transports import http

    monkeypatch.setenv("HUBBUB_HANDSHAKE_TIMEOUT", "0.2")
    http._settings.cache_clear()
    try:
        with serve(FastAPI(), "wire").dial() as peer:
            peer.sendall(b"GET / HTTP/1.1\r\nHost:")
            assert b"408" in peer.recv(4096)
            assert peer.recv(4096) == b""
    finally:
        http._settings.cache_clear()


def test_headers_that_would_break_out_of_their_line_are_refused(serve: Serve, wire: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept", "headers": [(b"x", b"a\r\nset-cookie: stolen")]})

    with pytest.raises(InvalidStatus) as refused, connect(f"{serve(app, wire, lifespan='off').ws}/"):
        pass
    assert refused.value.response.status_code == 500
    assert "set-cookie" not in refused.value.response.headers


def test_a_wrong_order_of_asgi_messages_is_an_error_of_the_app(serve: Serve, wire: str) -> None:
    errors: list[str] = []

    async def attempt(send: Any, message: Any) -> None:
        try:
            await send(message)
        except RuntimeError as error:
            errors.append(str(error))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            return
        await receive()
        await attempt(send, {"type": "websocket.send", "text": "too early"})
        await send({"type": "websocket.accept"})
        await attempt(send, {"type": "websocket.accept"})
        await attempt(send, {"type": "websocket.close", "code": 42})
        await send({"type": "websocket.close", "code": 4001})
        await attempt(send, {"type": "websocket.close"})
        errors.append("end")

    with connect(f"{serve(app, wire, lifespan='off').ws}/") as websocket:
        assert closed(websocket)[0] == 4001
    within(3, lambda: errors[-1:] == ["end"], "the app's end")
    assert len(errors) == 5


def test_after_the_peer_has_gone_send_raises_oserror(serve: Serve, wire: str) -> None:
    raised: list[type[BaseException]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            return
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["type"] == "websocket.disconnect"
        try:
            await send({"type": "websocket.send", "text": "too late"})
        except OSError as error:
            raised.append(type(error))
            raise

    with connect(f"{serve(app, wire, lifespan='off').ws}/"):
        pass
    within(3, lambda: raised, "the error")


def test_a_connection_that_the_app_attached_to_outlives_the_app(serve: Serve, wire: str) -> None:
    """What a session of the hub does: the coroutine returns, the callbacks stay."""
    from hubbub.hub.backlog import Backlog
    from hubbub.hub.heartbeat import Heartbeat
    from hubbub.hub.transport import Policy

    class Session:
        def __init__(self, transport: Protocol) -> None:
            self.transport = transport
            self.goodbyes: list[Any] = []

        def on_messages(self, messages: Any, count: int, size: int) -> None:
            self.transport.push(self.transport.framing.join(messages))

        def on_lost(self, goodbye: Any) -> None:
            self.goodbyes.append(goodbye)

        def on_fault(self, fault: Any) -> None:
            self.goodbyes.append(fault)

    sessions: list[Session] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            return
        await receive()
        await send({"type": "websocket.accept"})
        transport = scope["extensions"]["hubbub.wire"]["transport"]
        sessions.append(Session(transport))
        transport.attach(sessions[0], Policy(1000, 1000, 1.0, 5.0, 5.0, Heartbeat(5.0, 5.0), Backlog(1000, 5.0)))

    served = serve(app, wire, lifespan="off")
    with connect(f"{served.ws}/") as websocket:
        within(3, lambda: sessions and not served.server.server_state.tasks, "the app's end")
        websocket.send("still there")
        assert websocket.recv(timeout=5) == "still there"
        websocket.send(b"binary too")
        assert websocket.recv(timeout=5) == b"binary too"
    within(3, lambda: len(sessions[0].goodbyes) == 1, "the goodbye")


def test_endless_streams_end_when_the_peer_goes(serve: Serve, wire: str) -> None:
    ended: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            return
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "bytes": b"x" * 10_000})
                await asyncio.sleep(0)
        except OSError:
            ended.append("ended")

    with connect(f"{serve(app, wire, lifespan='off').ws}/", compression=None, close_timeout=0.5) as websocket:
        assert websocket.recv(timeout=5)
        with contextlib.suppress(ConnectionClosed):
            websocket.close()
    within(5, lambda: ended, "the stream's end")


def test_a_send_that_waits_for_a_peer_that_goes_raises_instead_of_returning_as_if_it_had_sent(
    serve: Serve, wire: str
) -> None:
    ended: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            return
        await receive()
        await send({"type": "websocket.accept"})
        try:
            await send({"type": "websocket.send", "bytes": b"x" * 30_000_000})
            ended.append("returned")
        except OSError as error:
            ended.append(str(error))

    served = serve(app, wire, lifespan="off")
    with served.dial(receive_buffer=4096) as peer:
        peer.sendall(HANDSHAKE)
        connections = served.server.server_state.connections
        within(5, lambda: any(getattr(c, "paused", False) for c in tuple(connections)), "the buffers to fill")
    within(5, lambda: ended, "the end of the send")
    assert ended == ["the client is gone"]


def test_a_flood_of_pings_by_a_peer_that_does_not_read_queues_one_pong(serve: Serve, wire: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            return
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(300):
            await send({"type": "websocket.send", "bytes": b"x" * 100_000})

    served = serve(app, wire, lifespan="off")
    with served.dial(receive_buffer=4096) as flooder:
        flooder.sendall(HANDSHAKE)
        connections = served.server.server_state.connections
        within(5, lambda: any(getattr(c, "paused", False) for c in tuple(connections)), "the buffers to fill")
        (connection,) = connections
        before = connection._transport.get_write_buffer_size()
        ping = b"\x89\xfd\0\0\0\0" + b"p" * 125
        for _ in range(20):
            flooder.sendall(ping * 1000)
        within(5, lambda: connection._pong is not None, "the pings to arrive")
        assert connection._transport.get_write_buffer_size() <= before


def test_a_head_that_is_too_large_is_answered_431(serve: Serve) -> None:
    with serve(FastAPI(), "wire").dial() as peer:
        with contextlib.suppress(OSError):
            peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            for number in range(2000):
                peer.sendall(b"X-Header-%d: %s\r\n" % (number, b"x" * 1000))
        assert b" 431 " in peer.recv(4096)


def test_a_large_upload_is_no_large_head(serve: Serve) -> None:
    import httpx
    from fastapi import Request

    app = FastAPI()

    @app.post("/")
    async def upload(request: Request) -> int:
        return len(await request.body())

    url = f"{serve(app, 'wire').http}/"
    assert httpx.post(url, content=b"x" * 3_000_000).json() == 3_000_000


def test_a_websocket_is_taken_once(serve: Serve, implementation: str) -> None:
    from hubbub import Hub, UsageError

    hub = Hub(max_connections=2)
    app = FastAPI(lifespan=hub.lifespan)
    seen: list[str] = []

    @app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        async with hub.connect(websocket) as client:
            try:
                async with hub.connect(websocket):
                    seen.append("entered twice")
            except UsageError as error:
                seen.append(str(error))
            await client.send("done")

    url = f"{serve(app, implementation).ws}/"
    for _ in range(3):
        with connect(url) as websocket:
            assert websocket.recv(timeout=5) == "done"
        within(3, lambda: not hub.clients, "the client's end")
    assert len(seen) == 3
    assert all("has a client already" in sentence for sentence in seen)


def test_a_loop_of_awaited_sends_arrives_whole_though_the_peer_says_nothing(serve: Serve, implementation: str) -> None:
    from hubbub import Hub

    hub = Hub()
    app = FastAPI(lifespan=hub.lifespan)

    @app.websocket("/hub")
    async def by_the_hub(websocket: WebSocket) -> None:
        async with hub.connect(websocket) as client:
            for number in range(100):
                await client.send(f"{number} " + "x" * 5000)

    @app.websocket("/plain")
    async def by_itself(websocket: WebSocket) -> None:
        await websocket.accept()
        for number in range(100):
            await websocket.send_text(f"{number} " + "x" * 5000)
        await websocket.close()

    served = serve(app, implementation)
    for path in ("/hub", "/plain"):
        with connect(served.ws + path) as websocket:
            assert [str(websocket.recv(timeout=5)).split()[0] for _ in range(100)] == list(map(str, range(100)))
            assert closed(websocket)[0] == 1000


def test_a_loop_of_sends_leaves_the_others_their_turn(serve: Serve, implementation: str) -> None:
    from hubbub import Hub

    hub = Hub()
    app = FastAPI(lifespan=hub.lifespan)

    @app.websocket("/endless")
    async def endless(websocket: WebSocket) -> None:
        async with hub.connect(websocket) as client:
            while True:
                await client.send("tick")

    @app.get("/")
    async def page() -> str:
        return "page"

    served = serve(app, implementation)
    import httpx

    with served.dial() as peer:
        peer.sendall(HANDSHAKE.replace(b"GET / ", b"GET /endless "))
        peer.recv(4096)
        assert httpx.get(f"{served.http}/", timeout=5).json() == "page"
