"""Whether the fast path works with this uvicorn: its contract with protocol classes is not public API."""

import asyncio
import socket
from typing import Any

import uvicorn

from hubbub.canaries import ensure
from hubbub.protocol.frames import close_frame
from hubbub.transports.exchange import EXTENSION

_REQUEST = (
    b"GET %s HTTP/1.1\r\nhost: canary\r\nconnection: %s\r\nupgrade: websocket\r\n"
    b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n\r\n"
)
_MASKED_TEXT = b"\x81\x82\0\0\0\0hi"
_TEXT = b"\x81\x02hi"


async def fast_path() -> None:
    """Has uvicorn's HTTP protocol hand a connection over to ours, and ends it as a server that stops.

    Raises:
        Exception: something is not as the fast path needs it.
    """
    from uvicorn.server import ServerState

    from hubbub.transports.http import HttpProtocol
    from hubbub.transports.wire import Protocol

    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
            return
        await receive()
        await send({"type": "websocket.accept"})
        message = await receive()
        await send({"type": "websocket.send", "text": message["text"]})
        await receive()

    config = uvicorn.Config(app, ws=Protocol, http=HttpProtocol, lifespan="off", log_config=None)
    config.access_log = False  # afterwards: as an argument it would switch off the server's own log
    config.load()
    config.loaded_app = app  # without what traces it
    state = ServerState()

    def protocol() -> asyncio.Protocol:
        http = HttpProtocol(config=config, server_state=state, app_state={})
        http.access_log = False
        return http

    async with _Connection(protocol) as connection:
        connection.writer.write(_REQUEST % (b"/http", b"close"))
        answer = await connection.reader.read()
        ensure(answer.startswith(b"HTTP/1.1 204 "), "an HTTP request is answered")
    async with _Connection(protocol) as connection:
        connection.writer.write(_REQUEST % (b"/ws", b"upgrade"))
        answer = await connection.reader.readuntil(b"\r\n\r\n")
        ensure(answer.startswith(b"HTTP/1.1 101 "), "a WebSocket handshake is accepted")
        ensure(EXTENSION in scopes[-1]["extensions"], "the app sees the fast path")
        connection.writer.write(_MASKED_TEXT)
        ensure(await connection.reader.readexactly(len(_TEXT)) == _TEXT, "a message is echoed")
        kept: list[Any] = list(state.connections)
        ensure([type(one) for one in kept] == [Protocol], "the server knows the connection")
        kept[0].shutdown()
        ending = close_frame(1012, "")
        ensure((await connection.reader.readexactly(4))[2:4] == ending[2:4], "a stop closes with 1012")
        tasks = set(state.tasks)
    if tasks:
        await asyncio.wait(tasks)
    ensure(not state.connections, "the server forgets the connection")


class _Connection:
    """The client's side of a connection that a protocol of the server has the other side of."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    async def __aenter__(self) -> "_Connection":
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        self._server, _ = await loop.connect_accepted_socket(self._protocol, theirs)
        self.reader, self.writer = await asyncio.open_connection(sock=ours)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        await self.writer.wait_closed()
        self._server.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
