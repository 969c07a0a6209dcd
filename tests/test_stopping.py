"""A stop that no signal told of: every session hears of it from the server itself, and nothing keeps the server."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Response
from tests.transports.conftest import Served
from websockets.sync.client import connect

from hubbub import Hub
from hubbub.hosting import hosting_server
from hubbub.settings import Settings

HTTP = {
    "fast path, uvloop": {"http": "hubbub.wire:HttpProtocol", "loop": "uvloop"},
    "fast path, asyncio": {"http": "hubbub.wire:HttpProtocol", "loop": "asyncio"},
    "httptools": {"http": "httptools"},
    "h11": {"http": "h11"},
}
OPENINGS = {
    "sse": b"GET /connection/sse?cf_connect=%7B%22id%22:1,%22connect%22:%7B%7D%7D HTTP/1.1\r\nHost: x\r\n\r\n",
    "uni_sse": b"GET /connection/uni_sse HTTP/1.1\r\nHost: x\r\n\r\n",
    "http_stream": b"POST /connection/http_stream HTTP/1.1\r\nHost: x\r\nContent-Length: 21\r\n\r\n"
    b'{"id":1,"connect":{}}',
}
LARGE = 16 * 1024 * 1024
"""Bytes of a response: more than the system's own buffers take."""
SHUTDOWN = b'"disconnect":{"code":3001,"reason":"shutdown"}'


def channels() -> FastAPI:
    hub = Hub(allow_anonymous=True)
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router)
    app.add_api_route("/ping", lambda: os.getpid())
    return app


def opened(port: int, opening: bytes) -> socket.socket:
    """A connection whose stream has begun."""
    peer = socket.create_connection(("127.0.0.1", port), 10)
    peer.sendall(opening)
    told = b""
    while b'"client"' not in told:
        told += peer.recv(4096)
    return peer


def rest_of(peer: socket.socket) -> bytes:
    with peer:
        return b"".join(iter(lambda: peer.recv(4096), b""))


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    started: list[Served] = []

    def start(app: Any, *, implementation: str = "wire", **options: Any) -> Served:
        started.append(Served(app, implementation, options))
        return started[-1]

    yield start
    for served in started:
        served.stop()


@pytest.mark.parametrize("opening", OPENINGS)
@pytest.mark.parametrize("http", HTTP)
def test_a_stream_ends_with_its_reason_when_the_server_is_told_to_exit(
    serve: Callable[..., Served], http: str, opening: str
) -> None:
    served = serve(channels(), **HTTP[http])
    peer = opened(served.port, OPENINGS[opening])
    served.stop()
    assert SHUTDOWN in rest_of(peer)


@pytest.mark.parametrize("ws", ["hubbub.wire:Protocol", "websockets-sansio", "wsproto"])
def test_a_session_on_a_websocket_is_told_of_the_stop_in_its_own_words(serve: Callable[..., Served], ws: str) -> None:
    served = serve(channels(), ws=ws)
    with connect(f"{served.ws}/connection/websocket") as peer:
        peer.send('{"id":1,"connect":{}}')
        assert json.loads(peer.recv(5))["connect"]
        served.stop()
        assert (peer.close_code, peer.close_reason) in {(3001, "shutdown"), (None, None)}
        with pytest.raises(Exception, match="3001"):
            peer.recv(5)


@pytest.mark.parametrize("http", HTTP)
def test_the_last_of_the_allowed_requests_ends_the_streams(serve: Callable[..., Served], http: str) -> None:
    served = serve(channels(), limit_max_requests=3, **HTTP[http])
    peer = opened(served.port, OPENINGS["uni_sse"])
    for _ in range(3):
        urllib.request.urlopen(f"{served.http}/ping", timeout=5).close()
    served.thread.join(10)
    assert not served.thread.is_alive()
    assert SHUTDOWN in rest_of(peer)


