"""A broker as far away as a network makes it: it takes its time, delivers late, and loses or repeats deliveries."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from hubbub import Broker, History, Position, Publication, Retention
from hubbub.brokers.base import NO_GUARD, Deliver, Guard, Roster
from hubbub.protocol.publication import Event, Member, Presence

A_TURN = 0.001
"""A delay that is no time at all, but a turn of the event loop."""


class Snapshot(NamedTuple):
    """What a history was when a session asked it for what it missed."""

    at: float
    channel: str
    since: Position | None
    top: Position
    kept: frozenset[int]
    """Offsets, read right behind the answer: what was there then was there for the answer too."""


class Unreliable(Broker, History, Roster):
    """Another broker, behind a bad network. The order of each channel's deliveries stays, as brokers promise.

    Args:
        inner: what keeps the truth; it also has ``History`` and ``Roster``.
        delays: seconds that the steps of its answers take, one after the other and then from the start again.
        note: told of each publication with an offset, once or more.
    """

    def __init__(self, inner: Broker, delays: Sequence[float], note: Callable[[str, Publication], None]) -> None:
        assert isinstance(inner, History)
        assert isinstance(inner, Roster)
        self.inner: Broker = inner
        self.kept: History = inner
        self.roster: Roster = inner
        self.note = note
        self.snapshots: list[Snapshot] = []
        self.subscribed: set[str] = set()
        self.lag: dict[str, float] = {}
        """Seconds by which the deliveries of a channel are late."""
        self.losing: Counter[str] = Counter()
        """How many of the next publications of a channel are not delivered."""
        self.repeating: Counter[str] = Counter()
        """How many of the next ones are delivered more than once."""
        self.repeated: set[str] = set()
        """Where that has happened."""
        self._delays = tuple(delays) or (0.0,)
        self._calls = 0
        self._again: dict[str, list[Event]] = {}
        self._under_way: dict[str, deque[tuple[float, Event]]] = {}
        self._deliver: Deliver | None = None

    def calm(self) -> None:
        """From now on it is as near and good as a broker can be; what is under way still is."""
        self._delays = (0.0,)
        self.lag.clear()
        self.losing.clear()
        self.repeating.clear()

    async def _take_time(self) -> None:
        delay = self._delays[self._calls % len(self._delays)]
        self._calls += 1
        if delay:
            await asyncio.sleep(0 if delay == A_TURN else delay)

    async def start(self, deliver: Deliver) -> None:
        self._deliver = deliver
        await self.inner.start(self._on_delivery)

    async def stop(self) -> None:
        self._deliver = None
        await self.inner.stop()

    async def publish(
        self, channel: str, publication: Publication, retention: Retention, guard: Guard = NO_GUARD
    ) -> Position:
        await self._take_time()
        position = await self.inner.publish(channel, publication, retention, guard)
        if position.offset:
            self.note(channel, publication._replace(offset=position.offset, epoch=position.epoch))
        await self._take_time()
        return position

    async def announce(self, channel: str, presence: Presence) -> None:
        await self._take_time()
        await self.inner.announce(channel, presence)
        await self._take_time()

    async def subscribe(self, channel: str) -> None:
        await self._take_time()
        await self.inner.subscribe(channel)
        self.subscribed.add(channel)
        await self._take_time()

    async def unsubscribe(self, channel: str) -> None:
        await self._take_time()
        self.subscribed.discard(channel)
        self._drop_presence(channel)
        await self.inner.unsubscribe(channel)
        await self._take_time()

    async def history(
        self, channel: str, since: Position | None = None, limit: int | None = None, *, reverse: bool = False
    ) -> tuple[Sequence[Publication], Position]:
        await self._take_time()
        at = asyncio.get_running_loop().time()
        found, top = await self.kept.history(channel, since, limit, reverse=reverse)
        kept, _ = await self.kept.history(channel)
        self.snapshots.append(Snapshot(at, channel, since, top, frozenset(one.offset for one in kept)))
        for publication in kept:
            self.note(channel, publication)
        await self._take_time()
        return found, top

    async def remove_history(self, channel: str) -> None:
        await self._take_time()
        await self.kept.remove_history(channel)
        await self._take_time()

    async def enter(self, channel: str, member: Member) -> None:
        await self._take_time()
        await self.roster.enter(channel, member)
        await self._take_time()

    async def exit(self, channel: str, client: str) -> None:
        await self._take_time()
        await self.roster.exit(channel, client)
        await self._take_time()

    async def members(self, channel: str) -> Mapping[str, Member]:
        return await self.roster.members(channel)

    # Deliveries

    def _on_delivery(self, channel: str, event: Event) -> None:
        events = [event]
        if isinstance(event, Publication) and event.offset:
            self.note(channel, event)
            events = self._as_it_goes(channel, event)
        if channel not in self.subscribed:
            return
        lag = self.lag.get(channel, 0.0)
        waiting = self._under_way.get(channel)
        if waiting is None and not lag:
            for one in events:
                self._hand_over(channel, one)
        elif events:
            due = asyncio.get_running_loop().time() + lag
            if waiting is None:
                waiting = self._under_way[channel] = deque()
                self._set_timer(channel, due)
            waiting.extend((due, one) for one in events)

    def _as_it_goes(self, channel: str, publication: Publication) -> list[Event]:
        """What is delivered where ``publication`` should be."""
        if self.losing[channel]:
            self.losing[channel] -= 1
            return []
        again = self._again.pop(channel, [])
        if not self.repeating[channel]:
            return [publication, *again]
        self.repeating[channel] -= 1
        self.repeated.add(channel)
        self._again[channel] = [publication]  # behind the next one, too
        return [publication, publication, *again]

    def _drop_presence(self, channel: str) -> None:
        """Who came or left is nothing to a later subscription."""
        waiting = self._under_way.get(channel)
        if waiting is not None:
            kept = [(due, event) for due, event in waiting if isinstance(event, Publication)]
            waiting.clear()
            waiting.extend(kept)

    def _set_timer(self, channel: str, due: float) -> None:
        asyncio.get_running_loop().call_at(due, self._on_time, channel)

    def _on_time(self, channel: str) -> None:
        waiting = self._under_way[channel]
        now = asyncio.get_running_loop().time()
        while waiting and waiting[0][0] <= now:
            self._hand_over(channel, waiting.popleft()[1])
        if waiting:
            self._set_timer(channel, waiting[0][0])
        else:
            del self._under_way[channel]

    def _hand_over(self, channel: str, event: Event) -> None:
        if self._deliver is not None:
            self._deliver(channel, event)
