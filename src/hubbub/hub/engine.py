"""The hub of one process: broker, rooms, live clients and sessions, and limits, from start to stop."""

import asyncio
import inspect
import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Protocol

from hubbub.brokers.base import NO_GUARD, Broker, Guard, History, Retention, Roster
from hubbub.channels import Rules
from hubbub.errors import (
    Disconnect,
    Goodbye,
    InvalidRequest,
    Restarting,
    SessionEnd,
    UnknownChannel,
    UnrecoverablePosition,
    UsageError,
)
from hubbub.hub.admission import Admission
from hubbub.hub.alarms import Alarms
from hubbub.hub.backlog import Backlog
from hubbub.hub.by_user import ByUser
from hubbub.hub.client import Client
from hubbub.hub.clocks import Clocks
from hubbub.hub.contexts import Contexts
from hubbub.hub.encodings import Encoding
from hubbub.hub.fanout import Fanout, Receiver
from hubbub.hub.heartbeat import Heartbeat
from hubbub.hub.kinds.stream import Stream
from hubbub.hub.limits import Rates
from hubbub.hub.maps.atlas import Atlas
from hubbub.hub.maps.mirrors import Mirrors
from hubbub.hub.registry import Registry
from hubbub.hub.sessions import Sessions
from hubbub.hub.threads import ensure_on_loop
from hubbub.hub.transport import Policy, Transport
from hubbub.hub.turns import Turns
from hubbub.identifiers import ensure_text
from hubbub.protocol.position import HistoryPage, Position
from hubbub.protocol.publication import Member, Presence, Publication, encode, ensure_tags
from hubbub.settings import Settings

_log = logging.getLogger("hubbub")


class Endable(Protocol):
    """A WebSocket of a user that can be told to go."""

    @property
    def id(self) -> str: ...

    def end(self, code: int, reason: str) -> None: ...


OnGoodbye = Callable[[Client[Any], Goodbye], Awaitable[None] | None]

_COMMANDS_OF_A_CHANNEL = 4
"""What a client that comes back may ask at once for each channel: to subscribe, presence, history and one more."""

NOT_RUNNING = (
    "the hub is not running: give FastAPI its lifespan, FastAPI(lifespan=hub.lifespan); "
    "in a test, enter the client: with TestClient(app) as client"
)
WITHOUT_LIFESPAN = (
    "the app starts, and the hub of its routers is not running: every client will get an error. Give FastAPI its "
    "lifespan, FastAPI(lifespan=hub.lifespan), or enter it in your own: async with hub.lifespan(app): yield."
)


