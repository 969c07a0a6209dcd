"""The server's side of ASGI: one request or one WebSocket, and what came out of it."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from starlette.types import ASGIApp, Message, Scope

Headers = dict[str, str]


def scope_of(kind: str, path: str, headers: Headers | Iterable[tuple[str, str]] = (), **more: Any) -> Scope:
    """What a server tells of a request."""
    pairs = headers.items() if isinstance(headers, dict) else headers
    return {
        "type": kind,
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"app.example"), *((name.encode(), value.encode()) for name, value in pairs)],
        "client": ("203.0.113.7", 50000),
        **more,
    }


class Caller:
    """One HTTP request: it sends a body, takes the answer as long as it reads, and may leave at any time."""

    def __init__(
        self,
        method: str = "POST",
        path: str = "/connection/sse",
        *,
        body: bytes | list[bytes] = b"",
        headers: Headers | Iterable[tuple[str, str]] = (),
        query: str = "",
    ) -> None:
        self.scope = scope_of("http", path, headers, method=method, query_string=query.encode())
        pieces = body if isinstance(body, list) else [body]
        self._coming: asyncio.Queue[Message] = asyncio.Queue()
        for number, piece in enumerate(pieces, 1):
            more = number < len(pieces)
            self._coming.put_nowait({"type": "http.request", "body": piece, "more_body": more})
        self._reads = asyncio.Event()
        self._reads.set()
        self._withheld = False
        self._then: Message | None = None
        self.sent: list[Message] = []
        self.fails: BaseException | None = None

    def stops_reading(self) -> None:
        self._reads.clear()

    def reads_on(self) -> None:
        self._reads.set()

    def tells(self, message: Message) -> None:
        """The server tells something of the request."""
        self._coming.put_nowait(message)

    def leaves(self) -> None:
        self.tells({"type": "http.disconnect"})

    def withholds_the_end(self, then: Message | None) -> None:
        """Sends ``then``, or nothing any more, in place of the last piece of the body."""
        self._withheld, self._then = True, then

    async def receive(self) -> Message:
        message = await self._coming.get()
        if self._withheld and not message.get("more_body", True):
            return self._then or await asyncio.Future()
        return message

    async def send(self, message: Message) -> None:
        await self._reads.wait()
        if self.fails is not None:
            raise self.fails
        self.sent.append(message)

    def calls(self, app: ASGIApp) -> "asyncio.Task[None]":
        """Begins the request."""

        async def run() -> None:
            await app(self.scope, self.receive, self.send)

        return asyncio.create_task(run())

    # What came

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> Headers:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def over(self) -> bool:
        """Whether the answer has come to its end."""
        return len(self.sent) > 1 and not self.sent[-1].get("more_body", False)

    def replies(self) -> list[Any]:
        """What a stream of lines or events has said."""
        lines = self.body.decode().split("\n")
        return [json.loads(line.removeprefix("data: ")) for line in lines if line.strip() and line != "id: ended"]


class Visitor:
    """One WebSocket: it is accepted or refused, says something, hears something, and leaves."""

    def __init__(
        self,
        path: str = "/connection/websocket",
        *,
        headers: Headers | Iterable[tuple[str, str]] = (),
        query: str = "",
        subprotocols: Iterable[str] = (),
        **more: Any,
    ) -> None:
        self.scope = scope_of(
            "websocket", path, headers, query_string=query.encode(), subprotocols=list(subprotocols), **more
        )
        self._coming: asyncio.Queue[Message] = asyncio.Queue()
        self._coming.put_nowait({"type": "websocket.connect"})
        self.sent: list[Message] = []
        self.fails: BaseException | None = None

    async def receive(self) -> Message:
        return await self._coming.get()

    async def send(self, message: Message) -> None:
        if self.fails is not None:
            raise self.fails
        self.sent.append(message)

    def calls(self, app: ASGIApp) -> "asyncio.Task[None]":
        """Begins the handshake."""

        async def run() -> None:
            await app(self.scope, self.receive, self.send)

        return asyncio.create_task(run())

    def says(self, data: str | bytes) -> None:
        self._coming.put_nowait({"type": "websocket.receive", "text" if isinstance(data, str) else "bytes": data})

    def leaves(self) -> None:
        self._coming.put_nowait({"type": "websocket.disconnect", "code": 1001, "reason": ""})

    @property
    def closed(self) -> tuple[int, str] | None:
        """How the server closed; None while it has not."""
        closes = [message for message in self.sent if message["type"] == "websocket.close"]
        return (closes[0]["code"], closes[0].get("reason", "")) if closes else None

    def replies(self) -> list[Any]:
        """What it heard, as JSON."""
        texts = [message["text"] for message in self.sent if "text" in message]
        return [json.loads(line) for text in texts for line in text.split("\n")]
