"""HTTP on the fast path: what a peer may keep on the server before, between and behind its requests."""

import asyncio
import contextlib
import gc
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.requests import HTTPConnection
from tests.transports.conftest import Serve, Served
from tests.transports.test_connect import within
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from hubbub import Hub, Identity
from hubbub.settings import Settings

SHORT = Settings(handshake_timeout=0.3)
LOOPS = ("uvloop", "asyncio")
TINY = b"GET /number HTTP/1.1\r\n\r\n"
WEBSOCKET = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n"
)


class App:
    """Answers with the body of the request, counts requests, and keeps a stream open until it is told."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.number = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 1000})
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more and scope["method"] == "POST":
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        if scope["path"] == "/cycles":
            body = b"%d" % sum(type(thing) is RequestResponseCycle for thing in gc.get_objects())
        elif scope["path"] == "/number":
            self.number += 1
            body = b"%d" % self.number
        elif scope["path"] == "/upgrade":
            body = b",".join(name for name, _ in scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/stream":
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
            while not self.release.is_set():
                message = asyncio.create_task(receive())  # as an app does that polls for a disconnect
                await asyncio.wait({message}, timeout=0.01)
                message.cancel()
        await send({"type": "http.response.body", "body": body})


class Peer:
    """A socket, and the responses that come on it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 15)
        self._file = self.socket.makefile("rb")

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def sends(self, data: bytes) -> None:
        self.socket.sendall(data)

    def response(self) -> tuple[int, bytes]:
        """The next one."""
        status = int(self._file.readline().split()[1])
        fields = {}
        while (line := self._file.readline()) != b"\r\n":
            name, _, value = line.partition(b": ")
            fields[name] = value.strip()
        if fields.get(b"transfer-encoding") != b"chunked":
            return status, self._file.read(int(fields[b"content-length"]))
        body = b""
        while size := int(self._file.readline(), 16):
            body += self._file.read(size)
            self._file.readline()
        self._file.readline()
        return status, body

    def rest(self) -> bytes:
        """All that comes until the server closes."""
        return self._file.read()


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture(params=LOOPS)
def served(request: pytest.FixtureRequest, serve: Serve, app: App) -> Iterator[Served]:
    gc.collect()  # what tests before have left is not counted
    yield serve(app, "wire", loop=request.param)
    app.release.set()


Connect = Callable[[], Peer]


@pytest.fixture
def connect(served: Served) -> Iterator[Connect]:
    peers: list[Peer] = []

    def one() -> Peer:
        peers.append(Peer(served.port))
        return peers[-1]

    yield one
    for peer in peers:
        peer.close()


# An upgrade that is not WebSocket


def offering_h2c(body: bytes, *, chunked: bool) -> bytes:
    fields = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAA\r\n"
    if chunked:
        sent = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        sent = b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    return b"POST /echo HTTP/1.1\r\nHost: x\r\n" + fields + sent


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_a_request_that_offers_http2_has_its_body_and_is_followed_by_others(
    connect: Connect, size: int, *, chunked: bool
) -> None:
    peer, body = connect(), b"b" * size
    for _ in range(2):
        peer.sends(offering_h2c(body or b"", chunked=chunked and bool(body)))
        assert peer.response() == (200, body)
    peer.sends(TINY)
    assert peer.response() == (200, b"1")


def test_the_head_of_such_a_request_may_come_in_pieces_of_any_size(connect: Connect) -> None:
    request = offering_h2c(b"body", chunked=False)
    for at in range(1, len(request), 17):
        peer = connect()
        peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.sends(request[:at])
        peer.sends(request[at:])
        assert peer.response() == (200, b"body"), at


def test_an_offer_that_is_not_taken_is_not_shown_to_the_app(connect: Connect) -> None:
    peer = connect()
    peer.sends(b"GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: close, upgrade\r\nUpgrade: h2c\r\nX-Own: 1\r\n\r\n")
    assert peer.response() == (200, b"host,connection,x-own")
    assert peer.rest() == b""


@pytest.mark.parametrize(
    "fields",
    [
        b"Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
        b"Connection: Upgrade\r\nConnection: keep-alive\r\nUpgrade: websocket\r\n",
        b"Connection: keep-alive, Upgrade\r\nUpgrade: h2c, websocket\r\n",
        b"Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: WebSocket\r\n",
    ],
)
def test_a_websocket_is_opened_however_the_fields_of_its_offer_are_split(connect: Connect, fields: bytes) -> None:
    peer = connect()
    peer.sends(WEBSOCKET % fields)
    assert peer.socket.recv(12) == b"HTTP/1.1 101"


