"""Sessions over one long HTTP response: streaming and Server-Sent Events.

What the session sends is the body of the response; what the client sends comes by ``POST /emulation``, or not at
all. The one queue is an ``Outbox``, bounded in bytes; the endpoint's own coroutine empties it. ASGI has no word
for the end of a peer that does not read, so that is taken from uvicorn where it is there; see ``server_transport``.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from starlette.types import Message, Receive, Send

from hubbub.errors import ConnectionExpired, Disconnect, Goodbye, Slow
from hubbub.hub.deadlines import Deadline
from hubbub.hub.transport import AT_ONCE, Framing, Peer, Policy, Transport
from hubbub.protocol.codecs import Codec
from hubbub.protocol.events import Disconnect as DisconnectPush
from hubbub.protocol.events import Push, Reply
from hubbub.protocol.publication import Payload
from hubbub.transports.outbox import Outbox
from hubbub.transports.sockets import acknowledged, drop, limit_silence, unacknowledged

_PIECE = 64 * 1024
"""Bytes that the server is given at once."""

ENDED = "ended"
"""The id of an event after which an ``EventSource`` must not come back. It shows the id when it does all the same."""


class StreamFraming(Framing):
    """How payloads become pieces of a response's body."""

    head = b""
    """What comes before all else."""

    def farewell(self, payload: Payload, *, final: bool) -> bytes:
        """The last payload; ``final`` if a client that comes back would meet the same end."""
        piece: bytes = self.join((payload,))
        return piece


class EventStream(StreamFraming):
    """Each reply as an event of Server-Sent Events (HTML Standard §9.2)."""

    head = b"\r\n"

    def join(self, payloads: Sequence[Payload]) -> bytes:
        lines = [line for payload in payloads for line in _text(payload).split("\n")]
        return "".join(f"data: {line}\n\n" for line in lines).encode()

    def farewell(self, payload: Payload, *, final: bool) -> bytes:
        return (f"id: {ENDED}\n".encode() if final else b"") + self.join((payload,))


class Lines(StreamFraming):
    """Each reply on a line of its own."""

    def join(self, payloads: Sequence[Payload]) -> bytes:
        return "".join(f"{_text(payload)}\n" for payload in payloads).encode()


class Delimited(StreamFraming):
    """Replies as they are: in Protobuf, each is behind its length."""

    def join(self, payloads: Sequence[Payload]) -> bytes:
        return b"".join(payload for payload in payloads if isinstance(payload, bytes))


def _is_final(code: int) -> bool:
    """Whether clients give up after a disconnect with this code, by the rules of the protocol."""
    return 3500 <= code < 4000 or 4500 <= code < 5000


def _text(payload: Payload) -> str:
    assert isinstance(payload, str)
    return payload


