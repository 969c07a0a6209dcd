"""The ordinary channel: a stream of publications, with history, recovery, presence, deltas and filters."""

from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hubbub.auth.base import Grant
from hubbub.channels import Rules
from hubbub.errors import Forbidden, InvalidRequest, UnrecoverablePosition
from hubbub.hub.encodings import Encoding, Filtered, delta_publication, deltas, pushes
from hubbub.hub.kinds import held
from hubbub.hub.kinds.base import Entry, Kind
from hubbub.hub.kinds.features import Features, either
from hubbub.hub.portions import room, size_of_all
from hubbub.hub.subscription import Subscription
from hubbub.protocol.commands import PublishRequest, SubscribeRequest
from hubbub.protocol.position import Position, Recovery, recover_cache, recover_stream
from hubbub.protocol.publication import Publication
from hubbub.protocol.schema import NOTHING

if TYPE_CHECKING:
    from hubbub.hub.declaration import Declaration
    from hubbub.hub.session import Session

_TELL_UNRECOVERABLE = 2
"""The flag of a subscribe request that asks for error 112 instead of a subscription with a gap."""


class _StreamFeatures(Features):
    """What a subscription to a stream can have besides: a position, and what it missed."""

    __slots__ = ("auto_cache", "cache", "most", "positioned", "recoverable")

    def __init__(self, session: "Session", rules: Rules, request: SubscribeRequest, grant: Grant) -> None:
        super().__init__(session, rules, request, grant)
        override = grant.override
        history = rules.history > 0
        reads_history = history and session.may(rules.may_read_history, subscribed=True)
        self.recoverable = history and (
            either(override.force_recovery, rules.recovery == "force")
            or (request.recoverable and (bool(rules.recovery) or reads_history))
        )
        self.positioned = self.recoverable or (
            history
            and (
                either(override.force_positioning, rules.positioning == "force")
                or (request.positioned and (bool(rules.positioning) or reads_history))
            )
        )
        self.cache = rules.recovery_mode == "cache"
        self.auto_cache = self.recoverable and self.cache and rules.auto_cache
        self.most = rules.max_recovered or session.engine.settings.max_recovered_publications
        """Publications that may be recovered."""

    @property
    def flags(self) -> int:
        positioned = Subscription.POSITIONED if self.positioned else 0
        return super().flags | positioned | (Subscription.RECOVERABLE if self.recoverable else 0)

    def encoding(self, session: "Session", *, fresh: bool) -> Encoding:
        framing, codec = session.transport.framing, session.codec
        if self.delta:
            return deltas(framing, codec, presence=self.pushes_presence, fresh=fresh)
        encoding = pushes(framing, codec, presence=self.pushes_presence)
        return encoding if self.filter is None else Filtered(encoding, self.filter)


class _StreamEntry(held.HeldEntry):
    def __init__(
        self,
        session: "Session",
        declaration: "Declaration",
        request: SubscribeRequest,
        features: _StreamFeatures,
        room: int,
    ) -> None:
        super().__init__(session, request.channel, features)
        self._declaration = declaration
        self._request = request
        self._stream = features
        self._room = room
        """Bytes of publications that the answer has room for."""
        self._recovered: Sequence[Publication] | None = None
        self.result.delta = features.delta
        self.result.was_recovering = request.recover or features.auto_cache

    def encoding(self, *, fresh: bool) -> Encoding:
        return self._stream.encoding(self._session, fresh=fresh)

    async def read(self) -> None:
        request, features, result = self._request, self._stream, self.result
        engine = self._session.engine
        if not features.positioned:
            return
        since = Position(request.offset, request.epoch)
        recovery: Recovery | None = None
        if features.recoverable and (request.recover or features.auto_cache):
            if features.cache:
                newest, top = await engine.history(self._channel, None, 1, reverse=True)
                recovery = recover_cache(since, newest, top)
            else:
                missed, top = await engine.history(self._channel, since, features.most + 1)
                recovery = recover_stream(since, missed, top, features.most)
                if len(missed) > features.most:
                    self._advise()
        else:
            _, top = await engine.history(self._channel, None, 0)
        self._position = top
        result.positioned = True
        result.recoverable = features.recoverable
        result.epoch = top.epoch
        result.offset = top.offset
        if recovery is None:
            return
        size = size_of_all(recovery.missed, quoted=features.delta)
        if recovery.recovered and (not size or size <= self._room):
            self.size = size
            result.recovered = True
            self._recovered = recovery.missed
            result.offset = since.offset  # from where the publications lead to the top
            result.publications = self._messages(recovery.missed)
        elif request.flag & _TELL_UNRECOVERABLE and not features.cache:
            raise UnrecoverablePosition

    def _advise(self) -> None:
        pattern = self._declaration.pattern.text
        self._session.engine.registry.advice.give(
            (pattern, "max_recovered"),
            "a client missed more than %d publications of %r, so they are not recovered, though the history may have "
            "them. Declare the channel with a larger max_recovered, or raise HUBBUB_MAX_RECOVERED_PUBLICATIONS.",
            self._stream.most,
            pattern,
        )

    def forgo(self) -> None:
        self._recovered = None
        self.size = 0
        result = self.result
        result.recovered, result.publications = False, []
        if self._position is not None:
            result.offset = self._position.offset

    def _messages(self, missed: Sequence[Publication]) -> list[Any]:
        codec, features = self._session.codec, self._stream
        if features.filter is not None:
            return [codec.publication(one) for one in missed if features.filter.matches(one.tags)]
        if not features.delta:
            return [codec.publication(one) for one in missed]
        befores = (None, *missed)
        return [delta_publication(codec, one, before) for one, before in zip(missed, befores, strict=False)]

    def commit(self) -> Sequence[Any]:
        # Only what the answer has is sure to be with the client: its position may be one that it was told.
        top = self._position
        follows = self._session.engine.fanout.follows
        knows_last = bool(self._recovered) and top is not None and follows(self._channel, top)
        return self.go_live(self.encoding(fresh=not knows_last))


class Stream(Kind):
    """Channels as they are unless declared otherwise."""

    types = frozenset((0,))

    async def prepare(
        self, session: "Session", declaration: "Declaration", request: SubscribeRequest, grant: Grant
    ) -> Entry:
        features = _StreamFeatures(session, declaration.rules, request, grant)
        most = session.engine.settings.max_answer_bytes
        entry = _StreamEntry(session, declaration, request, features, room(most, grant.data))
        info, flags = grant.info, features.flags
        return await entry.prepare(Subscription(declaration, channel_info=info, expire_at=grant.expire_at, flags=flags))

    def leave(self, session: "Session", channel: str, subscription: Subscription) -> Coroutine[Any, Any, None] | None:
        return held.leave(session, channel, subscription)

    async def publish(
        self, session: "Session", declaration: "Declaration", parameters: Mapping[str, str], request: PublishRequest
    ) -> None:
        if request.type != 0:
            raise Forbidden
        if request.data is NOTHING:
            raise InvalidRequest
        channel = request.channel
        subscription = session.subscriptions.get(channel)
        payload = await declaration.accept(session, channel, parameters, request, subscription)
        publisher = session.member(subscription.channel_info if subscription is not None else None)
        await session.engine.publish_as(channel, declaration.rules, Publication(payload, publisher=publisher))


STREAM = Stream()
