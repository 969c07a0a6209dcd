"""A transport and a broker that keep their contracts, and show what was asked of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from hubbub import Client, ClientInfo, Goodbye, Position, Publication, Retention, Settings
from hubbub.brokers.base import NO_GUARD, Guard
from hubbub.brokers.memory import MemoryBroker
from hubbub.errors import Disconnect
from hubbub.hub.engine import Engine
from hubbub.hub.reading import Mode, reading_of
from hubbub.hub.transport import Framing, Peer, Policy, Transport
from hubbub.protocol.publication import Payload

HUNG_UP = (1006, "")
"""How a connection was closed that ended without a close frame."""


class TupleFraming(Framing):
    """A batch is the tuple of its payloads; ``joined`` counts how often one was made."""

    def __init__(self) -> None:
        self.joined = 0

    def join(self, payloads: Sequence[Payload]) -> tuple[Payload, ...]:
        self.joined += 1
        return tuple(payloads)


class FakeTransport(Transport):
    """A connection whose peer is the test: it takes all that is pushed, and says what it is told to say."""

    def __init__(self, framing: TupleFraming | None = None) -> None:
        self._framing = framing or TupleFraming()
        self.batches: list[tuple[Payload, ...]] = []
        self.closed: list[tuple[int, str]] = []
        self.aborted = False
        self.settled = False
        self.peer: Peer | None = None
        self.policy: Policy | None = None

    @property
    def framing(self) -> Framing:  # type: ignore[override]
        return self._framing

    @property
    def received(self) -> list[Payload]:
        """Everything the peer got, in order."""
        return [payload for batch in self.batches for payload in batch]

    def attach(self, peer: Peer, policy: Policy) -> None:
        self.peer = peer
        self.policy = policy

    def push(self, batch: tuple[Payload, ...]) -> None:
        if not self.closed and not self.aborted:
            self.batches.append(batch)

    async def send(self, batch: tuple[Payload, ...]) -> None:
        self.push(batch)

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))

    def hang_up(self) -> None:
        self.closed.append(HUNG_UP)

    def abort(self) -> None:
        self.aborted = True

    def give_up(self, fault: Disconnect) -> None:
        assert self.peer is not None
        self.peer.on_fault(fault)

    async def serve(self) -> None:
        """Nothing to wait for."""

    async def settle(self) -> None:
        self.settled = True

    # What the peer does.

    def says(self, *messages: Payload) -> None:
        """The peer sends messages, all in one piece."""
        assert self.peer is not None
        size = sum(len(m) if isinstance(m, bytes) else len(m.encode()) for m in messages)
        self.peer.on_messages(messages, len(messages), size)

    def leaves(self, code: int = 1001, reason: str = "") -> None:
        assert self.peer is not None
        self.peer.on_lost(Goodbye(code, reason, "peer"))

    def fails(self, fault: Disconnect) -> None:
        assert self.peer is not None
        self.peer.on_fault(fault)


class WatchedBroker(MemoryBroker):
    """The memory broker, which also notes who subscribes."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str]] = []

    async def subscribe(self, channel: str) -> None:
        self.calls.append(("subscribe", channel))
        await super().subscribe(channel)

    async def unsubscribe(self, channel: str) -> None:
        self.calls.append(("unsubscribe", channel))
        await super().unsubscribe(channel)


class RemoteBroker(WatchedBroker):
    """A broker that takes its time, and delivers only what it is subscribed to."""

    def __init__(self) -> None:
        super().__init__()
        self.subscribed: set[str] = set()
        self.reachable = True

    async def subscribe(self, channel: str) -> None:
        await asyncio.sleep(1)
        if not self.reachable:
            raise ConnectionError("the broker is gone")
        await super().subscribe(channel)
        self.subscribed.add(channel)

    async def unsubscribe(self, channel: str) -> None:
        await asyncio.sleep(2)
        await super().unsubscribe(channel)
        self.subscribed.discard(channel)

    async def publish(
        self, channel: str, publication: Publication, retention: Retention, guard: Guard = NO_GUARD
    ) -> Position:
        if channel in self.subscribed:
            return await super().publish(channel, publication, retention, guard)
        return Position(0, "")


class Stage:
    """A running engine, on which clients come with a body and a fake transport."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.goodbyes: list[tuple[str, Goodbye]] = []
        engine.on_goodbye.append(lambda client, goodbye: self.goodbyes.append((client.info.id, goodbye)))
        self._count = 0

    @classmethod
    async def open(cls, broker: MemoryBroker | None = None, **settings: Any) -> "Stage":
        stage = cls(Engine(broker or MemoryBroker(), Settings.load(**settings)))
        await stage.engine.start()
        return stage

    def welcome(self, transport: FakeTransport, mode: Mode = "text", user: str = "") -> Client[Any]:
        """A client as `hub.connect` makes it, up to the entering of the block."""
        engine = self.engine
        self._count += 1
        info = ClientInfo(f"client-{self._count}", user, "203.0.113.7", "/ws", None, None, 0.0)
        engine.admission.enter(info.address)
        client: Client[Any] = Client(engine, transport, info, reading_of(mode))
        engine.welcome(client)
        transport.attach(client, engine.policy)
        return client

    def come(
        self, body: Callable[[Client[Any]], Awaitable[None]], transport: FakeTransport, mode: Mode = "text"
    ) -> "asyncio.Task[Client[Any]]":
        """Runs ``body`` as a handler of its own."""

        async def handler() -> Client[Any]:
            async with self.welcome(transport, mode) as client:
                await body(client)
            return client

        return asyncio.create_task(handler())
