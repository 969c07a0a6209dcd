"""How a session gets into a channel without missing anything, or getting it twice, or before it is told.

Theory of operation. What a session missed is read from the broker; what comes from now on arrives by the fan-out.
So a ``Held`` joins the channel first, and keeps what arrives while the broker is asked. In the turn of the event
loop in which the answer goes out, the session's transport joins in its place, and gets from the ``Held`` what the
answer has not.
"""

from abc import abstractmethod
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Self

from hubbub.errors import InsufficientState, LimitExceeded
from hubbub.hub.encodings import HOLD, Encoding, Held
from hubbub.hub.kinds.base import Entry
from hubbub.hub.kinds.features import Features
from hubbub.hub.subscription import Subscription
from hubbub.protocol.events import SubscribeResult
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Event, Presence, Publication

if TYPE_CHECKING:
    from hubbub.hub.session import Session


class HeldEntry(Entry):
    """A subscription to a channel of publications: first held, then live."""

    subscription: Subscription | None = None

    def __init__(self, session: "Session", channel: str, features: Features) -> None:
        self.result = SubscribeResult()
        self._session = session
        self._channel = channel
        self._features = features
        self._held = Held()
        self._position: Position | None = None
        """Where the answer ends, if publications are counted."""

    async def prepare(self, subscription: Subscription) -> Self:
        """Does all that takes time.

        Raises:
            CommandError: the subscription cannot be had; nothing of it is left.
        """
        self._ensure_few_filters()
        await self._session.engine.join(self._channel, self._held, HOLD)
        self._held.clear()  # before its return there may be gaps: who came, but not that it left
        try:
            await self.read()
            await self._enter(subscription)
        except BaseException:
            self.abandon()
            raise
        return self

    @abstractmethod
    def encoding(self, *, fresh: bool) -> Encoding:
        """How the session is written to. ``fresh``: it has no publication yet that a delta could be made against."""

    def _ensure_few_filters(self) -> None:
        engine = self._session.engine
        most = engine.settings.max_filters_per_channel
        if self._features.filter is None or engine.fanout.has_room_for(self._channel, self.encoding(fresh=True), most):
            return
        engine.registry.advice.give(
            "filters",
            "the subscribers of channel %.80r have %d different tags filters: one more is refused with 106. "
            "Each is matched and encoded anew for each publication; max_filters_per_channel allows more.",
            self._channel,
            most,
        )
        raise LimitExceeded("limit exceeded: the channel has as many different filters as it may", temporary=True)

    async def read(self) -> None:
        """Reads what the session missed into the answer: from now on, nothing is missed."""

    async def _enter(self, subscription: Subscription) -> None:
        """Shows the session where it is seen who is in the channel."""
        self.subscription = subscription
        engine, member = self._session.engine, self._session.member(subscription.channel_info)
        if subscription.present:
            await engine.enter(self._channel, member)
        await engine.mirrors.enter(self._channel, subscription.declaration.rules, member)

    def go_live(self, encoding: Encoding) -> Sequence[Any]:
        """See ``commit``."""
        session, channel = self._session, self._channel
        fanout = session.engine.fanout
        # The transport first, so that the channel is never without a receiver; it is late for all that is held.
        fanout.join(channel, session.transport, encoding)
        fanout.leave(channel, self._held)
        events = self._rest()
        batch = encoding.join(channel, events, None) if events else None
        fanout.change(channel, session.transport, encoding.after(events), self._position)
        return () if batch is None else (batch,)

    def _rest(self) -> list[Event]:
        """What the answer does not have yet, without a gap to it; the position is that behind it, then."""
        rest: list[Event] = []
        for event in self._held:
            if type(event) is Publication:
                if event.offset and self._position is not None:
                    offset, epoch = self._position
                    if event.epoch == epoch and event.offset <= offset:
                        continue
                    if event.epoch != epoch or event.offset != offset + 1:
                        raise InsufficientState
                    self._position = Position(event.offset, epoch)
            elif not self._features.pushes_presence:
                continue
            rest.append(event)
        return rest

    def abandon(self) -> None:
        session, channel = self._session, self._channel
        session.engine.leave_soon(channel, self._held)
        if self.subscription is not None and is_seen(self.subscription):
            session.engine.turns.begin(session, channel, exit_unannounced(session, channel, self.subscription))


async def show_anew(session: "Session", channel: str, subscription: Subscription) -> None:
    """Shows others what a new grant says of a session that is in the channel."""
    engine, member = session.engine, session.member(subscription.channel_info)
    if subscription.present:
        await engine.enter(channel, member)
    await engine.mirrors.change(channel, subscription.declaration.rules, member)


def is_seen(subscription: Subscription) -> bool:
    """Whether others see that the session is in the channel."""
    rules = subscription.declaration.rules
    return subscription.present or subscription.announced or bool(rules.clients_map or rules.users_map)


async def exit_unannounced(session: "Session", channel: str, subscription: Subscription) -> None:
    """Ends what others saw of it."""
    engine = session.engine
    if subscription.present:
        await engine.exit(channel, session.id)
    await engine.mirrors.exit(channel, subscription.declaration.rules, session.member(subscription.channel_info))


def leave(session: "Session", channel: str, subscription: Subscription) -> Coroutine[Any, Any, None] | None:
    """See ``Kind.leave``."""
    session.engine.leave_soon(channel, session.transport)
    return _depart(session, channel, subscription) if is_seen(subscription) else None


async def _depart(session: "Session", channel: str, subscription: Subscription) -> None:
    await exit_unannounced(session, channel, subscription)
    if subscription.announced:
        presence = Presence(session.member(subscription.channel_info), joined=False)
        await session.engine.announce(channel, presence)
