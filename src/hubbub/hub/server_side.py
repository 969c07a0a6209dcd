"""Subscriptions that the server makes: those of a connect, and those that the app wants later."""

from typing import TYPE_CHECKING

from hubbub.auth.base import Grant, Identity
from hubbub.channels import check_name
from hubbub.errors import BadRequest, ChannelLimit, CommandError, UnknownChannel
from hubbub.hub.kinds.base import Entry
from hubbub.protocol.commands import ConnectRequest, SubscribeRequest

if TYPE_CHECKING:
    from hubbub.hub.session import Session


async def at_connect(session: "Session", identity: Identity, request: ConnectRequest) -> dict[str, Entry]:
    """Prepares what a session is in from its connect on.

    That is its user's own channels, those that its identity names, and those of the request that a client could
    subscribe to without a token.

    Raises:
        CommandError: a channel of the identity cannot be.
        BadRequest: the client asks for a channel that is not declared.
        ChannelLimit: it would be in more channels than it may.
    """
    engine = session.engine
    personal = engine.registry.personal_channels(session.user) if session.user else ()
    wanted: dict[str, Grant | None] = {
        **dict.fromkeys(request.subs),
        **dict.fromkeys(personal, Grant()),
        **identity.subscriptions,
    }
    wanted.pop("", None)
    entries: dict[str, Entry] = {}
    try:
        for channel, grant in wanted.items():
            entry = await enter(session, channel, grant, request.subs.get(channel))
            if entry is not None:
                entries[channel] = entry
            if len(entries) > engine.settings.max_channels_per_session:
                raise ChannelLimit
    except BaseException:
        for entry in entries.values():
            entry.abandon()
        raise
    return entries


async def enter(
    session: "Session", channel: str, grant: Grant | None, asked: SubscribeRequest | None = None
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
            grant = await declaration.admit(session, parameters, request)
    except UnknownChannel:
        if grant is None:
            raise BadRequest from None
        raise
    except CommandError:
        if grant is None:
            return None
        raise
    data = session.data(grant.data)
    entry = await declaration.kind.prepare(session, declaration, request, grant)
    entry.result.data = data
    return entry


def changed(session: "Session", identity: Identity) -> bool:
    """Whether a new identity is for other channels than those that the session is in by its own."""
    named = {channel for channel, subscription in session.subscriptions.items() if subscription.of_identity}
    return not named <= identity.subscriptions.keys() <= session.subscriptions.keys()
