"""The map channel: subscribers see all of its entries, and every change to them.

Theory of operation. Entries may be many, so a client reads them page by page, in a dialogue of subscribe requests:

    STATE    a page of entries, by their keys; the position of the first page is that of the state
    STREAM   a page of the changes since a position: for those that state took long, and for those that come back
    LIVE     the rest of the changes; with this answer the client is a subscriber, and held as ``held`` says

The server decides when: as soon as what is left fits into one answer. Nothing is held between two requests. An
entry that has changed since the first page is left out of later ones, since it comes with the changes. A map that
keeps no changes tells with the last page what became of the entries on those before.
"""

from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hubbub.auth.base import Grant
from hubbub.errors import (
    AlreadySubscribed,
    CatchUpTimeout,
    Forbidden,
    InvalidRequest,
    LimitExceeded,
    UnrecoverablePosition,
)
from hubbub.hub.kinds import held
from hubbub.hub.kinds.base import Entry, Kind
from hubbub.hub.kinds.features import Features
from hubbub.hub.maps.answers import MAP, CaughtUpAnswer, LiveAnswer, PageAnswer, RenewedAnswer, View
from hubbub.hub.maps.dialogues import Dialogue, Dialogues
from hubbub.hub.maps.rules import MapRules
from hubbub.hub.portions import portion, room, size_of_all
from hubbub.hub.subscription import Subscription
from hubbub.protocol.commands import PublishRequest, SubscribeRequest
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Publication

if TYPE_CHECKING:
    from hubbub.hub.declaration import Declaration
    from hubbub.hub.session import Session

LIVE, STREAM, STATE = range(3)
"""The phases, in the numbers of the protocol."""


class Map(Kind):
    """The map channels of one pattern."""

    types = frozenset((1,))

    def __init__(self, rules: MapRules) -> None:
        self.rules = rules
        self._dialogues = Dialogues()

    async def admit(
        self, session: "Session", declaration: "Declaration", parameters: Mapping[str, str], request: SubscribeRequest
    ) -> Grant:
        dialogue = self._dialogues.find(session, request.channel) if request.type in self.types else None
        if dialogue is None:
            return await super().admit(session, declaration, parameters, request)
        late = dialogue.until <= session.engine.loop.time()
        if not late and _begins(request):
            raise AlreadySubscribed
        if not late:
            return dialogue.grant
        self._dialogues.take(session, request.channel)
        if not (_begins(request) or request.recover):
            raise CatchUpTimeout
        return await super().admit(session, declaration, parameters, request)

    async def prepare(
        self, session: "Session", declaration: "Declaration", request: SubscribeRequest, grant: Grant
    ) -> Entry:
        if request.type not in self.types:  # the server subscribes: there is no dialogue, and no answer for entries
            features = Features(session, declaration.rules, request, grant)
            answer = LiveAnswer(session, request.channel, features)
            return await answer.prepare(_subscription(declaration, grant, features.flags))
        if request.phase not in (LIVE, STREAM, STATE) or (request.phase == STREAM and not self.rules.streams):
            raise InvalidRequest
        dialogue = self._dialogues.take(session, request.channel)
        if dialogue is None:
            if request.cursor or (request.phase == STREAM and not request.recover):
                raise Forbidden
            until = session.engine.loop.time() + self.rules.catch_up_timeout
            dialogue = Dialogue(grant, Features(session, declaration.rules, request, grant), until)
        entry = await _Step(session, declaration, self.rules, request, dialogue).take()
        if entry.subscription is None:
            self._dialogues.put(session, request.channel, dialogue)
        return entry

    def withdraw(self, session: "Session", channel: str) -> None:
        if channel:
            self._dialogues.take(session, channel)
        else:
            self._dialogues.forget(session)

    def leave(self, session: "Session", channel: str, subscription: Subscription) -> Coroutine[Any, Any, None] | None:
        rest = held.leave(session, channel, subscription)
        return self._remove_own(session, channel, rest) if self.rules.remove_on_leave else rest

    async def _remove_own(self, session: "Session", channel: str, rest: Coroutine[Any, Any, None] | None) -> None:
        if rest is not None:
            await rest
        await session.engine.atlas.remove(channel, session.id)

    async def publish(
        self, session: "Session", declaration: "Declaration", parameters: Mapping[str, str], request: PublishRequest
    ) -> None:
        channel, atlas = request.channel, session.engine.atlas
        subscription = session.subscriptions.get(channel)
        if request.type != MAP:
            raise Forbidden
        if request.removed:
            if not session.may(self.rules.may_remove, subscribed=subscription is not None):
                raise Forbidden
            await atlas.remove(channel, self._key(session, request.key))
            return
        if len(request.key) > self.rules.max_key_length:
            raise InvalidRequest(f"bad request: a key has at most {self.rules.max_key_length} characters")
        key = self._key(session, request.key)
        payload = await declaration.accept(session, channel, parameters, request, subscription, key=key)
        publisher = session.member(subscription.channel_info if subscription is not None else None)
        entry = Publication(payload, key=key, publisher=publisher)
        outcome = await atlas.put(channel, entry, most=self.rules.max_entries)
        if outcome.suppressed == "full":
            raise LimitExceeded(f"limit exceeded: clients may fill the map to {self.rules.max_entries} entries")

    def _key(self, session: "Session", asked: str) -> str:
        """The key that a session's publication gets."""
        if self.rules.client_key == "client_id":
            return session.id
        if self.rules.client_key == "user_id":
            if not session.user:
                raise Forbidden
            return session.user
        return asked


