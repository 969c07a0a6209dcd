"""What a connected session's commands are answered with, but for those that open a channel."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hubbub.errors import (
    BadRequest,
    ConnectionExpired,
    Expired,
    Forbidden,
    InsufficientState,
    InvalidRequest,
    InvalidToken,
    NotAvailable,
    SessionUnavailable,
    TokenExpired,
    UnknownChannel,
)
from hubbub.hub.joining import changed, renew
from hubbub.hub.portions import portion, room
from hubbub.protocol import commands
from hubbub.protocol.events import (
    HistoryResult,
    PresenceResult,
    PresenceStatsResult,
    PublishResult,
    RefreshResult,
    Result,
    RPCResult,
    SubRefreshResult,
    UnsubscribeResult,
)
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Member, Payload, encode_for_sessions
from hubbub.protocol.schema import NOTHING

if TYPE_CHECKING:
    from hubbub.hub.session import Session


_COUNTED = 32
"""Members that are counted in the time in which one is written into an answer."""


async def unsubscribe(session: "Session", request: commands.UnsubscribeRequest) -> UnsubscribeResult:
    channel = request.channel
    subscription = session.subscriptions.get(channel)
    if subscription is not None and subscription.announced:
        session.charge(session.engine.fanout.receivers(channel))
    if not session.leave(channel):
        with suppress(UnknownChannel):
            session.engine.registry.catalogue.find(channel)[0].kind.withdraw(session, channel)
    return UnsubscribeResult()


async def publish(session: "Session", request: commands.PublishRequest) -> PublishResult:
    declaration, parameters = session.engine.registry.find(request.channel)
    declaration.ensure_meant_for(session, request.channel)
    await declaration.kind.publish(session, declaration, parameters, request)
    return PublishResult()


async def presence(session: "Session", request: commands.PresenceRequest) -> PresenceResult:
    members = await _members(session, request.channel)
    session.charge(len(members))
    return PresenceResult({client: session.codec.info(member) for client, member in members.items()})


async def presence_stats(session: "Session", request: commands.PresenceStatsRequest) -> PresenceStatsResult:
    members = await _members(session, request.channel)
    session.charge(len(members) / _COUNTED)
    return PresenceStatsResult(len(members), len({member.user for member in members.values()}))


async def _members(session: "Session", channel: str) -> Mapping[str, Member]:
    declaration = session.engine.registry.find(channel)[0]
    rules = declaration.rules
    if not rules.presence:
        raise NotAvailable
    declaration.ensure_meant_for(session, channel)
    declaration.ensure_may(session, "may_see_presence", subscribed=channel in session.subscriptions)
    session.ensure_within_work()
    return await session.engine.members(channel)


async def history(session: "Session", request: commands.HistoryRequest) -> HistoryResult:
    channel = request.channel
    engine = session.engine
    declaration = engine.registry.find(channel)[0]
    rules = declaration.rules
    if not rules.history:
        raise NotAvailable
    declaration.ensure_meant_for(session, channel)
    declaration.ensure_may(session, "may_read_history", subscribed=channel in session.subscriptions)
    session.ensure_within_work()
    since = None if request.since is None else Position(request.since.offset, request.since.epoch)
    most = rules.max_page_size or engine.settings.max_history_publications
    limit = most if request.limit < 0 else min(request.limit, most)
    publications, top = await engine.page(channel, since, limit, reverse=request.reverse)
    publications = portion(publications, room(engine.settings.max_answer_bytes))
    session.charge(len(publications))
    return HistoryResult([session.codec.publication(one) for one in publications], top.epoch, top.offset)


async def send(session: "Session", request: commands.SendRequest) -> Result:
    raise SessionUnavailable  # no handler takes messages without an answer


async def rpc(session: "Session", request: commands.RPCRequest) -> RPCResult:
    handler = session.engine.registry.method(request.method)
    data: Payload = b"" if request.data is NOTHING else session.codec.payload(request.data)
    result = await session.call(handler, {}, {"method": request.method}, data)
    where = f"the result of the method {request.method!r}"
    return RPCResult(session.data(encode_for_sessions(result, where, binary=session.codec.binary)))


async def refresh(session: "Session", request: commands.RefreshRequest) -> RefreshResult:
    auth = session.engine.registry.auth
    if not request.token or auth is None:
        raise BadRequest
    try:
        identity = (await auth.authenticate(request.token)).encoded(binary=True)
    except TokenExpired:
        raise ConnectionExpired from None
    if identity.user != session.user:
        raise InvalidToken
    if changed(session, identity):
        raise InsufficientState
    session.refresh(identity)
    result = RefreshResult()
    if identity.expire_at:
        result.expires, result.ttl = True, session.ttl(identity.expire_at)
    return result


async def sub_refresh(session: "Session", request: commands.SubRefreshRequest) -> SubRefreshResult:
    subscription = session.subscriptions.get(request.channel)
    if subscription is None:
        raise Forbidden
    if request.type:
        return await subscription.declaration.kind.track(session, request.channel, subscription, request)
    if subscription.server_side:  # the app renews what it has made
        raise BadRequest
    if not request.token:
        raise InvalidRequest
    try:
        grant = await session.authorize(request.token, request.channel)
    except Forbidden:
        raise InvalidToken from None
    if grant.expire_at and grant.expire_at <= session.engine.wall():
        raise Expired
    renew(session, request.channel, subscription, grant)
    result = SubRefreshResult()
    if grant.expire_at:
        result.expires, result.ttl = True, session.ttl(grant.expire_at)
    return result


ANSWERS: dict[str, Callable[["Session", Any], Awaitable[Result]]] = {
    "unsubscribe": unsubscribe,
    "publish": publish,
    "presence": presence,
    "presence_stats": presence_stats,
    "history": history,
    "send": send,
    "rpc": rpc,
    "refresh": refresh,
    "sub_refresh": sub_refresh,
}
