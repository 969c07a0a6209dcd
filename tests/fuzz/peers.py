"""Peers of sessions over the server's side of ASGI: those who say anything, and one who only listens."""

import json
from typing import Any

from tests.clock import ticks
from tests.differential import protobuf
from tests.transports.callers import Caller, Visitor

from hubbub.transports.entrance import Running
from hubbub.transports.streaming import HTTP_STREAM, SSE, UNI_SSE, EmulationDoor, StreamDoor
from hubbub.transports.websocket import WebSocketDoor

Json = dict[str, Any]

BINARY_BODY = {"content-type": "application/octet-stream"}


class Replies:
    """The replies in what a peer was sent; fails where that is none."""

    def __init__(self, *, binary: bool) -> None:
        self.binary = binary

    def read(self, data: str | bytes) -> list[Json]:
        if self.binary:
            assert isinstance(data, bytes)
            found, rest = protobuf.split(data)
            assert rest == b"", "half a reply"
            return [json.loads(protobuf.decode("Reply", one)) for one in found]
        text = data.decode() if isinstance(data, bytes) else data
        lines = [line for line in text.split("\n") if line.strip() and line != "id: ended"]
        return [json.loads(line.removeprefix("data: ")) for line in lines]


class SocketPeer:
    """A peer over a WebSocket."""

    def __init__(self, running: Running, *, binary: bool = False, one_way: bool = False) -> None:
        self.binary = binary
        self.one_way = one_way
        self._replies = Replies(binary=binary)
        query = "cf_connect=%7B%22token%22%3A%22anna%22%7D" if one_way else ""
        self._visitor = Visitor(subprotocols=["centrifuge-protobuf"] if binary else [], query=query)
        self.task = self._visitor.calls(WebSocketDoor(running, unidirectional=one_way))

    def says(self, data: str | bytes) -> None:
        self._visitor.says(data)

    async def settle(self) -> None:
        """Lets the server have its turns."""
        await ticks(8)

    def leaves(self) -> None:
        self._visitor.leaves()

    @property
    def over(self) -> bool:
        return self._visitor.closed is not None

    @property
    def code(self) -> int | None:
        """The code of the end."""
        return self._visitor.closed[0] if self._visitor.closed is not None else None

    def replies(self) -> list[Json]:
        sent = (message for message in self._visitor.sent if message["type"] == "websocket.send")
        kind = "bytes" if self.binary else "text"
        return [reply for message in sent for reply in self._replies.read(message[kind])]


class StreamPeer:
    """A peer that listens to a stream, and posts what it says to ``/emulation``."""

    one_way = False

    def __init__(self, running: Running, first: str | bytes, *, binary: bool = False, events: bool = False) -> None:
        self.binary = binary
        self._running = running
        self._replies = Replies(binary=binary)
        body = first.encode(errors="replace") if isinstance(first, str) else first
        path, form, methods = (
            ("/connection/sse", SSE, ("GET", "POST")) if events else ("/connection/http_stream", HTTP_STREAM, ("POST",))
        )
        self._caller = Caller("POST", path, body=body, headers=BINARY_BODY if binary else {})
        self.task = self._caller.calls(StreamDoor(running, form, methods))
        self._secret = ""
        self.posts: list[Caller] = []

    def says(self, data: str | bytes) -> None:
        """Posts commands."""
        node = self._running().node
        raw = data.encode(errors="replace") if isinstance(data, str) else data
        if self.binary:
            self.posts_body(protobuf.emulation(node, self._secret, raw))
        else:
            text = raw.decode(errors="replace")
            self.posts_body(json.dumps({"node": node, "session": self._secret, "data": text}).encode())

    def posts_body(self, body: bytes) -> None:
        """Posts anything."""
        caller = Caller("POST", "/emulation", body=body, headers=BINARY_BODY if self.binary else {})
        caller.calls(EmulationDoor(self._running))
        self.posts.append(caller)

    async def settle(self) -> None:
        await ticks(10)
        if not self._secret:
            secrets = [reply["connect"]["session"] for reply in self.replies() if "connect" in reply]
            self._secret = secrets[0] if secrets else ""
        for caller in self.posts:
            assert caller.sent, "a post without an answer"
            assert caller.status in (204, 400, 404, 413), caller.status
        self.posts = [caller for caller in self.posts if not caller.sent]

    def leaves(self) -> None:
        self._caller.leaves()

    @property
    def over(self) -> bool:
        return bool(self._caller.sent) and (self._caller.status != 200 or self._caller.over)

    @property
    def code(self) -> int | None:
        codes = [
            reply["push"]["disconnect"]["code"] for reply in self.replies() if "disconnect" in reply.get("push", {})
        ]
        return codes[0] if codes else None

    def replies(self) -> list[Json]:
        if not self._caller.sent or self._caller.status != 200:
            return []
        bodies = (message.get("body", b"") for message in self._caller.sent[1:])
        return [reply for body in bodies for reply in self._replies.read(body)]


class OneWayPeer(StreamPeer):
    """A peer that only listens to events."""

    one_way = True

    def __init__(self, running: Running, first: str) -> None:
        self.binary = False
        self._running = running
        self._replies = Replies(binary=False)
        self._caller = Caller("POST", "/connection/uni_sse", body=first.encode(errors="replace"))
        self.task = self._caller.calls(StreamDoor(running, UNI_SSE, ("GET", "POST")))
        self._secret = ""
        self.posts = []


Peer = SocketPeer | StreamPeer
