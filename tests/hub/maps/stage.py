"""Map channels over fake transports: a running hub with one of them, and a client as the SDKs are."""

import asyncio
import json
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from tests.hub.sessions import Guest, SessionStage
from tests.protocol.fossil import apply_delta

from hubbub import Publication
from hubbub.brokers.base import NO_GUARD, Deliver, Guard
from hubbub.brokers.maps import MapRetention, Only, Outcome, Page
from hubbub.brokers.memory import MemoryBroker
from hubbub.channels import Pattern
from hubbub.declared import MapChannel
from hubbub.protocol.filters import Filter
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Event

Json = dict[str, Any]

PERSISTENT: Json = {"mode": "persistent"}
RECOVERABLE: Json = {"mode": "recoverable", "key_ttl": 60}
EPHEMERAL: Json = {"key_ttl": 60}
SMALL_PAGES: Json = {"default_page_size": 2, "min_page_size": 1, "max_page_size": 3}

LIVE, STREAM, STATE = range(3)


class FarMaps(MemoryBroker):
    """A broker that may be ``delay`` seconds away: it answers with what was so that long ago."""

    delay = 0.0
    lag = 0.0
    """Seconds that a delivery comes after what it tells of can be read."""

    async def start(self, deliver: Deliver) -> None:
        loop = asyncio.get_running_loop()
        under_way: deque[tuple[str, Event]] = deque()

        def send(channel: str, event: Event) -> None:
            if self.lag:
                under_way.append((channel, event))
                loop.call_later(self.lag, lambda: deliver(*under_way.popleft()))
            else:
                deliver(channel, event)

        await super().start(send)

    async def _travel(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)

    async def subscribe(self, channel: str) -> None:
        await self._travel()
        await super().subscribe(channel)

    async def put_entry(
        self,
        channel: str,
        entry: Publication,
        retention: MapRetention,
        guard: Guard = NO_GUARD,
        only: Only = "",
        most: int = 0,
    ) -> Outcome:
        await self._travel()
        return await super().put_entry(channel, entry, retention, guard, only, most)

    async def entries(
        self, channel: str, retention: MapRetention, after: str = "", limit: int | None = None, *, key: str = ""
    ) -> Page:
        await self._travel()
        page = await super().entries(channel, retention, after, limit, key=key)
        await self._travel()
        return page

    async def changes(
        self,
        channel: str,
        retention: MapRetention,
        since: Position | None = None,
        limit: int | None = None,
        *,
        reverse: bool = False,
    ) -> tuple[Sequence[Publication], Position]:
        await self._travel()
        found = await super().changes(channel, retention, since, limit, reverse=reverse)
        await self._travel()
        return found


class MapStage:
    """A running engine with the channels ``board:{name}``, which everyone may use unless ``rules`` say otherwise."""

    def __init__(self, rules: Mapping[str, Any], **settings: Any) -> None:
        self._rules = rules
        self._settings = {"session_pong_timeout": 10_000_000.0, **settings}  # nobody here answers pings
        self.sessions: SessionStage
        self.broker: FarMaps
        self.board: MapChannel

    async def __aenter__(self) -> Self:
        self.broker = FarMaps(clock=asyncio.get_running_loop().time)
        self.sessions = await SessionStage.open(broker=self.broker, **self._settings)
        self.board = self.declare("board:{name}", **self._rules)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.sessions.engine.stop()

    def declare(self, pattern: str, **rules: Any) -> MapChannel:
        """Declares more channels of maps."""
        everyone = {"may_subscribe": "everyone", "may_publish": "everyone", "may_remove": "everyone"}
        channel = MapChannel(Pattern(pattern), {**everyone, **rules}, lambda: self.sessions.engine)
        self.sessions.engine.registry.catalogue.add(channel.declaration)
        return channel

    async def fill(self, *keys: str, **more: Any) -> None:
        """Publishes entries to ``board:1``, each under a key with the key as its data."""
        for key in keys:
            await self.board.publish(key, {"k": key}, name="1", **more)

    async def enter(self, user: str = "") -> "Reader":
        """A client that has connected, and not subscribed."""
        return Reader(await self.sessions.enter(user))

    async def live(self, user: str = "", **request: Any) -> "Reader":
        """A client that has subscribed to ``board:1`` and heard nothing else."""
        reader = await self.enter(user)
        answer = await reader.subscribe(phase=STATE, **request)
        assert "phase" not in answer, answer
        reader.guest.take()
        return reader


