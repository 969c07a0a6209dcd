"""The ordinary channel: a stream of publications, with history, recovery, presence, deltas and filters.

Theory of operation. What a session missed is read from the history; what comes from now on arrives by the
fan-out. Neither may leave a gap to the other or repeat it, and nothing may come before the answer to the
subscribe. So a ``Held`` joins the channel first, and keeps what arrives while the history is read. In the turn
of the event loop in which the answer goes out, the session's transport joins in its place, and gets from the
``Held`` what the answer has not.
"""

from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hubbub.auth.base import Grant
from hubbub.channels import Rules
from hubbub.errors import BadRequest, InsufficientState, InvalidRequest, UnrecoverablePosition
from hubbub.hub.encodings import HOLD, Encoding, Filtered, Held, delta_publication, deltas, pushes
from hubbub.hub.kinds.base import Entry, Kind
from hubbub.hub.subscription import Subscription
from hubbub.protocol.commands import PublishRequest, SubscribeRequest
from hubbub.protocol.events import SubscribeResult
from hubbub.protocol.filters import Filter
from hubbub.protocol.position import Position, Recovery, recover_cache, recover_stream
from hubbub.protocol.publication import Presence, Publication

if TYPE_CHECKING:
    from hubbub.hub.declaration import Declaration
    from hubbub.hub.session import Session

_TELL_UNRECOVERABLE = 2
"""The flag of a subscribe request that asks for error 112 instead of a subscription with a gap."""


class _Features:
    """What one subscription gets of what its channel offers, its request asks for and its grant overrides."""

    __slots__ = (
        "announced",
        "auto_cache",
        "cache",
        "delta",
        "filter",
        "positioned",
        "presence",
        "pushes_presence",
        "recoverable",
    )  # fmt: skip

    def __init__(self, session: "Session", name: str, rules: Rules, request: SubscribeRequest, grant: Grant) -> None:
        override = grant.override
        history = rules.history > 0
        reads_history = history and session.may(rules.may_read_history, subscribed=True)
        self.recoverable = history and (
            _or(override.force_recovery, rules.recovery == "force")
            or (request.recoverable and (bool(rules.recovery) or reads_history))
        )
        self.positioned = self.recoverable or (
            history
            and (
                _or(override.force_positioning, rules.positioning == "force")
                or (request.positioned and (bool(rules.positioning) or reads_history))
            )
        )
        self.cache = rules.recovery_mode == "cache"
        self.auto_cache = self.recoverable and self.cache and rules.auto_cache
        self.presence = _or(override.presence, rules.presence)
        self.announced = _or(override.join_leave, bool(rules.join_leave))
        self.pushes_presence = _or(override.force_push_join_leave, rules.join_leave == "force") or (
            request.join_leave and self.announced and session.may(rules.may_see_presence, subscribed=True)
        )
        if request.delta not in ("", "fossil"):
            raise BadRequest
        self.filter: Filter | None = None
        if request.tf is not None:
            if not rules.tags_filter:
                raise InvalidRequest
            try:
                self.filter = Filter.parse(request.tf)
            except ValueError as error:
                raise InvalidRequest(f"bad request: {error}") from None
        self.delta = request.delta == "fossil" and rules.delta and self.filter is None

    def encoding(self, session: "Session", *, fresh: bool) -> Encoding:
        framing, codec = session.transport.framing, session.codec
        if self.delta:
            return deltas(framing, codec, presence=self.pushes_presence, fresh=fresh)
        encoding = pushes(framing, codec, presence=self.pushes_presence)
        return encoding if self.filter is None else Filtered(encoding, self.filter)


def _or(override: bool | None, rule: bool) -> bool:
    return rule if override is None else override


