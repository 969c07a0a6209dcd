"""The connections of a scenario: each collects what it is sent, one message at a time, until it ends."""

import asyncio
import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from urllib.parse import quote

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from . import protobuf
from .scenario import Open

BARRIER = 77777777
BARRIER_COMMAND = f'{{"id":{BARRIER},"rpc":{{"method":"barrier"}}}}'
HEADERS = (
    "content-type", "cache-control", "pragma", "expire", "x-accel-buffering", "allow", "access-control-max-age",
    "access-control-allow-methods", "access-control-allow-origin", "access-control-allow-credentials",
    "access-control-allow-headers", "x-content-type-options",
)  # fmt: skip
"""The headers of answers that are recorded."""

PATHS = {
    "ws": "/connection/websocket",
    "http_stream": "/connection/http_stream",
    "sse": "/connection/sse",
    "uni_ws": "/connection/uni_websocket",
    "uni_sse": "/connection/uni_sse",
    "uni_http_stream": "/connection/uni_http_stream",
}
EMULATED = ("http_stream", "sse")
Answer = dict[str, object]


def answer(response: httpx.Response, body: str | None = None) -> Answer:
    """What is recorded of an HTTP response."""
    headers = {name: response.headers[name] for name in HEADERS if name in response.headers}
    return {"status": response.status_code, "headers": headers, **({} if body is None else {"body": body})}


class Connection(ABC):
    """One connection of a scenario: what it was sent and is not yet taken, and how it was closed."""

    def __init__(self, step: Open) -> None:
        self.step = step
        self.messages: list[str] = []
        self.pings = 0
        self.pings_awaited = 0
        self.closed: Answer | None = None
        self.opened: Answer = {}
        self.facts: dict[str, str] = {}
        self.barriers = 0
        self.owed = 0
        self.changed = asyncio.Event()
        self.reader: asyncio.Task[None] | None = None

    @property
    def barred(self) -> bool:
        """Whether a barrier can be put: connected, open, and able to send."""
        return "client" in self.facts and self.closed is None and not self.step.transport.startswith("uni_")

    @property
    def told_to_go(self) -> bool:
        """Whether the last message says that the server disconnects."""
        return bool(self.messages) and '"disconnect":{"code":' in self.messages[-1]

    @abstractmethod
    async def open(self) -> None:
        """Opens it, and begins to read."""

    @abstractmethod
    async def send(self, frame: str | bytes, *, as_text: bool = False) -> Answer | None:
        """Sends the frame; the answer is that of the POST, if it took one."""

    async def close(self) -> None:
        """Goes away."""
        self.end({"by": "us"})
        if self.reader:
            self.reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.reader

    def receive(self, text: str) -> None:
        """Takes one message as it came."""
        if text == "{}":
            self.pings += 1
            self.owed += self.step.answers_pings and not self.step.transport.startswith("uni_")
        elif text.startswith(f'{{"id":{BARRIER},'):
            self.barriers += 1
        else:
            self._learn(text)
            self.messages.append(text)
        self.changed.set()

    async def _answer_pings(self) -> None:
        while self.owed:
            self.owed -= 1
            await self.send(b"\x00" if self.step.protobuf else "{}")

    def _learn(self, text: str) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            return
        for key, value in _pairs(message):
            if key in ("client", "session", "node") and "connect" in message:
                self.facts.setdefault(key, str(value))
            elif key == "epoch":
                self.facts["epoch"] = str(value)

    def end(self, how: Answer) -> None:
        """Marks it closed, once."""
        if self.closed is None:
            self.closed = how
        self.changed.set()

    async def until(self, reached: Callable[[], bool], deadline: float) -> bool:
        """Waits until it is reached or the connection is closed; false at the deadline."""
        loop = asyncio.get_running_loop()
        while not reached() and self.closed is None:
            self.changed.clear()
            remaining = deadline - loop.time()
            if remaining <= 0:
                return False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), remaining)
        return True


def _pairs(value: object) -> list[tuple[str, object]]:
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in [(key, item), *_pairs(item)]]
    if isinstance(value, list):
        return [pair for item in value for pair in _pairs(item)]
    return []