class Engine:
    """What runs between start and stop of a hub, on one event loop."""

    def __init__(
        self,
        broker: Broker,
        settings: Settings,
        registry: Registry | None = None,
        *,
        app: Any = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.registry = registry or Registry()
        self.app = app
        self.wall = wall
        """Seconds since the epoch, for what tokens say."""
        self.node = str(uuid.uuid4())
        """The name of this hub among others."""
        self.version = f"Hubbub {version('hubbub')}"
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()
        self.clients: dict[str, Client[Any]] = {}
        self.clients_of_user: ByUser[Endable] = ByUser()
        """Clients, and WebSockets that are to become clients."""
        self.sessions = Sessions(self)
        self.turns = Turns(self)
        self.admission = Admission(settings.max_connections, settings.max_connections_per_address)
        self.alarms = Alarms()
        self.contexts = Contexts()
        self.clocks = Clocks(self.loop, wall, self.sessions.set_alarms)
        rates = {"messages": settings.message_rate, "bytes": settings.byte_rate, "burst": settings.rate_burst}
        self.client_rates = Rates(self.clocks.stalled, **rates)
        least = _COMMANDS_OF_A_CHANNEL * settings.max_channels_per_session
        self.most_commands = max(settings.max_inbox_messages, least)
        """Commands of one session that may wait for their turn."""
        self.session_rates = Rates(self.clocks.stalled, **rates, work=settings.work_rate, least=least)
        self.policy = Policy(
            max_message_size=settings.max_message_size,
            max_queued_bytes=settings.max_queued_bytes,
            close_timeout=settings.close_timeout,
            ping_interval=settings.ping_interval,
            ping_timeout=settings.ping_timeout,
            heartbeat=Heartbeat(settings.ping_interval, settings.ping_timeout),
            backlog=Backlog(settings.max_queued_bytes_total, settings.slow_timeout),
        )
        self.session_policy = self.policy._replace(heartbeat=None)  # sessions have pings of their own
        self.on_goodbye: list[OnGoodbye] = []
        self.stopping = False
        self.waits: set[Callable[[], None]] = set()
        """Functions that end waits for clients; a stop calls them after ``stop_timeout`` seconds."""
        self.fanout = Fanout(settings.fan_out_slice, self.sessions.lose)
        self.atlas = Atlas(self.registry, broker)
        self.mirrors = Mirrors(self.atlas, self.begin)
        self._stop_by = 0.0
        self._last_wait: asyncio.TimerHandle | None = None
        self._broker = broker
        self._retention = Retention(settings.history_size, settings.history_ttl)
        self._subscribed: set[str] = set()
        self._subscribing: dict[str, asyncio.Lock] = {}
        self._waiting: Counter[str] = Counter()
        self._chores: set[asyncio.Future[None]] = set()

    # Life

    async def start(self) -> None:
        for kind in self.registry.kinds:
            kind.start(self)
        self.atlas.ensure_complete()
        await self._broker.start(self.fanout.deliver)

    async def stop(self) -> None:
        """Tells every client to come back, and waits at most ``stop_timeout`` seconds for what that began."""
        self.begin_stop()
        while self._chores and self.loop.time() < self._stop_by:
            await asyncio.wait(self._chores, timeout=self._stop_by - self.loop.time())
        for chore in self._chores:
            chore.cancel()
        if self._last_wait is not None:
            self._last_wait.cancel()
        self._end_waits()
        self.alarms.stop()
        self.clocks.stop()
        self.mirrors.stop()
        for kind in self.registry.kinds:
            kind.stop()
        await self._broker.stop()

    def begin_stop(self) -> None:
        """Takes nobody any more, and says goodbye to all."""
        if not self.stopping:
            self.stopping = True
            self._stop_by = self.loop.time() + self.settings.stop_timeout
            self._last_wait = self.loop.call_at(self._stop_by, self._end_waits)
        self.fanout.flush()
        fault = Restarting("the server restarts: come back in a moment")
        for client in tuple(self.clients.values()):
            client.on_fault(fault)
        self.sessions.end_all(fault)

    def _end_waits(self) -> None:
        for end in tuple(self.waits):
            end()

    def begin(self, chore: Awaitable[None]) -> asyncio.Future[None]:
        """Runs ``chore`` beside the rest; ``stop`` awaits it, and its failure is logged."""
        task = asyncio.ensure_future(chore)
        self._chores.add(task)
        task.add_done_callback(self._finish)
        return task

    def _finish(self, chore: asyncio.Future[None]) -> None:
        self._chores.discard(chore)
        if not chore.cancelled():
            error = chore.exception()
            if error is not None:
                _log.error("a background step of the hub failed", exc_info=error)
        elif isinstance(chore, asyncio.Task) and not chore.cancelling():
            _log.error("a background step of the hub failed: something that it awaited was cancelled")

    # Clients

    def welcome(self, client: Client[Any]) -> None:
        """Counts a client in."""
        self.clients[client.info.id] = client
        self.clients_of_user.add(client.info.user, client)
        self.clocks.watch()

    def forget(
        self, client: Client[Any], transport: Transport, channels: Iterable[str], fault: Disconnect | None
    ) -> None:
        """Counts a client out, takes it from its channels, ends its connection and tells who wants to know."""
        if self.clients.pop(client.info.id, None) is None:
            return
        self.clients_of_user.discard(client.info.user, client)
        self.admission.leave(client.info.address)
        self.clocks.unwatch()
        for channel in channels:
            self.leave_soon(channel, transport)
        goodbye = client.goodbye
        assert goodbye is not None
        transport.close(goodbye.code, goodbye.reason)
        if fault is not None:
            if fault.aborts:
                transport.abort()
            if not isinstance(fault, Restarting):
                info = client.info
                _log.warning("client %s (%s, %s): %d %s", info.id, info.address, info.path, fault.code, fault)
        for callback in self.on_goodbye:
            self._tell(callback, client, goodbye)

    def _tell(self, callback: OnGoodbye, client: Client[Any], goodbye: Goodbye) -> None:
        try:
            result = callback(client, goodbye)
        except Exception:
            _log.exception("client %s: an on_goodbye function failed", client.info.id)
            return
        if inspect.isawaitable(result):
            self.begin(result)

    def disconnect(
        self, user: str, end: SessionEnd, client: str = "", secret: str = "", spared: Collection[str] = ()
    ) -> None:
        """Ends sessions and clients of a user: all, or the one of an id or a secret, but for the spared ids."""
        self.sessions.disconnect(user, end, client, secret, spared)
        for one in () if secret else self.clients_of_user.of(user):
            if one.id not in spared and (not client or one.id == client):
                one.end(end.code, end.reason)

    # Channels

    async def join(self, channel: str, receiver: Receiver, encoding: Encoding) -> None:
        """Adds a receiver to a channel; on return its publications are delivered here."""
        first = self.fanout.join(channel, receiver, encoding)
        if first or channel in self._subscribing:
            try:
                await self._subscribe_as_needed(channel)
            except BaseException:
                self.fanout.leave(channel, receiver)
                raise

    async def leave(self, channel: str, receiver: Receiver) -> None:
        """Takes a receiver from a channel, and unsubscribes from the broker with the last."""
        if self.fanout.leave(channel, receiver):
            await self._subscribe_as_needed(channel)

    def leave_soon(self, channel: str, receiver: Receiver) -> None:
        """As ``leave``, which goes on in the background."""
        if self.fanout.leave(channel, receiver):
            self.begin(self._subscribe_as_needed(channel))

    async def _subscribe_as_needed(self, channel: str) -> None:
        """Makes the broker's subscription what the room needs: one step at a time, by what is true then."""
        lock = self._subscribing.setdefault(channel, asyncio.Lock())
        self._waiting[channel] += 1
        try:
            async with lock:
                needed = self.fanout.receivers(channel) > 0
                if needed and channel not in self._subscribed:
                    await self._broker.subscribe(channel)
                    self._subscribed.add(channel)
                elif not needed and channel in self._subscribed:
                    self._subscribed.discard(channel)
                    await self._broker.unsubscribe(channel)
        finally:
            self._waiting[channel] -= 1
            if not self._waiting[channel]:
                del self._waiting[channel], self._subscribing[channel]

    # Publications

    async def publish(
        self,
        channel: str,
        data: Any,
        *,
        tags: Mapping[str, str] | None = None,
        guard: Guard = NO_GUARD,
        delta: bool = False,
        keep: bool = True,
    ) -> Position:
        """See ``Hub.publish``."""
        ensure_on_loop(self, "publish", "publish_sync")
        ensure_text(channel, "channel")
        if guard is not NO_GUARD:
            ensure_text(guard.idempotency_key, "idempotency_key")
        publication = Publication(encode(data), delta=delta, version=guard.version)
        if tags:
            ensure_tags(tags)
            publication = publication._replace(tags=tags)
        try:
            declaration = self.registry.catalogue.find(channel)[0]
        except UnknownChannel:  # no session can be there, and plain clients take any bytes
            return await self._broker.publish(channel, publication, self._retention, guard)
        if not isinstance(declaration.kind, Stream):
            raise UsageError(f"{channel!r} is no stream: publish under a key, with what its declaration returned")
        if declaration.message is not None or isinstance(publication.data, bytes):
            payload = declaration.checked(data, publication.data, f"what is published to {channel!r}")
            publication = publication._replace(data=payload)
        return await self.publish_as(channel, declaration.rules, publication, guard, keep=keep)

    async def publish_as(
        self, channel: str, rules: Rules, publication: Publication, guard: Guard = NO_GUARD, *, keep: bool = True
    ) -> Position:
        """Publishes by the rules of the channel."""
        if rules.delta and not publication.delta:
            publication = publication._replace(delta=True)
        retention = Retention(rules.history if keep else 0, rules.ttl, rules.meta_ttl)
        return await self._broker.publish(channel, publication, retention, guard)

    async def history(
        self, channel: str, since: Position | None = None, limit: int | None = None, *, reverse: bool = False
    ) -> tuple[Sequence[Publication], Position]:
        """What the broker keeps of a channel; see ``History.history``."""
        if not isinstance(self._broker, History):
            raise UsageError(f"{type(self._broker).__name__} keeps no history")
        return await self._broker.history(channel, since, limit, reverse=reverse)

    async def read(
        self, channel: str, since: Position | None = None, limit: int | None = None, *, reverse: bool = False
    ) -> HistoryPage:
        """See ``Hub.history``."""
        if limit is not None and limit < 0:
            raise UsageError(f"limit is {limit}; it must be 0 or more, or None for everything that is kept")
        one_more = None if limit is None else limit + 1
        publications, top = await self.history(channel, since, one_more, reverse=reverse)
        more = limit is not None and len(publications) > limit
        return HistoryPage(publications[:limit], top, more=more)

    async def page(
        self, channel: str, since: Position | None, limit: int | None, *, reverse: bool
    ) -> tuple[Sequence[Publication], Position]:
        """As ``history``, for those who ask from outside.

        Raises:
            InvalidRequest: nothing is before offset 0.
            UnrecoverablePosition: ``since`` is in another epoch.
        """
        if since is not None and reverse and since.offset == 0:
            raise InvalidRequest
        publications, top = await self.history(channel, since, limit, reverse=reverse)
        if since is not None and since.epoch not in ("", top.epoch):
            raise UnrecoverablePosition
        return publications, top

    async def remove_history(self, channel: str) -> None:
        """See ``Hub.remove_history``."""
        if not isinstance(self._broker, History):
            raise UsageError(f"{type(self._broker).__name__} keeps no history")
        await self._broker.remove_history(channel)

    # Presence

    async def enter(self, channel: str, member: Member) -> None:
        await self._roster.enter(channel, member)

    async def exit(self, channel: str, client: str) -> None:
        await self._roster.exit(channel, client)

    async def members(self, channel: str) -> Mapping[str, Member]:
        """See ``Hub.presence``."""
        return await self._roster.members(channel)

    @property
    def _roster(self) -> Roster:
        if not isinstance(self._broker, Roster):
            raise UsageError(f"{type(self._broker).__name__} keeps no presence")
        return self._broker

    async def announce(self, channel: str, presence: Presence) -> None:
        """Tells the subscribers of a channel who came or left."""
        await self._broker.announce(channel, presence)