class _StreamEntry(Entry):
    def __init__(self, session: "Session", channel: str, features: _Features) -> None:
        self._session = session
        self._channel = channel
        self._features = features
        self._held = Held()
        self._position: Position | None = None
        self._recovered: Sequence[Publication] | None = None
        self.result = SubscribeResult()

    async def enter(self) -> None:
        await self._session.engine.join(self._channel, self._held, HOLD)

    async def read(self, request: SubscribeRequest) -> None:
        """Reads the history as far as the subscription asks for it."""
        features, result = self._features, self.result
        engine = self._session.engine
        since = Position(request.offset, request.epoch)
        recovery: Recovery | None = None
        if features.recoverable and (request.recover or features.auto_cache):
            if features.cache:
                newest, top = await engine.history(self._channel, None, 1, reverse=True)
                recovery = recover_cache(since, newest, top)
            else:
                limit = engine.settings.max_recovered_publications
                missed, top = await engine.history(self._channel, since, limit + 1)
                recovery = recover_stream(since, missed, top, limit)
        else:
            _, top = await engine.history(self._channel, None, 0)
        self._position = top
        result.positioned = True
        result.recoverable = features.recoverable
        result.epoch = top.epoch
        result.offset = top.offset
        if recovery is None:
            return
        result.was_recovering = True
        if recovery.recovered:
            result.recovered = True
            self._recovered = recovery.missed
            if not features.cache:
                result.offset = since.offset
            result.publications = self._messages(recovery.missed)
        elif request.flag & _TELL_UNRECOVERABLE:
            raise UnrecoverablePosition

    def _messages(self, missed: Sequence[Publication]) -> list[Any]:
        codec, features = self._session.codec, self._features
        if features.filter is not None:
            return [codec.publication(one) for one in missed if features.filter.matches(one.tags)]
        if not features.delta:
            return [codec.publication(one) for one in missed]
        befores = (None, *missed)
        return [delta_publication(codec, one, before) for one, before in zip(missed, befores, strict=False)]

    def commit(self) -> Sequence[Any]:
        session, channel, held = self._session, self._channel, self._held
        engine = session.engine
        top = self._position
        knows_last = self._recovered is not None and top is not None and engine.fanout.follows(channel, top.offset)
        encoding = self._features.encoding(session, fresh=not knows_last)
        # The transport first, so that the channel is never without a receiver; it is late for all that is held.
        engine.fanout.join(channel, session.transport, encoding)
        engine.fanout.leave(channel, held)
        events = [event for event in held if type(event) is Publication or self._features.pushes_presence]
        if top is not None:
            events = self._after(events, top)
        if not events:
            return ()
        batch = encoding.join(channel, events, None)
        if encoding.after_first is not None:
            engine.fanout.change(channel, session.transport, encoding.after_first)
        return () if batch is None else (batch,)

    def _after(self, events: Sequence[Any], top: Position) -> list[Any]:
        """What the answer does not have yet, without a gap to it."""
        rest: list[Any] = []
        offset = top.offset
        for event in events:
            if type(event) is Publication and event.offset:
                if event.epoch == top.epoch and event.offset <= offset:
                    continue
                if event.epoch != top.epoch or event.offset != offset + 1:
                    raise InsufficientState
                offset = event.offset
            rest.append(event)
        return rest

    def abandon(self) -> None:
        self._session.engine.leave_soon(self._channel, self._held)
        subscription = self.subscription
        if subscription is not None and subscription.present:
            self._session.engine.begin(self._session.engine.exit(self._channel, self._session.id))


class Stream(Kind):
    """Channels as they are unless declared otherwise."""

    types = frozenset((0,))

    async def prepare(
        self, session: "Session", declaration: "Declaration", request: SubscribeRequest, grant: Grant
    ) -> Entry:
        channel = request.channel
        features = _Features(session, channel, declaration.rules, request, grant)
        entry = _StreamEntry(session, channel, features)
        entry.subscription = None
        await entry.enter()
        try:
            if features.positioned:
                await entry.read(request)
            if features.presence:
                await session.engine.enter(channel, session.member(grant.info))
        except BaseException:
            entry.abandon()
            raise
        entry.result.delta = features.delta
        flags = (
            (Subscription.POSITIONED if features.positioned else 0)
            | (Subscription.PRESENT if features.presence else 0)
            | (Subscription.ANNOUNCED if features.announced else 0)
        )
        entry.subscription = Subscription(declaration, channel_info=grant.info, expire_at=grant.expire_at, flags=flags)
        return entry

    def leave(self, session: "Session", channel: str, subscription: Subscription) -> Coroutine[Any, Any, None] | None:
        session.engine.leave_soon(channel, session.transport)
        present = subscription.present or subscription.announced
        return self._depart(session, channel, subscription) if present else None

    async def _depart(self, session: "Session", channel: str, subscription: Subscription) -> None:
        engine = session.engine
        if subscription.present:
            await engine.exit(channel, session.id)
        if subscription.announced:
            await engine.announce(channel, Presence(session.member(subscription.channel_info), joined=False))

    async def publish(
        self, session: "Session", declaration: "Declaration", parameters: Mapping[str, str], request: PublishRequest
    ) -> None:
        if request.type != 0:
            raise InvalidRequest
        channel = request.channel
        subscription = session.subscriptions.get(channel)
        payload = await declaration.accept(session, channel, parameters, request, subscription)
        publisher = session.member(subscription.channel_info if subscription is not None else None)
        await session.engine.publish_as(channel, declaration.rules, Publication(payload, publisher=publisher))


STREAM = Stream()