class Reader:
    """A client that says each request as the test wants it."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest

    async def ask(self, channel: str = "board:1", **request: Any) -> Json:
        """The answer to one subscribe request."""
        return await self.guest.ask(subscribe={"channel": channel, "type": 1, **request})

    async def subscribe(self, channel: str = "board:1", **request: Any) -> Json:
        """The result of one subscribe request, which must have one."""
        answer = await self.ask(channel, **request)
        assert "subscribe" in answer, answer
        result: Json = answer["subscribe"]
        return result

    async def refused(self, channel: str = "board:1", **request: Any) -> int:
        """The error code of one subscribe request, which must have one."""
        return int((await self.ask(channel, **request))["error"]["code"])

    async def publish(self, channel: str = "board:1", **request: Any) -> Json:
        """The answer to one publish request."""
        return await self.guest.ask(publish={"channel": channel, "type": 1, **request})

    def pushed(self) -> list[Json]:
        """The publications that were pushed."""
        return [push["pub"] for push in self.guest.pushes() if "pub" in push]


def keys(publications: Sequence[Json]) -> list[str]:
    """Messages as ``+`` or ``-`` and the key."""
    return [("-" if one.get("removed") else "+") + one["key"] for one in publications]


class Follower:
    """A client that keeps a copy of a map, as the SDKs do: through pages, cuts and error 112."""

    def __init__(
        self,
        stage: MapStage,
        *,
        channel: str = "board:1",
        limit: int = 0,
        delta: bool = False,
        tags: Json | None = None,
    ) -> None:
        self._stage = stage
        self._channel = channel
        request: Json = {"channel": channel, "type": 1, "limit": limit}
        self._request = request | ({"delta": "fossil"} if delta else {}) | ({"tf": tags} if tags else {})
        self._guest: Guest | None = None
        self._inbox: list[Json] = []
        self._subscribed = False
        self._position: tuple[int, str] | None = None
        self._recovers = False
        self._bases: dict[str, bytes] = {}
        self._negotiated = False
        self.copy: dict[str, str] = {}
        """The data of each entry, as JSON text."""
        self.unrecoverable = 0
        """How often it was told that it must start anew."""
        self.recovered = 0

    async def run(self) -> None:
        """Comes, stays, and comes back whenever it was cut off; until cancelled."""
        while True:
            self._guest = await self._stage.sessions.enter()
            self._inbox, self._subscribed = [], False
            guest = self._guest
            while guest is self._guest and guest.closed is None:
                if not self._subscribed:
                    await self._subscribe(guest)
                self._listen(guest)
                await asyncio.sleep(0.01)

    def cut(self) -> None:
        """The connection is lost."""
        if self._guest is not None and self._guest.closed is None:
            self._guest.transport.leaves()
            self._guest = None

    @property
    def up_to_date(self) -> bool:
        """Whether it is subscribed and has read all that it was sent."""
        guest = self._guest
        if guest is None or not self._subscribed:
            return False
        self._listen(guest)
        return self._subscribed

    # The dialogue

    async def _subscribe(self, guest: Guest) -> None:
        if not (self._recovers and self._position):
            self._begin_anew()
            await self._read_state(guest)
        elif self._position:
            await self._read_stream(guest, recover=True)

    def _begin_anew(self) -> None:
        self.copy, self._bases, self._position, self._recovers = {}, {}, None, False

    async def _read_state(self, guest: Guest) -> None:
        cursor = ""
        while True:
            position = {"offset": self._position[0], "epoch": self._position[1]} if self._position else {}
            result = await self._ask(guest, {"phase": STATE, **({"cursor": cursor} if cursor else {}), **position})
            if result is None:
                return
            if not result.get("phase"):
                self._go_live(result)
                return
            self._position = self._position or (result.get("offset", 0), result["epoch"])
            self._apply_full(result.get("state", ()))
            cursor = result.get("cursor", "")
            if not cursor:
                await self._read_stream(guest, recover=False)
                return

    async def _read_stream(self, guest: Guest, *, recover: bool) -> None:
        while True:
            assert self._position is not None
            offset, epoch = self._position
            result = await self._ask(guest, {"phase": STREAM, "offset": offset, "epoch": epoch, "recover": recover})
            if result is None:
                return
            if not result.get("phase"):
                self._go_live(result)
                return
            self._apply_full(result.get("publications", ()))
            assert result["offset"] > offset, "or it would never end"
            self._position = (result["offset"], epoch)

    async def _ask(self, guest: Guest, request: Json) -> Json | None:
        """The result; None if it was told to start anew, or cut off."""
        number = guest.begin(subscribe={**self._request, **request})
        while guest is self._guest and guest.closed is None:
            self._inbox += filter(None, guest.take())  # without pings
            if not self._inbox:
                await asyncio.sleep(0.01)
                continue
            reply = self._inbox.pop(0)
            assert reply.get("id") == number, "nothing comes before the answer"
            if "subscribe" in reply:
                result: Json = reply["subscribe"]
                return result
            assert reply["error"]["code"] == 112, reply
            self.unrecoverable += 1
            self._begin_anew()
            return None
        return None

    def _go_live(self, result: Json) -> None:
        self._negotiated = result.get("delta", False)
        assert not self._position or not result.get("epoch") or self._position[1] == result["epoch"]
        self._apply_full(result.get("state", ()))
        for publication in result.get("publications", ()):
            self._apply(publication)
        self._position = (result.get("offset", 0), result.get("epoch", ""))
        self._recovers = result.get("recoverable", False)
        self._subscribed = True
        self.recovered += result.get("recovered", False)

    # What it is sent

    def _listen(self, guest: Guest) -> None:
        self._inbox += filter(None, guest.take())  # without pings
        while self._inbox and self._subscribed:
            push = self._inbox.pop(0)["push"]
            if "unsubscribe" in push:
                assert push["unsubscribe"]["code"] == 2500
                self._subscribed = False
            else:
                self._follow(push["pub"])

    def _follow(self, publication: Json) -> None:
        offset = publication.get("offset", 0)
        if offset and self._position is not None:
            assert offset > self._position[0], "nothing comes twice"
            if "tf" not in self._request:
                assert offset == self._position[0] + 1, "and nothing is missing"
            self._position = (offset, publication.get("epoch", self._position[1]))
        self._apply(publication)

    def _apply_full(self, publications: Sequence[Json]) -> None:
        for publication in publications:
            if "delta" in self._request and isinstance(publication.get("data"), str):
                publication["data"] = self._decode(publication)
            self._put(publication)

    def _apply(self, publication: Json) -> None:
        if self._negotiated:
            publication["data"] = self._decode(publication)
        self._put(publication)

    def _decode(self, publication: Json) -> Any:
        data = publication["data"].encode()
        text = apply_delta(self._bases[publication["key"]], data) if publication.get("delta") else data
        self._bases[publication["key"]] = text
        return json.loads(text)

    def _put(self, publication: Json) -> None:
        key = publication["key"]
        self.copy.pop(key, None)
        if publication.get("removed"):
            self._bases.pop(key, None)
        else:
            self.copy[key] = json.dumps(publication["data"], separators=(",", ":"))


async def truth(stage: MapStage, tags: Filter | None = None) -> dict[str, str]:
    """The entries of ``board:1`` that match, as a follower's copy has them."""
    state = await stage.board.state(name="1")
    return {key: str(entry.data) for key, entry in state.items() if tags is None or tags.matches(entry.tags)}
