"""What the requests of a dialogue are answered with: a page, or the subscription."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hubbub.errors import UnrecoverablePosition
from hubbub.hub.encodings import Encoding, FilteredMap, delta_publication, map_deltas, pushes, unseen
from hubbub.hub.kinds.base import Entry
from hubbub.hub.kinds.features import Features
from hubbub.hub.kinds.held import HeldEntry
from hubbub.hub.maps.dialogues import Dialogue
from hubbub.hub.portions import size_of_all
from hubbub.protocol.codecs import Codec
from hubbub.protocol.commands import SubscribeRequest
from hubbub.protocol.events import Publication as Message
from hubbub.protocol.events import SubscribeResult
from hubbub.protocol.position import Position, recover_stream
from hubbub.protocol.publication import Publication

if TYPE_CHECKING:
    from hubbub.hub.session import Session

MAP = 1
"""What results say that they are of, whatever the map is of."""


class View:
    """Entries and changes as one session is sent them."""

    def __init__(self, codec: Codec, features: Features) -> None:
        self._codec = codec
        self._delta = features.delta
        self._filter = features.filter

    def sees(self, publication: Publication) -> bool:
        """Whether it is one that the session wants."""
        return self._filter is None or self._filter.matches(publication.tags)

    def entries(self, entries: Sequence[Publication]) -> list[Message]:
        """Entries in full, those that the session sees."""
        return self._full([entry for entry in entries if self.sees(entry)])

    def page(self, changes: Sequence[Publication]) -> list[Message]:
        """Changes in full. The session may have seen an entry before that it does not see now: that is removed."""
        return self._full([change if self.sees(change) else unseen(change) for change in changes])

    def changes(self, changes: Sequence[Publication]) -> list[Message]:
        """Changes, each as what differs from the one of its key before."""
        if not self._delta:
            return self.page(changes)
        befores: dict[str, Publication] = {}
        messages = []
        for change in changes:
            messages.append(delta_publication(self._codec, change, befores.get(change.key)))
            befores[change.key] = change
        return messages

    def _full(self, publications: Sequence[Publication]) -> list[Message]:
        if self._delta:
            return [delta_publication(self._codec, one, None) for one in publications]
        return [self._codec.publication(one) for one in publications]


class PageAnswer(Entry):
    """A page; the dialogue goes on."""

    def __init__(self, phase: int, position: Position) -> None:
        self.result = SubscribeResult(type=MAP, phase=phase, epoch=position.epoch, offset=position.offset)
        self.subscription = None

    def commit(self) -> Sequence[Any]:
        return ()

    def abandon(self) -> None:
        """Nothing was prepared."""


class LiveAnswer(HeldEntry):
    """The subscription, to changes from now on."""

    def __init__(self, session: "Session", channel: str, features: Features) -> None:
        super().__init__(session, channel, features)
        self._view = View(session.codec, features)
        self.result.delta = features.delta

    def encoding(self, *, fresh: bool) -> Encoding:
        features = self._features
        framing, codec = self._session.transport.framing, self._session.codec
        make = map_deltas if features.delta else pushes
        encoding: Encoding = make(framing, codec, presence=features.pushes_presence)
        return encoding if features.filter is None else FilteredMap(encoding, features.filter)

    def commit(self) -> Sequence[Any]:
        return self.go_live(self.encoding(fresh=True))


class RenewedAnswer(LiveAnswer):
    """The subscription to a map without a stream, for a session that has read its entries up to the last page."""

    def __init__(self, session: "Session", channel: str, dialogue: Dialogue, room: int) -> None:
        super().__init__(session, channel, dialogue.features)
        self._sent = dialogue.sent
        self._room = room

    async def read(self) -> None:
        """Gives the entries that were not sent as they are now, and removals of those that are no more.

        If there is no room for so much, the client reads the map anew.
        """
        page = await self._session.engine.atlas.entries(self._channel)
        now = {entry.key: entry for entry in page.entries if self._view.sees(entry)}
        changed = [one for key, one in now.items() if self._sent.get(key) != one]
        gone = [unseen(one) for key, one in self._sent.items() if key not in now]
        size = size_of_all((*changed, *gone))
        if size and size > self._room:
            raise UnrecoverablePosition
        self.result.state = self._view.entries(changed)
        self.result.publications = self._view.page(gone)


class CaughtUpAnswer(LiveAnswer):
    """The subscription to a map with a stream, for a session that has seen all up to a position."""

    def __init__(
        self,
        session: "Session",
        request: SubscribeRequest,
        features: Features,
        since: Position,
        most: int,
        room: int,
        entries: Sequence[Publication] = (),
    ) -> None:
        super().__init__(session, request.channel, features)
        self._since = since
        self._most = most
        self._room = room - size_of_all(entries, quoted=features.delta)
        self.result.recoverable = True
        self.result.recovered = request.recover
        self.result.state = self._view.entries(entries)

    async def read(self) -> None:
        """Gives the changes that came since. More than there is room for, and the client reads the map anew."""
        since, most, result = self._since, self._most, self.result
        changes, top = await self._session.engine.atlas.changes(self._channel, since, most)
        if since.epoch != top.epoch or not recover_stream(since, changes, top, most).recovered:
            raise UnrecoverablePosition
        size = size_of_all(changes, quoted=self._features.delta)
        if size and size > self._room:
            raise UnrecoverablePosition
        self._position = top
        result.offset = top.offset
        result.publications = self._view.changes(changes)
