"""Sessions over fake transports: a stage with an engine, and guests that speak JSON."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from tests.clock import ticks
from tests.hub.connections import connected
from tests.hub.fakes import FakeTransport

from hubbub import Auth, Grant, Identity, Member, Position, Publication, Settings
from hubbub.brokers.memory import MemoryBroker
from hubbub.channels import Pattern, check_rules
from hubbub.hub.declaration import Declaration
from hubbub.hub.engine import Engine
from hubbub.hub.handlers import Handler
from hubbub.hub.kinds.base import Kind
from hubbub.hub.kinds.stream import STREAM
from hubbub.hub.link import Link
from hubbub.hub.messages import MessageType
from hubbub.hub.registry import Registry
from hubbub.hub.session import Session
from hubbub.protocol.codecs import JSON, PROTOBUF, UNIDIRECTIONAL
from hubbub.protocol.publication import Presence

WEBSOCKET = Link("websocket", JSON)
BINARY = Link("websocket", PROTOBUF)
NATIVE = Link("websocket", JSON, native_pings=True)
EMULATED = Link("http_stream", JSON, emulated=True)
ONE_WAY = Link("uni_sse", UNIDIRECTIONAL, unidirectional=True)

TODAY = 1_900_000_000.0
"""Unix seconds when a stage opens."""

Json = dict[str, Any]


class Names(Auth):
    """Knows everybody by name: a token is a user, unless something else is noted for it."""

    def __init__(self) -> None:
        self.identities: dict[str, Identity | Exception] = {}
        self.grants: dict[str, Grant | Exception] = {}
        self.asked: list[tuple[str, str, str]] = []
        """Channel, user and client of each ``authorize``."""

    async def authenticate(self, token: str) -> Identity:
        known = self.identities.get(token, Identity(token))
        if isinstance(known, Exception):
            raise known
        return known

    async def authorize(self, token: str, channel: str, user: str, client: str) -> Grant:
        self.asked.append((channel, user, client))
        known = self.grants.get(token, Grant())
        if isinstance(known, Exception):
            raise known
        return known


class SlowBroker(MemoryBroker):
    """A broker that takes its time for everything but publishing: it asks somebody far away."""

    delay = 1.0

    async def subscribe(self, channel: str) -> None:
        await asyncio.sleep(self.delay)
        await super().subscribe(channel)

    async def history(
        self, channel: str, since: Position | None = None, limit: int | None = None, *, reverse: bool = False
    ) -> tuple[Sequence[Publication], Position]:
        found = await super().history(channel, since, limit, reverse=reverse)
        await asyncio.sleep(self.delay)
        return found

    async def enter(self, channel: str, member: Member) -> None:
        await asyncio.sleep(self.delay)
        await super().enter(channel, member)

    async def exit(self, channel: str, client: str) -> None:
        await asyncio.sleep(self.delay)
        await super().exit(channel, client)

    async def announce(self, channel: str, presence: Presence) -> None:
        await asyncio.sleep(self.delay)
        await super().announce(channel, presence)


class Guest:
    """The client of one session: what it says, and what it heard."""

    def __init__(self, session: Session, transport: FakeTransport) -> None:
        self.session = session
        self.transport = transport
        self._number = 0
        self._seen = 0
        self._heard: list[Json] = []

    @property
    def closed(self) -> tuple[int, str] | None:
        """How the session was ended; None while it lives."""
        return self.transport.closed[0] if self.transport.closed else None

    def command(self, **request: Json) -> Json:
        """A command with the next number."""
        self._number += 1
        return {"id": self._number, **request}

    def say(self, *commands: Json) -> None:
        """Says commands, all in one message."""
        self.transport.says("\n".join(map(json.dumps, commands)))

    def begin(self, **request: Json) -> int:
        """Says one command, and does not wait for the answer."""
        command = self.command(**request)
        self.say(command)
        return int(command["id"])

    async def ask(self, **request: Json) -> Json:
        """Says one command and gives the answer, which must come without time passing."""
        number = self.begin(**request)
        for _ in range(50):
            await ticks()
            for reply in self.heard():
                if reply.get("id") == number:
                    self._heard.remove(reply)
                    return reply
        raise AssertionError(f"no answer to {request}; heard: {self._heard}; closed: {self.closed}")

    def heard(self) -> list[Json]:
        """What was heard, and not taken yet."""
        received = self.transport.received
        for message in received[self._seen :]:
            assert isinstance(message, str)
            self._heard += map(json.loads, message.split("\n"))
        self._seen = len(received)
        return self._heard[:]

    def take(self) -> list[Json]:
        """What was heard since the last take."""
        heard = self.heard()
        self._heard = []
        return heard

    def pushes(self) -> list[Json]:
        """As ``take``, the pushes alone and without their envelope."""
        return [one["push"] for one in self.take() if "push" in one]


class SessionStage:
    """A running engine on which sessions come."""

    def __init__(self, engine: Engine, auth: Names) -> None:
        self.engine = engine
        self.auth = auth

    @classmethod
    async def open(cls, *, broker: MemoryBroker | None = None, **settings: Any) -> "SessionStage":
        loop, auth = asyncio.get_running_loop(), Names()
        opened = loop.time()
        settings = {"allow_anonymous": True, "message_rate": 0, "byte_rate": 0, **settings}
        engine = Engine(
            broker or MemoryBroker(clock=loop.time),
            Settings.load(**settings),
            Registry(auth),
            wall=lambda: TODAY + loop.time() - opened,
        )
        await engine.start()
        return cls(engine, auth)

    def channel(
        self,
        pattern: str,
        *,
        kind: Kind = STREAM,
        on_subscribe: Callable[..., Any] | None = None,
        on_publish: Callable[..., Any] | None = None,
        message: MessageType | None = None,
        **rules: Any,
    ) -> Declaration:
        """Declares channels, which everyone may subscribe to unless ``rules`` say otherwise."""
        parsed = Pattern(pattern)
        declaration = Declaration(parsed, check_rules({"may_subscribe": "everyone", **rules}), kind, message)
        for name, function in (("on_subscribe", on_subscribe), ("on_publish", on_publish)):
            if function is not None:
                known = {"path": parsed.parameters, "known": ("channel",), "message": True}
                setattr(declaration, name, Handler(function, **known))
        self.engine.registry.catalogue.add(declaration)
        return declaration

    def method(self, name: str, function: Callable[..., Any]) -> None:
        """Declares an RPC method."""
        self.engine.registry.add_method(name, Handler(function, known=("method",), message=True, scalars=True))

    def on_connect(self, function: Callable[..., Any]) -> None:
        """Declares who says who a session is."""
        known = ("token", "name", "version")
        self.engine.registry.on_connect = Handler(function, known=known, message=True)

    def arrive(self, link: Link = WEBSOCKET, transport: FakeTransport | None = None) -> Guest:
        """A guest that has not connected yet."""
        transport = transport or FakeTransport()
        engine, address = self.engine, "203.0.113.7"
        engine.admission.enter(address)
        scope = connected() if engine.registry.needs_connection else None
        session = Session(engine, link, transport, address, scope)
        engine.sessions.open(session)
        transport.attach(session, engine.session_policy)
        return Guest(session, transport)

    async def enter(self, user: str = "", link: Link = WEBSOCKET, **request: Any) -> Guest:
        """A guest that has connected, as ``user`` if that is given."""
        guest = self.arrive(link)
        reply = await guest.ask(connect={"token": user, **request} if user else request)
        assert reply["connect"]["client"] == guest.session.id, reply
        return guest

    async def subscribed(self, channel: str, user: str = "", link: Link = WEBSOCKET, **request: Any) -> Guest:
        """A guest that is in a channel, and has heard nothing else."""
        guest = await self.enter(user, link)
        reply = await guest.ask(subscribe={"channel": channel, **request})
        assert "subscribe" in reply, reply
        await ticks(3)
        guest.take()
        return guest