@pytest.mark.parametrize("path", ["/connection/http_stream", "/emulation", "/api/publish"])
@pytest.mark.parametrize("http", HTTP)
def test_a_body_that_does_not_come_keeps_no_server_longer_than_its_stop_may_take(
    serve: Callable[..., Served], http: str, path: str
) -> None:
    hub = Hub(stop_timeout=1, handshake_timeout=60, api_key="key", allow_anonymous=True)
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router)
    app.include_router(hub.api)
    served = serve(app, **HTTP[http])
    with socket.create_connection(("127.0.0.1", served.port), 10) as peer:
        fields = b"Host: x\r\nX-API-Key: key\r\nContent-Length: 100\r\nExpect: 100-continue\r\n"
        peer.sendall(b"POST %b HTTP/1.1\r\n%b\r\nab" % (path.encode(), fields))
        assert b" 100 " in peer.recv(100), "the hub does not wait for the body"
        served.stop()
        assert b" 408 " in rest_of(peer)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHo", b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_a_client_that_does_not_answer_the_close_of_tls_keeps_no_server(
    serve: Callable[..., Served], loop: str, sent: bytes
) -> None:
    served = serve(channels(), implementation="wire-tls", loop=loop)
    with served.dial() as peer:
        peer.sendall(sent)
        served.stop()


@pytest.mark.parametrize("implementation", ["wire", "wire-tls"])
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_client_that_does_not_read_the_end_of_a_response_keeps_no_server(
    serve: Callable[..., Served], large: FastAPI, monkeypatch: pytest.MonkeyPatch, implementation: str, loop: str
) -> None:
    monkeypatch.setattr("hubbub.transports.http._settings", lambda: Settings(stop_timeout=1))
    served = serve(large, implementation=implementation, loop=loop)
    with served.dial(receive_buffer=4096) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert peer.recv(100)
        served.stop()


@pytest.mark.parametrize("implementation", ["wire", "wire-tls"])
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_client_may_read_the_end_of_a_response_during_a_stop(
    serve: Callable[..., Served], large: FastAPI, monkeypatch: pytest.MonkeyPatch, implementation: str, loop: str
) -> None:
    monkeypatch.setattr("hubbub.transports.http._settings", lambda: Settings(close_timeout=0.1, stop_timeout=10))
    served = serve(large, implementation=implementation, loop=loop)
    with served.dial(receive_buffer=4096) as peer, served.dial() as idle:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        read = len(peer.recv(100))
        served.server.should_exit = True
        with contextlib.suppress(ConnectionError):
            while getattr(idle, "raw", idle).recv(4096):
                pass  # does not answer: it is cut off when close_timeout is over
        while more := len(peer.recv(65536)):
            read += more
        assert read > LARGE
        served.stop()


@pytest.fixture
def large() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def answer() -> Response:
        return Response(b"x" * LARGE)

    return app


def wrapped(app: FastAPI) -> Any:
    """An app with a middleware around all of it, which sends by a function of its own."""

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        async def own(message: Any) -> None:
            await send(message)

        await app({**scope}, receive, own)

    return outer


@pytest.mark.parametrize("http", HTTP)
def test_a_stream_that_is_not_read_keeps_no_server_whatever_is_around_the_app(
    serve: Callable[..., Served], http: str
) -> None:
    hub = Hub(allow_anonymous=True)
    hub.channel("room", may_subscribe="everyone")
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router)

    @app.get("/fill")
    async def fill() -> None:
        for _ in range(8):
            await hub.publish("room", "x" * 900_000)

    served = serve(wrapped(app), **HTTP[http])
    body = b'{"subs":{"room":{}}}'
    head = b"POST /connection/uni_http_stream HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.settimeout(10)
        peer.connect(("127.0.0.1", served.port))
        peer.sendall(head + body)
        assert peer.recv(100)
        urllib.request.urlopen(f"{served.http}/fill", timeout=10).close()
        served.stop()