class WebSocket(Connection):
    """A WebSocket, bidirectional or not."""

    def __init__(self, step: Open, base: str) -> None:
        super().__init__(step)
        query = step.query or (f"cf_connect={quote(step.body)}" if step.body else "")
        self.url = f"ws{base.removeprefix('http')}{PATHS[step.transport]}" + (f"?{query}" if query else "")
        self.socket: ClientConnection | None = None

    async def open(self) -> None:
        step = self.step
        extensions = [ClientPerMessageDeflateFactory()] if step.extensions else None
        try:
            self.socket = await connect(
                self.url, subprotocols=step.subprotocols or None, additional_headers=dict(step.headers),
                compression=None, extensions=extensions, ping_interval=None, max_size=None, proxy=None,
                close_timeout=2,
            )  # type: ignore[call-overload]  # fmt: skip
        except InvalidStatus as refused:
            response = refused.response
            self.opened = {"status": response.status_code, "body": bytes(response.body or b"").decode()}
            self.end({"by": "handshake"})
        except InvalidHandshake as refused:
            self.opened = {"handshake": type(refused).__name__}
            self.end({"by": "handshake"})
        else:
            self.opened = {"subprotocol": self.socket.subprotocol} if step.subprotocols else {}
            if step.extensions:
                self.opened["extensions"] = len(self.socket.protocol.extensions)
            self.reader = asyncio.create_task(self._read(self.socket))

    async def _read(self, socket: ClientConnection) -> None:
        try:
            while True:
                self._take(await socket.recv())
                await self._answer_pings()
        except ConnectionClosed as closed:
            if closed.rcvd is None:
                self.end({"code": 1006, "reason": ""})
            else:
                self.end({"code": closed.rcvd.code, "reason": closed.rcvd.reason})

    def _take(self, frame: str | bytes) -> None:
        if isinstance(frame, str) == self.step.protobuf:
            self.receive(f"*{'text' if isinstance(frame, str) else 'binary'} frame* {frame!r}")
        elif isinstance(frame, str):
            for line in frame.split("\n"):
                self.receive(line)
        else:
            messages, rest = protobuf.split(frame)
            for message in messages:
                self.receive(protobuf.decode("Reply", message))
            if rest:
                self.receive(f"*unfinished* {rest.hex()}")

    async def send(self, frame: str | bytes, *, as_text: bool = False) -> None:
        assert self.socket is not None
        if self.step.protobuf and isinstance(frame, str):
            frame = protobuf.commands(frame)
        with contextlib.suppress(ConnectionClosed):
            await self.socket.send(frame, text=True if as_text else None)

    async def close(self) -> None:
        self.end({"by": "us"})
        if self.socket is not None:
            await self.socket.close()
        await super().close()


class Stream(Connection):
    """A response that does not end: http_stream, sse, and their unidirectional forms."""

    def __init__(self, step: Open, base: str, client: httpx.AsyncClient) -> None:
        super().__init__(step)
        self.base = base
        self.client = client
        self.headed = asyncio.Event()
        self.events = step.transport.endswith("sse")

    async def open(self) -> None:
        self.reader = asyncio.create_task(self._read())
        await asyncio.wait_for(self.headed.wait(), 5)

    def _request(self) -> dict[str, object]:
        step = self.step
        method = step.method or ("GET" if self.events else "POST")
        url = self.base + PATHS[step.transport]
        if method == "GET":
            query = step.query or (f"cf_connect={quote(step.body)}" if step.body else "")
            return {"method": method, "url": f"{url}?{query}" if query else url, "headers": dict(step.headers)}
        kind = "application/octet-stream" if step.protobuf else "application/json"
        body = protobuf.commands(step.body) if step.protobuf and isinstance(step.body, str) else step.body
        return {"method": method, "url": url, "content": body, "headers": {"Content-Type": kind, **step.headers}}

    async def _read(self) -> None:
        try:
            async with self.client.stream(**self._request()) as response:  # type: ignore[arg-type]
                self.opened = answer(response)
                self.headed.set()
                if response.status_code != 200:
                    self.opened["body"] = (await response.aread()).decode()
                else:
                    await self._split(response.aiter_raw())
            self.end({"by": "end of the response"})
        except httpx.HTTPError as broken:
            self.end({"by": type(broken).__name__})
        finally:
            self.headed.set()

    async def _split(self, chunks: AsyncIterator[bytes]) -> None:
        rest = b""
        async for chunk in chunks:
            rest += chunk
            if self.events and "preamble" not in self.opened:
                self.opened["preamble"] = rest[:2].decode()
                rest = rest[2:]
            rest = self._messages(rest)
            await self._answer_pings()
            if rest and self.step.protobuf:
                self.receive("*a chunk ends within a message*")
        if rest:
            self.receive(f"*unfinished* {rest!r}")

    def _messages(self, data: bytes) -> bytes:
        if self.step.protobuf:
            messages, rest = protobuf.split(data)
            for message in messages:
                self.receive(protobuf.decode("Reply", message))
            return rest
        *texts, rest = data.split(b"\n\n" if self.events else b"\n")
        for text in texts:
            # The id is ours alone: it tells an EventSource, which comes back by itself, to stop.
            line = text.decode().removeprefix("id: ended\n") if self.events else text.decode()
            well = not self.events or line.startswith("data: ")
            self.receive(line.removeprefix("data: ") if well else f"*not an event* {line!r}")
        return rest

    async def send(self, frame: str | bytes, *, as_text: bool = False) -> Answer:
        node, session = self.facts.get("node", ""), self.facts.get("session", "")
        if self.step.protobuf:
            data = protobuf.commands(frame) if isinstance(frame, str) else frame
            body: str | bytes = protobuf.emulation(node, session, data)
            kind = "application/octet-stream"
        else:
            text = frame if isinstance(frame, str) else frame.decode()
            body, kind = json.dumps({"session": session, "node": node, "data": text}), "application/json"
        headers = {"Content-Type": kind}
        response = await self.client.post(f"{self.base}/emulation", content=body, headers=headers)
        return answer(response, response.text)


def make(step: Open, base: str, client: httpx.AsyncClient) -> Connection:
    """The connection that the step asks for, not yet open."""
    if step.transport in ("ws", "uni_ws"):
        return WebSocket(step, base)
    return Stream(step, base, client)