# Requests behind a response


def test_requests_sent_together_are_answered_in_order(connect: Connect) -> None:
    peer = connect()
    post = b"POST /echo HTTP/1.1\r\nContent-Length: 3000\r\n\r\n" + b"b" * 3000
    peer.sends((TINY + post) * 50)
    for number in range(50):
        assert peer.response() == (200, b"%d" % (number + 1))
        assert peer.response() == (200, b"b" * 3000)


@pytest.mark.parametrize("size", [1, 1023, 1024, 70_000, 1_000_000])
def test_a_body_whose_length_is_known_is_whole_and_what_follows_it_is_not_part_of_it(
    connect: Connect, size: int
) -> None:
    peer = connect()
    peer.sends(b"POST /echo HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (size, b"b" * size) + TINY * 3)
    assert peer.response() == (200, b"b" * size)
    assert [peer.response() for _ in range(3)] == [(200, b"1"), (200, b"2"), (200, b"3")]


CHUNKED = b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
CONFUSING = b"\r\n0\r\n\r\nGET /number HTTP/1.1\r\n\r\n0;a\r\n000\n0 \r\n00a\r\n0"


def in_chunks(body: bytes, size: int) -> bytes:
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


@pytest.mark.parametrize("content", [b"b", b"\n", b"0", CONFUSING], ids=["b", "lines", "zeros", "ends of bodies"])
def test_a_chunked_body_is_whole_and_what_follows_it_is_not_part_of_it(connect: Connect, content: bytes) -> None:
    peer, number = connect(), 0
    for size in (1, 15, 16, 1000, 66_000, 1_000_000):
        body = content * (min(200_000, size * 2000) // len(content))
        peer.sends(CHUNKED % b"/echo" + in_chunks(body, size) + b"0\r\n\r\n" + TINY * 3)
        assert peer.response() == (200, body), size
        for _ in range(3):
            number += 1
            assert peer.response() == (200, b"%d" % number)


@pytest.mark.parametrize(
    "end",
    [
        b"0\r\n\r\n",
        b"0000\r\n\r\n",
        b"0;a=b\r\n\r\n",
        b"0\r\na: " + b"b" * 3000 + b"\r\n\r\n",
        b"0;" + b"a" * 3000 + b"\r\n\r\n",
    ],
    ids=["zero", "zeros", "an extension", "a long trailer", "a long extension"],
)
def test_requests_behind_a_chunked_body_are_kept_as_bytes_wherever_reads_divide_its_end(
    connect: Connect, app: App, end: bytes
) -> None:
    other = connect()
    splits = itertools.product((10, 70_000), (*range(min(len(end), 12) + 3), max(0, len(end) - 1500)))
    for size, behind in splits:
        sent = CHUNKED % b"/stream" + in_chunks(b"b" * size, 10_000) + end
        peer = connect()
        peer.sends(sent[: len(sent) - behind])
        other.sends(b"GET /cycles HTTP/1.1\r\n\r\n")
        before = int(other.response()[1])  # and the server has read what was sent
        peer.sends(sent[len(sent) - behind :] + TINY * 2500)
        assert b" 200 " in peer.socket.recv(4096)
        other.sends(b"GET /cycles HTTP/1.1\r\n\r\n")
        assert int(other.response()[1]) < before + 80, (size, behind)


@pytest.mark.parametrize(
    ("field", "body"),
    [
        (b"Content-Length: 70000", b"b" * 70_000),
        (b"Transfer-Encoding: chunked", in_chunks(b"b" * 70_000, 10_000) + b"0\r\n\r\n"),
    ],
    ids=["length", "chunked"],
)
def test_requests_behind_a_body_that_was_answered_before_its_end_are_kept_as_bytes(
    connect: Connect, app: App, field: bytes, body: bytes
) -> None:
    peer, other = connect(), connect()
    peer.sends(b"PUT /number HTTP/1.1\r\n%b\r\n\r\n%b" % (field, body[:100]))
    assert peer.response() == (200, b"1")
    other.sends(b"GET /cycles HTTP/1.1\r\n\r\n")
    before = int(other.response()[1])
    peer.sends(body[100:] + b"GET /stream HTTP/1.1\r\n\r\n" + TINY * 2500)
    assert b" 200 " in peer.socket.recv(4096)
    other.sends(b"GET /cycles HTTP/1.1\r\n\r\n")
    assert int(other.response()[1]) < before + 80


def test_requests_behind_a_running_response_are_kept_as_bytes_and_answered_after_it(connect: Connect, app: App) -> None:
    peer, other = connect(), connect()
    peer.sends(b"GET /stream HTTP/1.1\r\n\r\n" + TINY * 2500)
    for _ in range(3):
        other.sends(b"GET /cycles HTTP/1.1\r\n\r\n")
        status, count = other.response()
        assert (status, int(count) < 80) == (200, True), count
    app.release.set()
    assert peer.response() == (200, b"begun")
    for number in range(2500):
        assert peer.response() == (200, b"%d" % (number + 1))


def test_no_more_is_read_behind_a_running_response_than_a_bound(connect: Connect, app: App) -> None:
    peer = connect()
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    peer.sends(b"GET /stream HTTP/1.1\r\n\r\n")
    assert b" 200 " in peer.socket.recv(4096, socket.MSG_PEEK)
    peer.socket.settimeout(1)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 64 * 1024 * 1024:
            sent += peer.socket.send(TINY * 4000)
    assert sent < 32 * 1024 * 1024, "more than the system's own buffers take"


@pytest.mark.parametrize("rubbish", [b"\0\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200])
def test_rubbish_behind_a_running_response_ends_the_connection_behind_it_and_says_nothing_in_it(
    connect: Connect, app: App, rubbish: bytes
) -> None:
    peer, other = connect(), connect()
    peer.sends(b"GET /stream HTTP/1.1\r\n\r\n" + rubbish)
    other.sends(TINY)
    assert other.response() == (200, b"1")
    app.release.set()
    assert peer.response() == (200, b"begun")
    assert peer.rest() == b""


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(("implementation", "ping"), [("wire", 60.0), ("sansio", 0.2)])
def test_a_stream_ends_with_its_peer_though_another_request_waits_behind_it(
    serve: Serve, loop: str, implementation: str, ping: float
) -> None:
    """uvicorn's own HTTP protocol tells of that end to the request that waits: the stream notices at the next ping."""
    hub = Hub(allow_anonymous=True, max_connections=1, session_ping_interval=ping)
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router)
    served = serve(app, implementation, loop=loop)
    stream = b"GET /connection/uni_sse HTTP/1.1\r\nHost: x\r\n\r\n"

    def is_taken() -> bool:
        with closing(Peer(served.port)) as peer:
            peer.sends(stream + TINY)
            return b" 200 " in peer.socket.recv(4096)

    assert is_taken()
    within(5, is_taken, "the stream before to end")


@pytest.mark.parametrize("loop", LOOPS)
def test_a_stream_that_has_ended_leaves_the_connection_as_it_was(serve: Serve, loop: str) -> None:
    """A download behind it may stand still for longer than a stream."""
    hub = Hub()
    hub.on_connect(lambda: None)
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router)

    @app.get("/silence")
    async def silence(connection: HTTPConnection) -> int:
        transport = connection.scope["hubbub.server_send"].__self__.transport
        limit: int = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        return limit

    with closing(Peer(serve(app, "wire", loop=loop).port)) as peer:
        peer.sends(b"GET /connection/uni_sse HTTP/1.1\r\nHost: x\r\n\r\n")
        assert peer.response()[0] == 200
        peer.sends(b"GET /silence HTTP/1.1\r\nHost: x\r\n\r\n")
        assert peer.response() == (200, b"0")


def test_an_upgrade_behind_a_running_response_takes_no_connection_over(connect: Connect, app: App) -> None:
    peer, other = connect(), connect()
    peer.sends(b"GET /stream HTTP/1.1\r\n\r\n" + WEBSOCKET % b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
    other.sends(TINY)
    assert other.response() == (200, b"1")
    app.release.set()
    assert peer.response() == (200, b"begun")
    assert b" 101 " not in peer.rest()


# Heads


@pytest.mark.parametrize(("fields", "status"), [(126, 200), (127, 200), (128, 431), (18_000, 431)])
def test_a_head_has_no_more_fields_than_the_limit(connect: Connect, fields: int, status: int) -> None:
    peer = connect()
    peer.sends(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a:\r\n" * fields + b"\r\n")
    assert peer.response()[0] == status


@pytest.mark.parametrize(("size", "status"), [(60_000, 200), (70_000, 431)])
def test_a_head_is_no_larger_than_the_limit_though_it_is_read_at_once(connect: Connect, size: int, status: int) -> None:
    for head in (b"GET / HTTP/1.1\r\na: %s\r\n\r\n", b"GET /%s HTTP/1.1\r\n\r\n"):
        peer = connect()
        peer.sends(head % (b"b" * size))
        assert peer.response()[0] == status


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize(
    "end",
    [
        b"0\r\n" + b"a: b\r\n" * 20_000,
        b"0\r\na: " + b"b" * 200_000 + b"\r\n\r\n",
        b"0;a=" + b"b" * 200_000 + b"\r\n\r\n",
        b"1;a=" + b"b" * 200_000 + b"\r\nb\r\n0\r\n\r\n",
    ],
    ids=["many trailers", "a large one", "an extension at the end", "an extension before it"],
)
def test_what_is_around_the_chunks_of_a_body_is_bounded_as_heads_are(connect: Connect, end: bytes, size: int) -> None:
    peer = connect()
    try:
        peer.sends(CHUNKED % b"/echo" + in_chunks(b"b" * size, 60_000) + end)
        assert b"200" not in peer.rest()
    except ConnectionError:
        pass


def test_chunks_may_have_extensions_however_many_there_are(connect: Connect) -> None:
    peer = connect()
    chunk = b"64;name=value;other\r\n" + b"b" * 100 + b"\r\n"
    peer.sends(CHUNKED % b"/echo" + chunk * 10_000 + b"0\r\n\r\n")
    assert peer.response() == (200, b"b" * 1_000_000)


def test_a_head_that_does_not_come_is_waited_for_no_longer_than_a_handshake(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubbub.transports.http._settings", lambda: SHORT)
    silent, slow = connect(), connect()
    slow.sends(b"GET / HTTP/1.1\r\nHo")
    for peer in (silent, slow):
        assert peer.response()[0] == 408
        assert peer.rest() == b""


def test_a_head_that_has_begun_behind_a_response_has_its_time_from_the_end_of_that_response(
    connect: Connect, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubbub.transports.http._settings", lambda: SHORT)
    peer, other = connect(), connect()
    peer.sends(b"GET /stream HTTP/1.1\r\n\r\nGET / HT")
    assert other.response()[0] == 408, "as long as the other one would have had"
    app.release.set()
    assert peer.response() == (200, b"begun")
    assert peer.response()[0] == 408


# Sockets


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("ws", ["hubbub.wire:Protocol", "websockets-sansio"])
@pytest.mark.parametrize("http", ["hubbub.wire:HttpProtocol", "h11"])
@pytest.mark.parametrize("path", ["/connection/websocket", "/connection/uni_sse"])
def test_small_messages_are_sent_at_once_on_a_socket_that_the_server_was_given(
    loop: str, ws: str, http: str, path: str
) -> None:
    seen: list[int] = []
    hub = Hub(allow_anonymous=True)

    @hub.on_connect
    async def on_connect(connection: HTTPConnection) -> Identity:
        wire = connection.scope.get("extensions", {}).get("hubbub.wire")
        owner = wire["transport"]._transport if wire else connection.scope["hubbub.server_send"].__self__.transport
        seen.append(owner.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        return Identity(user="")

    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    handed = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=listening.detach())  # as uvicorn's --fd does it
    server = uvicorn.Server(uvicorn.Config(app, ws=ws, http=http, loop=loop, log_config=None))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run, args=([handed],), daemon=True)
    thread.start()
    with closing(Peer(port)) as peer:
        if path.endswith("sse"):
            peer.sends(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        else:
            upgrade = WEBSOCKET % b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
            peer.sends(upgrade.replace(b"/ws", path.encode()))
            assert b" 101 " in peer.socket.recv(4096)
            peer.sends(masked(b'{"id":1,"connect":{}}'))
        while b'"client"' not in peer.socket.recv(4096):
            pass
        server.should_exit = True
        thread.join(15)
    assert not thread.is_alive()
    assert seen == [1]


def masked(text: bytes) -> bytes:
    """A text frame of a client, with a mask of zeros."""
    return bytes((0x81, 0x80 | len(text))) + bytes(4) + text
