"""The shared poll channel: sessions track keys, and the hub asks for the values of all of them together."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hubbub.auth.base import Grant
from hubbub.auth.signatures import TrackSigner
from hubbub.channels import Pattern
from hubbub.errors import Forbidden, InvalidRequest, LimitExceeded, UsageError
from hubbub.hub.kinds.base import SHARED_POLL, Entry, Kind
from hubbub.hub.polls import Answer, Poller, PollRules, Source, Tracker
from hubbub.hub.polls.board import Board
from hubbub.hub.polls.versions import Counted, Given
from hubbub.hub.subscription import Subscription
from hubbub.protocol.commands import PublishRequest, SubRefreshRequest, SubscribeRequest
from hubbub.protocol.events import SubRefreshResult, SubscribeResult
from hubbub.protocol.publication import Publication

if TYPE_CHECKING:
    from hubbub.hub.declaration import Declaration
    from hubbub.hub.engine import Engine
    from hubbub.hub.session import Session

_TRACK, _UNTRACK = 1, 2
_LINGER = 1.0
"""Seconds that a channel's versions outlive its last session, which may come back for them."""
_LINGER_IN_EPOCH = 60.0
"""As much where the source has an epoch: whoever was sent away since it is new must find it when it comes back."""


class _PollEntry(Entry):
    def __init__(self, kind: "SharedPoll", channel: str, subscription: Subscription, *, deltas: bool) -> None:
        self._kind = kind
        self._channel = channel
        self.subscription: Subscription = subscription
        self.result = SubscribeResult(type=SHARED_POLL, delta=deltas)

    def commit(self) -> Sequence[Any]:
        poller = self._kind.enter(self._channel, self.subscription.state)
        self.result.epoch = poller.board.versions.epoch
        return ()

    def abandon(self) -> None:
        """Nothing was prepared."""


class SharedPoll(Kind):
    """The shared poll channels of one pattern, which share a source and rules."""

    types = frozenset((SHARED_POLL,))

    def __init__(self, pattern: Pattern, rules: PollRules, signer: TrackSigner, *, deltas: bool) -> None:
        self.rules = rules
        self.signer = signer
        self.source: Source | None = None
        self._pattern = pattern
        self._deltas = deltas
        self._engine: Engine | None = None
        self._pollers: dict[str, Poller] = {}
        self._closing: dict[str, asyncio.TimerHandle] = {}

    def start(self, engine: "Engine") -> None:
        if self.source is None:
            raise UsageError(
                f"nothing answers the polls of {self._pattern.text!r}: decorate a function with its on_poll, "
                "or declare it with backend='http://…'"
            )
        self._engine = engine

    def stop(self) -> None:
        for timer in self._closing.values():
            timer.cancel()
        self._closing.clear()
        self._pollers.clear()
        self._engine = None
        assert self.source is not None
        self.source.close()

    # Subscriptions

    async def admit(
        self, session: "Session", declaration: "Declaration", parameters: Mapping[str, str], request: SubscribeRequest
    ) -> Grant:
        if request.type != SHARED_POLL:
            raise InvalidRequest
        return await declaration.admit(session, parameters, request)

    async def prepare(
        self, session: "Session", declaration: "Declaration", request: SubscribeRequest, grant: Grant
    ) -> Entry:
        deltas = self._deltas and request.delta == "fossil"
        subscription = Subscription(
            declaration,
            channel_info=grant.info,
            expire_at=grant.expire_at,
            flags=Subscription.POSITIONED,  # another epoch is a loss, and is told as one
            state=Tracker(session, deltas=deltas),
        )
        return _PollEntry(self, request.channel, subscription, deltas=deltas)

    def enter(self, channel: str, tracker: Tracker) -> Poller:
        """Counts a session into a channel."""
        if channel in self._closing:
            self._closing.pop(channel).cancel()
        poller = self._pollers.get(channel)
        if poller is None:
            poller = self._pollers[channel] = self._open(channel)
        poller.board.trackers.add(tracker)
        return poller

    def _open(self, channel: str) -> Poller:
        assert self._engine is not None
        assert self.source is not None
        _, parameters = self._engine.registry.catalogue.find(channel)
        board = Board(channel, Given() if self.rules.versioned else Counted(), deltas=self._deltas)
        return Poller(self._engine, board, parameters, self.source, self.rules)

    def leave(self, session: "Session", channel: str, subscription: Subscription) -> None:
        poller = self._pollers[channel]
        poller.leave(subscription.state)
        if not poller.board.trackers:
            lasting = self.rules.versioned and poller.board.versions.epoch
            self._close_in(_LINGER_IN_EPOCH if lasting else _LINGER, channel)

    def _close_in(self, delay: float, channel: str) -> None:
        assert self._engine is not None
        self._closing[channel] = self._engine.loop.call_later(delay, self._close, channel)

    def _close(self, channel: str) -> None:
        if self._pollers[channel].polling:  # still, so that no other poll overlaps it
            self._close_in(_LINGER, channel)
        else:
            del self._pollers[channel], self._closing[channel]

    # Keys

    async def track(
        self, session: "Session", channel: str, subscription: Subscription, request: SubRefreshRequest
    ) -> SubRefreshResult:
        poller, tracker = self._pollers[channel], subscription.state
        if request.type == _TRACK:
            return self._track(session, channel, poller, tracker, request)
        if request.type != _UNTRACK or not request.untrack:
            raise InvalidRequest
        poller.untrack(tracker, request.untrack)
        return SubRefreshResult()

    def _track(
        self, session: "Session", channel: str, poller: Poller, tracker: Tracker, request: SubRefreshRequest
    ) -> SubRefreshResult:
        names = {item.key for batch in request.track for item in batch.items}
        dropped = set(request.untrack)
        if not names:
            raise InvalidRequest
        if len((names | tracker.tracks.keys()) - dropped) > self.rules.max_keys:
            raise LimitExceeded
        now = session.engine.wall()
        wanted = []
        first = math.inf
        for batch in request.track:
            keys = [item.key for item in batch.items]
            expires = self.signer.verify(batch.signature, session.user, channel, keys, now) or math.inf
            first = min(first, expires)
            wanted += [(item.key, item.version, expires) for item in batch.items if item.key not in dropped]
        poller.untrack(tracker, dropped)
        poller.track(tracker, wanted)
        result = SubRefreshResult()
        if first < math.inf:
            result.expires, result.ttl = True, session.ttl(first)
        return result

    # Publications

    async def publish(
        self, session: "Session", declaration: "Declaration", parameters: Mapping[str, str], request: PublishRequest
    ) -> None:
        raise Forbidden  # values come from the source alone

    async def put(self, channel: str, value: Publication, epoch: str) -> None:
        """Takes in a value between two polls, as if it had come with one.

        Raises:
            UsageError: it has no version.
        """
        poller = self._pollers.get(channel)
        if poller is not None:
            await poller.take(Answer((value,), epoch))
