"""A running hub with one shared poll channel, its source, and clients: all of it in the hands of the test."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from tests.hub.fakes import FakeTransport, TupleFraming
from tests.protocol.fossil import apply_delta

from hubbub import JWT, Polled, Settings
from hubbub.auth.signatures import TrackSigner
from hubbub.brokers.memory import MemoryBroker
from hubbub.channels import Pattern
from hubbub.declared import PollChannel
from hubbub.hub.engine import Engine
from hubbub.hub.polls import Answer, Poller, Source, TrackedKey
from hubbub.hub.polls.sources import value_of
from hubbub.hub.registry import Registry
from hubbub.hub.session import Link, Session
from hubbub.protocol.codecs import JSON
from hubbub.protocol.publication import Payload, encode

SECRET = "a secret of the tests that is long enough"
NOON = 1_700_000_000.0
CHANNEL = "prices:oslo"
_LINK = Link("websocket", JSON)


class Market(Source):
    """A source with the values that the test gives it."""

    def __init__(self) -> None:
        self.values: dict[str, Polled] = {}
        self.epoch = ""
        self.asked: list[tuple[str, ...]] = []
        self.versions: list[dict[str, int]] = []
        self.delay = 0.0
        self.error: Exception | None = None
        self.stubborn = False
        """Whether it goes on when nobody waits for it any more, as a thread does."""
        self.running = self.most = 0
        self.closed = False

    def set(self, key: str, data: Any = None, version: int = 0, *, removed: bool = False) -> None:
        self.values[key] = Polled(key, data, version, removed)

    async def ask(self, channel: str, parameters: Mapping[str, str], wanted: Sequence[TrackedKey]) -> Answer:
        assert (channel, parameters) == (CHANNEL, {"market": "oslo"})
        self.asked.append(tuple(key for key, _ in wanted))
        self.versions.append(dict(wanted))
        work = asyncio.ensure_future(self._work())
        await (asyncio.shield(work) if self.stubborn else work)
        if self.error is not None:
            raise self.error
        found = [self.values[key] for key, _ in wanted if key in self.values]
        return Answer([value_of(p.key, encode(p.data), p.version, removed=p.removed) for p in found], self.epoch)

    async def _work(self) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.delay)
        finally:
            self.running -= 1

    def close(self) -> None:
        self.closed = True


class Line(FakeTransport):
    """A connection whose client answers pings."""

    def push(self, batch: tuple[Payload, ...]) -> None:
        if batch == ("{}",):
            asyncio.get_running_loop().call_soon(self.says, "{}")
        else:
            super().push(batch)


class Viewer:
    """A client that does as SDKs do: it keeps versions and values, and takes deltas apart."""

    def __init__(self, stage: "PollStage", user: str = "") -> None:
        self.stage = stage
        self.user = user
        self.transport = Line(stage.framing)
        self.session = Session(stage.engine, _LINK, self.transport, "203.0.113.7", None)
        stage.engine.admission.enter("203.0.113.7")
        stage.engine.sessions.open(self.session)
        self.transport.attach(self.session, stage.engine.session_policy)
        self.epoch = ""
        self.deltas = False
        self.tracked: set[str] = set()
        self.seen: dict[str, list[int]] = {}
        """The versions of each key that came, one after the other."""
        self.values: dict[str, Any] = {}
        self._texts: dict[str, str] = {}
        self._number = 0
        self._read = 0

    # What it sends

    async def ask(self, method: str, **request: Any) -> dict[str, Any]:
        """The reply to a command."""
        number = self.send(method, **request)
        async with asyncio.timeout(0.05):
            while True:
                for message in self.messages:
                    if message.get("id") == number:
                        return message
                await asyncio.sleep(0.001)

    def send(self, method: str, **request: Any) -> int:
        self._number += 1
        self.transport.says(json.dumps({"id": self._number, method: request}))
        return self._number

    async def come(self, **subscribe: Any) -> dict[str, Any]:
        """Connects, and subscribes; returns the answer to that."""
        token = self.stage.jwt.token(self.user) if self.user else ""
        assert "connect" in await self.ask("connect", token=token)
        return await self.subscribe(**subscribe)

    async def subscribe(self, **subscribe: Any) -> dict[str, Any]:
        reply = await self.ask("subscribe", **{"channel": CHANNEL, "type": 4, **subscribe})
        self.read()
        result = reply.get("subscribe", {})
        self.deltas = result.get("delta", False)
        epoch = result.get("epoch", "")
        if self.epoch not in ("", epoch):
            self.seen = {}
        self.epoch = epoch
        return reply

    async def track(self, *keys: str, expire_in: float = 3600.0, **more: Any) -> dict[str, Any]:
        """Tracks keys from the versions that it has, under a signature of its own."""
        batch = self.batch(*keys, expire_in=expire_in)
        reply = await self.ask("sub_refresh", channel=CHANNEL, type=1, track=[batch], **more)
        self.tracked |= set(keys)
        return reply

    def batch(self, *keys: str, expire_in: float = 3600.0, user: str | None = None) -> dict[str, Any]:
        self.read()
        now = int(self.stage.engine.wall())
        user = self.user if user is None else user
        signature = self.stage.channel._kind.signer.sign(user, CHANNEL, keys, now, int(now + expire_in))
        items = [{"key": key, "version": (self.seen.get(key) or [0])[-1]} for key in keys]
        return {"signature": signature, "items": items}

    async def untrack(self, *keys: str) -> dict[str, Any]:
        reply = await self.ask("sub_refresh", channel=CHANNEL, type=2, untrack=list(keys))
        self.read()
        for key in keys:
            self._forget(key)
        return reply

    def leave(self) -> None:
        self.transport.leaves()

    def resume(self, before: "Viewer") -> None:
        """Goes on with what another had, as a client that has connected again."""
        before.read()
        self.tracked, self.values, self._texts = before.tracked, before.values, before._texts
        self.epoch = before.epoch
        self.seen = {key: versions[-1:] for key, versions in before.seen.items()}

    # What it gets

    @property
    def messages(self) -> list[dict[str, Any]]:
        """All replies and pushes so far, in order."""
        return [json.loads(line) for text in self.transport.received for line in str(text).split("\n")]

    @property
    def pushes(self) -> list[dict[str, Any]]:
        return [message["push"] for message in self.messages if "push" in message]

    @property
    def told(self) -> list[tuple[str, Any]]:
        """Every publication: key and data, or key and None where it was removed."""
        return [(push["pub"]["key"], push["pub"].get("data")) for push in self.pushes if "pub" in push]

    def read(self) -> None:
        """Takes in what came, as an SDK: versions, values, deltas."""
        pushes = self.pushes
        for push in pushes[self._read :]:
            if "pub" in push:
                self._take(push["pub"])
        self._read = len(pushes)

    def _take(self, publication: dict[str, Any]) -> None:
        key = publication["key"]
        if publication.get("removed"):
            self._forget(key)
            return
        data = publication["data"]
        if self.deltas:
            if publication.get("delta"):
                data = apply_delta(self._texts[key].encode(), data.encode()).decode()
            self._texts[key] = data
            data = msgspec.json.decode(data)
        self.values[key] = data
        assert publication["version"] >= (self.seen.get(key) or [0])[-1], f"{key} went back"
        self.seen.setdefault(key, []).append(publication["version"])

    def _forget(self, key: str) -> None:
        self.tracked.discard(key)
        for kept in (self.seen, self.values, self._texts):
            kept.pop(key, None)


class PollStage:
    """The hub, with the channel ``prices:{market}`` polled every 5 s."""

    def __init__(self, source: Source | None = None, *, settings: dict[str, Any] | None = None, **rules: Any) -> None:
        self.market = Market()
        self.framing = TupleFraming()
        self.jwt = JWT(secret=SECRET)
        registry = Registry(self.jwt)
        given = {"every": 5.0, "may_subscribe": "everyone", **rules}
        self.channel = PollChannel(Pattern("prices:{market}"), TrackSigner(SECRET), None, given, lambda: self.engine)
        self.channel._kind.source = source or self.market
        registry.catalogue.add(self.channel.declaration)
        loop = asyncio.get_running_loop()
        started = loop.time()
        self.engine = Engine(
            MemoryBroker(),
            Settings.load(allow_anonymous=True, message_rate=0, **(settings or {})),
            registry,
            wall=lambda: NOON + loop.time() - started,
        )

    async def __aenter__(self) -> "PollStage":
        await self.engine.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.engine.stop()

    async def viewer(self, user: str = "", **subscribe: Any) -> Viewer:
        """One that has subscribed."""
        viewer = Viewer(self, user)
        assert "subscribe" in await viewer.come(**subscribe)
        return viewer

    @property
    def poller(self) -> Poller:
        """That of the channel, while anybody is there."""
        return self.channel._kind._pollers[CHANNEL]

    @property
    def kept(self) -> list[str]:
        """The channels that there is any state of."""
        return list(self.channel._kind._pollers)
