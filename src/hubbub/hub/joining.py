"""How a session comes into its channels: by its connect, by a command, or because the app wants it.

Whoever asks, it goes through the same steps. What may take time is prepared (``Entry``), then it becomes live in
the turn of the event loop in which the client is told, and then the others are told.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hubbub.auth.base import Grant, Identity
from hubbub.channels import check_name
from hubbub.errors import (
    AlreadySubscribed,
    BadRequest,
    ChannelLimit,
    CommandError,
    Expired,
    Forbidden,
    LimitExceeded,
    UnknownChannel,
)
from hubbub.hub.kinds.base import Entry
from hubbub.hub.kinds.features import FOSSIL
from hubbub.hub.kinds.held import show_anew
from hubbub.hub.portions import room
from hubbub.hub.subscription import Subscription
from hubbub.hub.turns import Attempt
from hubbub.protocol.commands import ConnectRequest, SubscribeRequest
from hubbub.protocol.events import Push
from hubbub.protocol.events import Subscribe as SubscribePush
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Presence

if TYPE_CHECKING:
    from hubbub.hub.session import Session


# With the connect


async def at_connect(
    session: "Session", identity: Identity, request: ConnectRequest, attempt: Attempt
) -> dict[str, Entry]:
    """Prepares what a session is in from its connect on.

    That is its user's own channels, those that its identity names, and those of the request that a client could
    subscribe to without a token; but none that it is removed from meanwhile.

    Raises:
        CommandError: a channel of the identity cannot be.
        BadRequest: the client asks for a channel that is not declared.
        ChannelLimit: it would be in more channels than it may.
    """
    engine = session.engine
    most = engine.settings.max_channels_per_session
    if len(request.subs) > most:
        raise ChannelLimit
    personal = (
        engine.registry.personal_channels(session.user, engine.settings.max_channel_length) if session.user else ()
    )
    wanted: dict[str, Grant | None] = {
        **dict.fromkeys(request.subs),
        **dict.fromkeys(personal, Grant()),
        **identity.subscriptions,
    }
    wanted.pop("", None)
    entries: dict[str, Entry] = {}
    try:
        for channel, grant in wanted.items():
            entry = await _enter(session, channel, grant, request.subs.get(channel), attempt)
            if entry is not None:
                entries[channel] = entry
            if len(entries) > most:
                raise ChannelLimit
    except BaseException:
        abandon(entries)
        raise
    abandon({channel: entries.pop(channel) for channel in tuple(entries) if attempt.revoked(channel)})
    left = room(engine.settings.max_answer_bytes, identity.data)
    for entry in entries.values():
        left = room(left, bytes(entry.result.data))
        if entry.size and entry.size > left:
            entry.forgo()
        left -= entry.size
    return entries


async def _enter(
    session: "Session", channel: str, grant: Grant | None, asked: SubscribeRequest | None, attempt: Attempt
) -> Entry | None:
    """Prepares one subscription; without a grant, if a client could have it, and else there is none.

    Raises:
        CommandError: there is a grant, and that channel cannot be.
        BadRequest: there is no grant, and the channel is not declared.
    """
    registry, settings = session.engine.registry, session.engine.settings
    asked = asked or SubscribeRequest()
    request = SubscribeRequest(
        channel, recover=asked.recover, offset=asked.offset, epoch=asked.epoch, data=asked.data, delta=asked.delta
    )
    try:
        declaration, parameters = registry.find(channel)
        check_name(channel, settings.max_channel_length)
        if grant is None:
            attempt.deciding = channel
            grant = await declaration.admit(session, parameters, request)
    except UnknownChannel:
        if grant is None:
            raise BadRequest from None
        raise
    except CommandError:
        if grant is None:
            return None
        raise
    finally:
        attempt.deciding = ""
    data = session.data(grant.data)
    entry = await declaration.kind.prepare(session, declaration, request, grant)
    entry.result.data = data
    return entry


def changed(session: "Session", identity: Identity) -> bool:
    """Whether a new identity is for other channels than those that the session is in by its own."""
    named = {channel for channel, subscription in session.subscriptions.items() if subscription.of_identity}
    return not named <= identity.subscriptions.keys() <= session.subscriptions.keys()


# By a command


async def subscribe(session: "Session", number: int, request: SubscribeRequest) -> None:
    """Answers the command of that number.

    Raises:
        CommandError: the session is not in the channel, or was before.
    """
    engine, channel = session.engine, request.channel
    if request.delta not in ("", FOSSIL):
        raise BadRequest
    if channel in session.subscriptions:
        raise AlreadySubscribed
    if _is_full(session):
        raise LimitExceeded
    declaration, parameters = engine.registry.find(channel)
    with engine.turns.attempt(session) as attempt:
        attempt.deciding = channel
        grant = await declaration.kind.admit(session, declaration, parameters, request)
        attempt.deciding = ""
        if grant.expire_at and grant.expire_at <= engine.wall():
            raise Expired
        data = session.data(grant.data)
        await attempt.hold(channel)
        if channel in session.subscriptions:  # the app has subscribed it meanwhile
            raise AlreadySubscribed
        entry = await declaration.kind.prepare(session, declaration, request, grant)
        if attempt.revoked(channel) or not session.alive or _is_full(session):  # others may have come meanwhile
            entry.abandon()
            declaration.kind.withdraw(session, channel)
            raise LimitExceeded if _is_full(session) else Forbidden
        result = entry.result
        session.charge(len(result.publications) + len(result.state))
        if grant.data is not None:
            result.data = data
        if entry.subscription is not None and grant.expire_at:
            result.expires, result.ttl = True, session.ttl(grant.expire_at)
        try:
            behind = commit(session, channel, entry, 0)
            session.answer(number, "subscribe", result)
        except BaseException:
            session.leave(channel)
            raise
        session.flush(behind)
    if entry.subscription is not None:
        if grant.expire_at:
            session.set_alarm()
        announce(session, channel)
        if entry.subscription.announced:
            session.charge(engine.fanout.receivers(channel))


def _is_full(session: "Session") -> bool:
    """Whether a session is in as many channels as it may."""
    return len(session.subscriptions) >= session.engine.settings.max_channels_per_session


# By the will of the app


async def subscribe_by_server(session: "Session", channel: str, grant: Grant, since: Position | None) -> None:
    """Subscribes a session that has connected; the client is told by a push.

    Where it is subscribed already, the new grant replaces the one before, but for its overrides.

    Raises:
        CommandError: that channel cannot be.
        Disconnect: the session can not be in it, and must end.
    """
    engine = session.engine
    asked = SubscribeRequest()
    if since is not None:
        asked = SubscribeRequest(recover=True, offset=since.offset, epoch=since.epoch)
    with engine.turns.attempt(session) as attempt:
        await attempt.hold(channel)
        if attempt.revoked(channel) or not session.alive:
            return
        subscription = session.subscriptions.get(channel)
        if subscription is not None:
            _replace(session, channel, subscription, grant)
            return
        if session.transport.answering:
            await session.transport.answered()
        entry = await _enter(session, channel, grant, asked, attempt)
        assert entry is not None
        if attempt.revoked(channel) or not session.alive:
            entry.abandon()
            return
        if _is_full(session):
            entry.abandon()
            raise ChannelLimit
        try:
            behind = commit(session, channel, entry, Subscription.SERVER_SIDE)
            result = entry.result
            told = SubscribePush(
                recoverable=result.recoverable, epoch=result.epoch, offset=result.offset,
                positioned=result.positioned, data=result.data,
            )  # fmt: skip
            session.push(Push(channel=channel, subscribe=told))
            for publication in result.publications:
                session.push(Push(channel=channel, pub=publication), owed=True)
        except BaseException:
            session.leave(channel)
            raise
        session.flush(behind)
    if grant.expire_at:
        session.set_alarm()
    announce(session, channel)


def _replace(session: "Session", channel: str, subscription: Subscription, grant: Grant) -> None:
    """Makes another grant by the app count.

    A client that has subscribed by itself is not told: for SDKs, a push would make it a second subscription.
    """
    data = session.data(grant.data)
    renew(session, channel, subscription, grant)
    if subscription.server_side:
        told = SubscribePush(data=data)
        position = session.engine.fanout.settle(channel, session.transport) if subscription.positioned else None
        if position is not None:
            told.positioned, told.recoverable = True, subscription.recoverable
            told.offset, told.epoch = position
        session.push(Push(channel=channel, subscribe=told))
        session.flush()


# For all of them


def renew(session: "Session", channel: str, subscription: Subscription, grant: Grant) -> None:
    """Makes a new grant count: when the subscription expires, and what others see of the session."""
    changed = subscription.channel_info != grant.info
    subscription.renew(grant)
    session.set_alarm()
    if changed:
        session.engine.turns.begin(session, channel, show_anew(session, channel, subscription))


def commit(session: "Session", channel: str, entry: Entry, flag: int) -> Sequence[Any]:
    """Makes a subscription live; returns the batches that the session gets behind the answer.

    Raises:
        InsufficientState: publications were lost meanwhile.
    """
    if entry.subscription is not None:
        entry.subscription.flags |= flag
        session.enter(channel, entry.subscription)
    return entry.commit()


def announce(session: "Session", channel: str) -> None:
    """Tells the others that the session has come, if that is the channel's rule."""
    subscription = session.subscriptions.get(channel)
    if subscription is not None and subscription.join_leave:
        engine = session.engine
        subscription.flags |= Subscription.ANNOUNCED
        presence = Presence(session.member(subscription.channel_info), joined=True)
        engine.turns.begin(session, channel, engine.announce(channel, presence))


def abandon(entries: dict[str, Entry]) -> None:
    """Undoes what was prepared."""
    for entry in entries.values():
        entry.abandon()