class StreamTransport(Transport):
    """A response that goes on until the session ends.

    Args:
        server: the event loop's transport behind the response, on uvicorn; None elsewhere.
    """

    __slots__ = (
        "__weakref__",
        "_aborted",
        "_begun",
        "_behind",
        "_closing",
        "_codec",
        "_drained",
        "_outbox",
        "_peer",
        "_policy",
        "_sending",
        "_server",
        "_size_sending",
        "_taken",
        "_timer",
        "_waiter",
        "framing",
    )  # fmt: skip

    def __init__(self, framing: StreamFraming, codec: Codec, server: Any) -> None:
        self.framing: StreamFraming = framing
        self._codec = codec
        self._server = server
        self._outbox = Outbox()
        if framing.head:
            self._outbox.put(framing.head)
        self._begun = False
        self._size_sending = 0
        self._behind = 0
        """Bytes that were pushed behind the batch that came when nothing waited, or behind the last answer."""
        self._taken = 0
        """Bytes that the server has taken."""
        self._closing = False
        self._aborted = False
        self._sending: asyncio.Task[None] | None = None
        self._timer: Deadline | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None

    def attach(self, peer: Peer, policy: Policy) -> None:
        self._peer: Peer | None = peer
        self._policy = policy
        # Pings of a stream have no answer, so this is what notices that the peer's machine is gone.
        limit_silence(self._server, policy.backlog.patience)

    def push(self, batch: bytes) -> None:
        if self._closing:
            return
        queued = self._queued
        if queued:
            self._behind += len(batch)
            if min(self._behind, queued + len(batch)) > self._policy.max_queued_bytes:
                self.give_up(Slow(f"more than {self._policy.max_queued_bytes} bytes behind"))
                return
        else:
            self._behind = 0
        self._put(batch)

    def answer(self, batch: bytes) -> None:
        if not self._closing:
            self._outbox.put_copied(batch)
            self._on_put()
            self._behind = 0

    def _put(self, batch: bytes) -> None:
        self._outbox.put(batch)
        self._on_put()

    def _on_put(self) -> None:
        self._begun = True
        self._policy.backlog.note(self, self.waiting())
        self._wake()

    @property
    def _queued(self) -> int:
        return self._outbox.size + self._size_sending

    @property
    def answering(self) -> bool:
        return self._queued > self._behind + AT_ONCE

    async def answered(self) -> None:
        while self.answering and not self._closing:
            await self._until_taken()

    async def send(self, batch: bytes) -> None:
        self.push(batch)
        while self._queued and not self._closing:
            await self._until_taken()

    async def _until_taken(self) -> None:
        if self._drained is None:
            self._drained = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._drained)

    def waiting(self) -> int:
        return self._queued + (self._server.get_write_buffer_size() if self._server is not None else 0)

    def progress(self) -> int:
        return acknowledged(self._server) or self._taken

    def reach(self) -> int:
        ahead = self.waiting() + unacknowledged(self._server)
        return self.progress() + ahead if ahead > AT_ONCE else 0

    def close(self, code: int, reason: str) -> None:
        """Tells the client why, as a push: there is no close frame."""
        if not self._closing:
            told = Reply(push=Push(disconnect=DisconnectPush(code, reason)))
            # What comes back by itself shows the token that it has; one that has expired gets nowhere.
            final = _is_final(code) or (code == ConnectionExpired.code and not self._begun)
            self._outbox.put(self.framing.farewell(self._codec.encode(told), final=final))
            self.hang_up()

    def hang_up(self) -> None:
        if not self._closing:
            self._closing = True
            self._timer = Deadline(asyncio.get_running_loop(), self._policy.close_timeout, self.abort)
            self._wake()

    def abort(self) -> None:
        self._outbox.clear()
        self._closing = self._aborted = True
        if self._sending is not None:
            self._sending.cancel()
        self._wake()
        self._wake_sender()

    def give_up(self, fault: Disconnect) -> None:
        if self._peer is not None:
            self._peer.on_fault(fault)

    async def settle(self) -> None:
        """Nothing to wait for: ``respond`` does."""

    async def serve(self) -> None:
        """Nothing to do: ``respond`` does."""

    async def respond(self, receive: Receive, send: Send) -> None:
        """Sends the body of the response, to the end of the session or of the connection."""
        gone = asyncio.get_running_loop().create_task(_gone(receive))
        gone.add_done_callback(lambda _: self._lose())
        try:
            while self._outbox.size or not self._closing:
                if self._outbox.size:
                    await self._send_piece(send)
                else:
                    self._waiter = asyncio.get_running_loop().create_future()
                    await self._waiter
            if not self._aborted:
                limit_silence(self._server, 0)  # no more: other responses may follow on this connection
                await self._send(send, b"", more_body=False)
            if self._aborted and not gone.done():
                drop(self._server)
                await asyncio.wait({gone}, timeout=self._policy.close_timeout)  # so that the server knows it too
        finally:
            gone.cancel()
            self._lose()

    async def _send_piece(self, send: Send) -> None:
        piece = bytes(self._outbox.take(_PIECE))
        self._size_sending = len(piece)
        await self._send(send, piece, more_body=True)
        self._size_sending = 0
        self._taken += len(piece)
        self._note_queued()
        self._wake_sender()

    async def _send(self, send: Send, body: bytes, *, more_body: bool) -> None:
        """Sends one piece. Ends without that when the transport is aborted; a server that fails is a peer gone.

        uvicorn tells of the end of a peer that has sent another request behind this one to that request alone.
        """
        message = {"type": "http.response.body", "body": body, "more_body": more_body}
        sending = self._sending = asyncio.ensure_future(_call(send, message))
        try:
            await asyncio.wait({sending})
        finally:
            self._sending = None
            sending.cancel()
        failed = not sending.cancelled() and sending.exception() is not None
        if failed or (self._server is not None and self._server.is_closing()):
            self._lose()

    def _note_queued(self) -> None:
        waiting = self.waiting()
        if waiting and not self._closing:
            self._policy.backlog.note(self, waiting)
        else:
            self._policy.backlog.clear(self)

    def _lose(self) -> None:
        self._policy.backlog.clear(self)
        self.abort()
        if self._timer is not None:
            self._timer.cancel()
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.on_lost(Goodbye(1006, "", "peer"))

    def _wake_sender(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _call(send: Send, message: Message) -> None:
    await send(message)