class ClientsMap(Map):
    """Maps of the clients in another channel."""

    types = frozenset((2,))


class UsersMap(Map):
    """Maps of the users in another channel."""

    types = frozenset((3,))


MAPS = {"entries": Map, "clients": ClientsMap, "users": UsersMap}
"""By what their entries are."""


def _begins(request: SubscribeRequest) -> bool:
    """Whether a request is the first of a dialogue, and could not be a later one."""
    return request.phase == STATE and not request.cursor


class _Step:
    """One request of a dialogue, on its way to the answer."""

    def __init__(
        self,
        session: "Session",
        declaration: "Declaration",
        rules: MapRules,
        request: SubscribeRequest,
        dialogue: Dialogue,
    ) -> None:
        self._session = session
        self._declaration = declaration
        self._rules = rules
        self._request = request
        self._dialogue = dialogue
        self._atlas = session.engine.atlas
        self._room = room(session.engine.settings.max_answer_bytes, dialogue.grant.data)
        self._limit = rules.page_size(request.limit)
        self._most = rules.max_catch_up or rules.max_page_size
        self._reach = min(self._limit, self._most)
        """How many changes may be left for the last answer. More may come until that is made, if it takes more."""

    async def take(self) -> Entry:
        request = self._request
        if request.phase == STATE:
            return await self._state()
        since = Position(request.offset, request.epoch)
        return await (self._stream(since) if request.phase == STREAM else self._live(since))

    async def _state(self) -> Entry:
        request, dialogue = self._request, self._dialogue
        page = await self._atlas.entries(request.channel, request.cursor, self._limit)
        fits = portion(page.entries, self._room, quoted=dialogue.features.delta)
        if len(fits) < len(page.entries):
            page = page._replace(entries=fits, cursor=fits[-1].key)
        given = request.epoch or (self._rules.streams and request.offset)
        if given and request.epoch != page.position.epoch:
            raise UnrecoverablePosition
        position = dialogue.position = dialogue.position or page.position
        entries = [entry for entry in page.entries if entry.offset <= position.offset]
        last = not page.cursor and position.offset + self._reach >= page.position.offset
        if last and await self._has_room(position, entries):
            return await self._live(position, entries)
        if not self._rules.streams:
            dialogue.sent.update((entry.key, entry) for entry in entries if self._view.sees(entry))
        answer = PageAnswer(STATE, position)
        answer.result.cursor = page.cursor
        answer.result.state = self._view.entries(entries)
        return answer

    async def _stream(self, since: Position) -> Entry:
        dialogue = self._dialogue
        if dialogue.stream_top is None:
            _, top = await self._atlas.changes(self._request.channel, None, 0)
            dialogue.stream_top = top.offset
        if since.offset + self._reach >= dialogue.stream_top and await self._has_room(since):
            return await self._live(since)
        changes, top = await self._atlas.changes(self._request.channel, since, self._limit)
        if since.epoch != top.epoch or not changes or changes[0].offset != since.offset + 1:
            raise UnrecoverablePosition
        changes = portion(changes, self._room, quoted=dialogue.features.delta)
        answer = PageAnswer(STREAM, Position(changes[-1].offset, top.epoch))
        answer.result.publications = self._view.page(changes)
        return answer

    async def _has_room(self, since: Position, entries: Sequence[Publication] = ()) -> bool:
        """Whether the last answer has room for these entries and for what changed since a position."""
        if not self._rules.streams:
            return True
        changes, _ = await self._atlas.changes(self._request.channel, since, self._reach)
        return size_of_all((*entries, *changes), quoted=self._dialogue.features.delta) <= self._room

    async def _live(self, since: Position, entries: Sequence[Publication] | None = None) -> Entry:
        """Ends the dialogue.

        Args:
            since: what the client has seen.
            entries: the last page of them, if it has yet to see that.
        """
        session, request, dialogue, rules = self._session, self._request, self._dialogue, self._rules
        features = dialogue.features
        answer: LiveAnswer
        if rules.streams:
            answer = CaughtUpAnswer(session, request, features, since, self._most, self._room, entries or ())
        elif entries is not None:
            answer = RenewedAnswer(session, request.channel, dialogue, self._room)
        else:
            answer = LiveAnswer(session, request.channel, features)
        answer.result.type, answer.result.epoch = MAP, since.epoch
        answer.result.was_recovering = request.recover
        answer.result.publish_debounce = round(rules.debounce * 1000)
        flags = features.flags | (Subscription.POSITIONED if rules.streams else 0)
        return await answer.prepare(_subscription(self._declaration, dialogue.grant, flags))

    @property
    def _view(self) -> View:
        return View(self._session.codec, self._dialogue.features)


def _subscription(declaration: "Declaration", grant: Grant, flags: int) -> Subscription:
    return Subscription(declaration, channel_info=grant.info, expire_at=grant.expire_at, flags=flags)