def test_the_server_that_hosts_an_app_is_found_in_its_lifespan_and_restored_after_it(
    serve: Callable[..., Served],
) -> None:
    """The canary of what ``hubbub.hosting`` relies on."""
    found: list[uvicorn.Server | None] = []
    hub = Hub()

    async def lifespan(app: FastAPI) -> Any:
        found.append(hosting_server())
        async with hub.lifespan(app):
            assert "shutdown" in vars(found[0])
            yield
        found.append(hosting_server())

    served = serve(FastAPI(lifespan=lifespan))  # type: ignore[arg-type]
    served.stop()
    assert found == [served.server, None]


def test_each_of_two_servers_on_one_loop_is_found_by_its_own_app() -> None:
    found: dict[str, uvicorn.Server | None] = {}

    def server(name: str) -> uvicorn.Server:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert scope["type"] == "lifespan"
            await receive()
            await both.wait()
            found[name] = hosting_server()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})

        return uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))

    async def main() -> dict[str, uvicorn.Server]:
        servers = {name: server(name) for name in ("one", "two")}
        serving = [asyncio.create_task(one._serve()) for one in servers.values()]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        both.set()
        async with asyncio.timeout(10):
            while not all(one.started for one in servers.values()):
                await asyncio.sleep(0)
        for one in servers.values():
            one.should_exit = True
        await asyncio.gather(*serving)
        return servers

    both = asyncio.Event()
    assert asyncio.run(main()) == found


GUNICORN_APP = """
from fastapi import FastAPI
from hubbub import Hub
import os
hub = Hub(allow_anonymous=True)
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)
app.add_api_route("/ping", lambda: os.getpid())
"""


class Gunicorn:
    """gunicorn with one uvicorn worker."""

    def __init__(self, folder: Path, *options: str) -> None:
        (folder / "main.py").write_text(GUNICORN_APP)
        self._log = folder / "log"
        command = [sys.executable, "-m", "gunicorn", "main:app", "-k", "uvicorn_worker.UvicornWorker"]
        more = ["-b", "127.0.0.1:0", "--no-control-socket", *options]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *more], cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self._until(lambda: "Application startup complete" in self.log, "its start")
        self.port = int(re.findall(r"Listening at: http://127\.0\.0\.1:(\d+)", self.log)[0])

    @property
    def log(self) -> str:
        return self._log.read_text()

    def worker(self) -> int | None:
        """The process that answers; None while none does."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ping", timeout=2) as answer:
                return int(answer.read())
        except OSError:
            return None

    def until_another_worker_answers(self) -> None:
        first = self.worker()
        self._until(lambda: self.worker() not in (first, None), "another worker")

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 25
        while not condition():
            assert self.process.poll() is None, f"it ended before {what}:\n{self.log}"
            assert time.monotonic() < deadline, f"no sign of {what}:\n{self.log}"
            time.sleep(0.05)

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[Callable[..., Gunicorn]]:
    started: list[Gunicorn] = []

    def start(*options: str) -> Gunicorn:
        started.append(Gunicorn(tmp_path, *options))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def test_gunicorn_replaces_a_worker_that_has_served_its_requests_though_a_stream_is_open(
    gunicorn: Callable[..., Gunicorn],
) -> None:
    served = gunicorn("--max-requests", "5")
    peer = opened(served.port, OPENINGS["uni_sse"])
    served.until_another_worker_answers()
    assert SHUTDOWN in rest_of(peer)


@pytest.mark.parametrize("signum", [signal.SIGQUIT, signal.SIGINT, signal.SIGTERM])
def test_gunicorn_ends_at_a_signal_long_before_it_would_kill_its_workers(
    gunicorn: Callable[..., Gunicorn], signum: signal.Signals
) -> None:
    served = gunicorn("--graceful-timeout", "90")
    peer = opened(served.port, OPENINGS["uni_sse"])
    served.process.send_signal(signum)
    assert served.process.wait(30) == 0
    assert SHUTDOWN in rest_of(peer)
