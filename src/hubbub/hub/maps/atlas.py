"""The map channels of one hub: what the app, the HTTP API and sessions do with their entries."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hubbub.brokers.base import NO_GUARD, Broker, Guard
from hubbub.brokers.maps import Maps, Only, Outcome, Page
from hubbub.errors import InvalidRequest, UnknownChannel, UsageError
from hubbub.hub.kinds.maps import Map
from hubbub.hub.maps.rules import MapRules
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Publication

if TYPE_CHECKING:
    from hubbub.hub.declaration import Declaration
    from hubbub.hub.registry import Registry


class Atlas:
    """Entries of channels, by the rules of each channel.

    All of its methods raise ``UnknownChannel`` for a channel that is not declared, and ``InvalidRequest`` for one
    that is no map channel.
    """

    def __init__(self, registry: "Registry", broker: Broker) -> None:
        self._catalogue = registry.catalogue
        self._broker = broker

    def ensure_complete(self) -> None:
        """Refuses what could not work.

        Raises:
            UsageError: the broker keeps no maps, or a channel's presence is to be in a map that there is none of.
        """
        for declaration in self._catalogue:
            if isinstance(declaration.kind, Map) and not isinstance(self._broker, Maps):
                raise UsageError(
                    f"{type(self._broker).__name__} keeps no maps, as channel {declaration.pattern.text!r} needs"
                )
            self._ensure_map_of("clients", declaration.rules.clients_map, declaration)
            self._ensure_map_of("users", declaration.rules.users_map, declaration)

    def _ensure_map_of(self, what: str, prefix: str, declaration: "Declaration") -> None:
        if not prefix:
            return
        pattern = declaration.pattern
        name = prefix + pattern.name(dict.fromkeys(pattern.parameters, "x"))
        try:
            kind = self._catalogue.find(name)[0].kind
        except UnknownChannel:
            kind = None
        if not isinstance(kind, Map) or kind.rules.of != what:
            raise UsageError(
                f"{what}_map={prefix!r} of channel {pattern.text!r} leads to {name!r}, which is no map of {what}: "
                f'declare hub.map_channel("{prefix}{{channel:path}}", of="{what}", key_ttl="60s")'
            )

    async def put(
        self, channel: str, entry: Publication, guard: Guard = NO_GUARD, only: Only = "", *, most: int = 0
    ) -> Outcome:
        """Makes ``entry`` the one of its key; with ``most``, no other one is added to so many."""
        declaration, rules = self._find(channel)
        if not entry.key:
            raise InvalidRequest
        if declaration.rules.delta:
            entry = entry._replace(delta=True)
        return await self._maps.put_entry(channel, entry, rules.retention, guard, only, most)

    async def remove(self, channel: str, key: str, guard: Guard = NO_GUARD) -> Outcome:
        """Removes the entry of ``key``."""
        rules = self.rules(channel)
        if not key:
            raise InvalidRequest
        return await self._maps.remove_entry(channel, key, rules.retention, guard)

    async def entries(self, channel: str, after: str = "", limit: int | None = None, *, key: str = "") -> Page:
        """The entries behind the key ``after``, or the one of ``key``."""
        return await self._maps.entries(channel, self.rules(channel).retention, after, limit, key=key)

    async def changes(
        self, channel: str, since: Position | None = None, limit: int | None = None, *, reverse: bool = False
    ) -> tuple[Sequence[Publication], Position]:
        """What the stream of changes has."""
        return await self._maps.changes(channel, self.rules(channel).retention, since, limit, reverse=reverse)

    async def count(self, channel: str) -> int:
        """How many entries there are."""
        self.rules(channel)
        return await self._maps.count_entries(channel)

    async def clear(self, channel: str) -> None:
        """Removes all entries, and begins a new epoch."""
        self.rules(channel)
        await self._maps.clear_entries(channel)

    def rules(self, channel: str) -> MapRules:
        """The rules of a map channel."""
        return self._find(channel)[1]

    def _find(self, channel: str) -> tuple["Declaration", MapRules]:
        if not channel:
            raise InvalidRequest
        declaration = self._catalogue.find(channel)[0]
        if not isinstance(declaration.kind, Map):
            raise InvalidRequest
        return declaration, declaration.kind.rules

    @property
    def _maps(self) -> Maps:
        assert isinstance(self._broker, Maps)
        return self._broker
