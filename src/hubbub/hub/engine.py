"""The hub of one process: broker, rooms, live clients, heartbeat and limits, from start to stop."""

import asyncio
import inspect
import logging
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from hubbub.brokers.base import Broker, Retention
from hubbub.errors import Disconnect, Goodbye, Restarting, UsageError
from hubbub.hub.admission import Admission
from hubbub.hub.backlog import Backlog
from hubbub.hub.client import Client
from hubbub.hub.fanout import Fanout
from hubbub.hub.heartbeat import Heartbeat
from hubbub.hub.transport import Policy, Transport
from hubbub.protocol.position import Position
from hubbub.protocol.publication import encode
from hubbub.settings import Settings

_log = logging.getLogger("hubbub")

OnGoodbye = Callable[[Client[Any], Goodbye], Awaitable[None] | None]

NOT_RUNNING = (
    "the hub is not running: give FastAPI its lifespan, FastAPI(lifespan=hub.lifespan); "
    "in a test, enter the client: with TestClient(app) as client"
)


class Engine:
    """What runs between start and stop of a hub, on one event loop."""

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()
        self.clients: dict[str, Client[Any]] = {}
        self.admission = Admission(settings.max_connections, settings.max_connections_per_address)
        self.policy = Policy(
            max_message_size=settings.max_message_size,
            max_queued_bytes=settings.max_queued_bytes,
            close_timeout=settings.close_timeout,
            ping_interval=settings.ping_interval,
            ping_timeout=settings.ping_timeout,
            heartbeat=Heartbeat(settings.ping_interval, settings.ping_timeout),
            backlog=Backlog(settings.max_queued_bytes_total),
        )
        self.on_goodbye: list[OnGoodbye] = []
        self.stopping = False
        self._stop_by = 0.0
        self._broker = broker
        self._fanout = Fanout(settings.fan_out_slice)
        self._retention = Retention(settings.history_size, settings.history_ttl)
        self._subscribed: set[str] = set()
        self._subscribing: dict[str, asyncio.Lock] = {}
        self._waiting: Counter[str] = Counter()
        self._chores: set[asyncio.Future[None]] = set()

    async def start(self) -> None:
        await self._broker.start(self._fanout.deliver)

    async def stop(self) -> None:
        """Tells every client to come back (1012), and waits at most ``stop_timeout`` seconds for what that began."""
        self.begin_stop()
        while self._chores and self.loop.time() < self._stop_by:
            await asyncio.wait(self._chores, timeout=self._stop_by - self.loop.time())
        for chore in self._chores:
            chore.cancel()
        await self._broker.stop()

    def begin_stop(self) -> None:
        """Takes nobody any more, and says goodbye to all."""
        if not self.stopping:
            self.stopping = True
            self._stop_by = self.loop.time() + self.settings.stop_timeout
        self._fanout.flush()
        fault = Restarting("the server restarts: come back in a moment")
        for client in tuple(self.clients.values()):
            client.on_fault(fault)

    async def publish(self, channel: str, data: Any) -> Position:
        """See ``Hub.publish``."""
        if asyncio.get_running_loop() is not self.loop:
            raise UsageError("publish from another event loop: use hub.publish_sync, which is safe from anywhere")
        return await self._broker.publish(channel, encode(data), self._retention)

    def welcome(self, client: Client[Any]) -> None:
        """Counts a client in."""
        self.clients[client.info.id] = client

    def forget(
        self, client: Client[Any], transport: Transport, channels: Iterable[str], fault: Disconnect | None
    ) -> None:
        """Counts a client out, takes it from its channels, ends its connection and tells who wants to know."""
        if self.clients.pop(client.info.id, None) is None:
            return
        self.admission.leave(client.info.address)
        for channel in channels:
            if self._fanout.leave(channel, transport):
                self._begin(self._subscribe_as_needed(channel))
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

    async def join(self, channel: str, transport: Transport) -> None:
        """Adds a receiver to a channel; on return its publications are delivered here."""
        first = self._fanout.join(channel, transport)
        if first or channel in self._subscribing:
            try:
                await self._subscribe_as_needed(channel)
            except BaseException:
                self._fanout.leave(channel, transport)
                raise

    async def leave(self, channel: str, transport: Transport) -> None:
        """Takes a receiver from a channel, and unsubscribes from the broker with the last."""
        if self._fanout.leave(channel, transport):
            await self._subscribe_as_needed(channel)

    async def _subscribe_as_needed(self, channel: str) -> None:
        """Makes the broker's subscription what the room needs: one step at a time, by what is true then."""
        lock = self._subscribing.setdefault(channel, asyncio.Lock())
        self._waiting[channel] += 1
        try:
            async with lock:
                needed = self._fanout.receivers(channel) > 0
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

    def _tell(self, callback: OnGoodbye, client: Client[Any], goodbye: Goodbye) -> None:
        try:
            result = callback(client, goodbye)
        except Exception:
            _log.exception("client %s: an on_goodbye function failed", client.info.id)
            return
        if inspect.isawaitable(result):
            self._begin(result)

    def _begin(self, chore: Awaitable[None]) -> None:
        """Runs ``chore`` beside the rest; ``stop`` awaits it, and its failure is logged."""
        task = asyncio.ensure_future(chore)
        self._chores.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, chore: asyncio.Future[None]) -> None:
        self._chores.discard(chore)
        if not chore.cancelled() and (error := chore.exception()) is not None:
            _log.error("a background step of the hub failed", exc_info=error)
