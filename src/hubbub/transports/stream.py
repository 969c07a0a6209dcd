"""Sessions over one long HTTP response: streaming and Server-Sent Events.

What the session sends is the body of the response; what the client sends comes by ``POST /emulation``, or not at
all. The one queue is a list of chunks, bounded in bytes; the endpoint's own coroutine empties it.
"""

import asyncio
from collections.abc import Sequence

from starlette.types import Receive, Send

from hubbub.errors import Disconnect, Goodbye, Slow
from hubbub.hub.transport import Framing, Peer, Policy, Transport
from hubbub.protocol.codecs import Codec
from hubbub.protocol.events import Disconnect as DisconnectPush
from hubbub.protocol.events import Push, Reply
from hubbub.protocol.publication import Payload


class EventStream(Framing):
    """Each reply as an event of Server-Sent Events (HTML Standard §9.2)."""

    head = b"\r\n"

    def join(self, payloads: Sequence[Payload]) -> bytes:
        lines = [line for payload in payloads for line in _text(payload).split("\n")]
        return "".join(f"data: {line}\n\n" for line in lines).encode()


class Lines(Framing):
    """Each reply on a line of its own."""

    head = b""

    def join(self, payloads: Sequence[Payload]) -> bytes:
        return "".join(f"{_text(payload)}\n" for payload in payloads).encode()


class Delimited(Framing):
    """Replies as they are: in Protobuf, each is behind its length."""

    head = b""

    def join(self, payloads: Sequence[Payload]) -> bytes:
        return b"".join(payload for payload in payloads if isinstance(payload, bytes))


def _text(payload: Payload) -> str:
    assert isinstance(payload, str)
    return payload


class StreamTransport(Transport):
    """A response that goes on until the session ends."""

    __slots__ = ("__weakref__", "_chunks", "_closing", "_codec", "_peer", "_policy", "_queued", "_waiter", "framing")

    def __init__(self, framing: Framing, codec: Codec) -> None:
        self.framing = framing
        self._codec = codec
        self._chunks: list[bytes] = []
        self._queued = 0
        self._closing = False
        self._waiter: asyncio.Future[None] | None = None

    def attach(self, peer: Peer, policy: Policy) -> None:
        self._peer: Peer | None = peer
        self._policy = policy

    def push(self, batch: bytes) -> None:
        if self._closing:
            return
        queued = self._queued + len(batch)
        if self._chunks and queued > self._policy.max_queued_bytes:
            self.give_up(Slow(f"more than {self._policy.max_queued_bytes} bytes behind"))
            return
        self._queued = queued
        self._chunks.append(batch)
        self._policy.backlog.note(self, queued)
        self._wake()

    async def send(self, batch: bytes) -> None:
        self.push(batch)

    def close(self, code: int, reason: str) -> None:
        """Tells the client why, as a push: there is no close frame."""
        if not self._closing:
            told = Reply(push=Push(disconnect=DisconnectPush(code, reason)))
            self._chunks.append(self.framing.join((self._codec.encode(told),)))
            self._closing = True
            self._wake()

    def abort(self) -> None:
        self._chunks.clear()
        self._closing = True
        self._wake()

    def give_up(self, fault: Disconnect) -> None:
        if self._peer is not None:
            self._peer.on_fault(fault)

    async def settle(self) -> None:
        """Nothing to wait for: ``respond`` does."""

    async def serve(self) -> None:
        """Nothing to do: ``respond`` does."""

    async def respond(self, receive: Receive, send: Send) -> None:
        """Sends the body of the response, to the end of the session or of the connection."""
        loop = asyncio.get_running_loop()
        gone = loop.create_task(_gone(receive))
        gone.add_done_callback(lambda _: self._lose())
        try:
            while self._chunks or not self._closing:
                if not self._chunks:
                    self._waiter = loop.create_future()
                    await self._waiter
                    continue
                body, self._chunks = b"".join(self._chunks), []
                sending = loop.create_task(_send(send, body))
                await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not sending.done():
                    sending.cancel()
                    break
                sending.result()
                self._queued = sum(map(len, self._chunks))
                self._policy.backlog.note(self, self._queued) if self._queued else self._policy.backlog.clear(self)
            if not gone.done():
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except OSError:
            pass  # the peer is gone
        finally:
            gone.cancel()
            self._lose()

    def _lose(self) -> None:
        self._policy.backlog.clear(self)
        self.abort()
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.on_lost(Goodbye(1006, "", "peer"))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
