"""Who is in a channel, as the entries of a map channel: for those who want to see it change."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from hubbub.channels import Rules
from hubbub.hub.maps.atlas import Atlas
from hubbub.protocol.publication import NO_DATA, Member, Publication

_TOUCHES = 3
"""How often an entry is touched in its time to live."""
_SLICE = 100
"""Entries that are touched before the event loop gets its turn."""

_Place = tuple[str, str]
"""A map channel and a key."""


class Mirrors:
    """The presence of sessions of this hub in map channels.

    An entry stands for all clients that came under its key. When the last has left, that of a client is removed;
    that of a user is no longer touched, and so expires: it may be in another hub, or come back in a moment. Entering
    twice is entering once.
    """

    def __init__(self, atlas: Atlas, begin: Callable[[Awaitable[None]], object]) -> None:
        self._atlas = atlas
        self._begin = begin
        self._clients: dict[_Place, tuple[str, ...]] = {}
        self._touched: dict[float, dict[_Place, Publication]] = {}  # by their time to live
        self._timers: dict[float, asyncio.TimerHandle] = {}

    async def enter(self, channel: str, rules: Rules, member: Member) -> None:
        """Shows a member of ``channel`` where its rules say."""
        for name, entry in _mirrored(channel, rules, member):
            place = (name, entry.key)
            self._clients[place] = (*self._clients.get(place, ()), member.client)
            self._keep(place, entry)
            await self._atlas.put(name, entry, only="touch")

    async def change(self, channel: str, rules: Rules, member: Member) -> None:
        """Shows a member that has entered with another info."""
        for name, entry in _mirrored(channel, rules, member):
            place = (name, entry.key)
            if place in self._clients and entry.publisher is not None:
                self._keep(place, entry)
                await self._atlas.put(name, entry)

    async def exit(self, channel: str, rules: Rules, member: Member) -> None:
        """Ends what ``enter`` began."""
        for name, entry in _mirrored(channel, rules, member):
            place = (name, entry.key)
            others = tuple(client for client in self._clients.pop(place, ()) if client != member.client)
            if others:
                self._clients[place] = others
                continue
            for touched in self._touched.values():
                touched.pop(place, None)
            if entry.publisher is not None:
                await self._atlas.remove(name, entry.key)

    def stop(self) -> None:
        """Touches nothing any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _keep(self, place: _Place, entry: Publication) -> None:
        ttl = self._atlas.rules(place[0]).key_ttl
        if ttl:
            self._touched.setdefault(ttl, {})[place] = entry
            if ttl not in self._timers:
                self._wait(ttl)

    def _wait(self, ttl: float) -> None:
        self._timers[ttl] = asyncio.get_running_loop().call_later(ttl / _TOUCHES, self._wake, ttl)

    def _wake(self, ttl: float) -> None:
        if self._touched[ttl]:
            self._begin(self._touch(ttl))
            self._wait(ttl)
        else:
            del self._touched[ttl], self._timers[ttl]

    async def _touch(self, ttl: float) -> None:
        touched = self._touched[ttl]
        for number, (place, entry) in enumerate(tuple(touched.items()), 1):
            if place in touched:  # else it has left meanwhile
                await self._atlas.put(place[0], entry, only="touch")
            if number % _SLICE == 0:
                await asyncio.sleep(0)


def _mirrored(channel: str, rules: Rules, member: Member) -> Iterator[tuple[str, Publication]]:
    """The entries that show a member, and the map of each."""
    if rules.clients_map:
        yield rules.clients_map + channel, Publication(NO_DATA, key=member.client, publisher=member)
    if rules.users_map and member.user:
        yield rules.users_map + channel, Publication(NO_DATA, key=member.user)
