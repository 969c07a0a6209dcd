"""What the HTTP API can do: a request and a result for each method, as the reference server has them."""

import fnmatch
import os
import socket
import time
from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType, field

from hubbub.api.contents import NO_DATA, Content, Empty, Method, Request, decode_base64, find, method
from hubbub.api.maps import METHODS as MAP_METHODS
from hubbub.api.polls import METHODS as POLL_METHODS
from hubbub.auth.base import Grant, Identity, Override
from hubbub.brokers.base import Guard
from hubbub.errors import (
    CommandError,
    ConnectionExpired,
    Disconnect,
    ForceDisconnect,
    InternalError,
    InvalidRequest,
    MethodNotFound,
    NotAvailable,
    UsageError,
)
from hubbub.errors.sessions import custom_end
from hubbub.hub.engine import Engine
from hubbub.hub.kinds.stream import Stream
from hubbub.protocol.codecs import JSON
from hubbub.protocol.events import ClientInfo, Error, PresenceStatsResult, Publication
from hubbub.protocol.nulls import read
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Payload
from hubbub.protocol.schema import I32, I64, U32, U64

_STARTED = time.monotonic()


class PublishOptions(Content):
    skip_history: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    idempotency_key: str = ""
    delta: bool = False
    version: U64 = 0
    version_epoch: str = ""

    unsigned = ("version",)


class PublishRequest(PublishOptions):
    channel: str = ""


class BroadcastRequest(PublishOptions):
    channels: list[str] = field(default_factory=list)


class StreamPosition(Request):
    offset: U64 = 0
    epoch: str = ""

    unsigned = ("offset",)


class PublishResult(Struct, omit_defaults=True):
    offset: int = 0
    epoch: str = ""


class BroadcastReply(Struct, omit_defaults=True):
    result: PublishResult | None = None
    error: Error | None = None


class BroadcastResult(Struct):
    responses: list[BroadcastReply]


class Flag(Struct):
    value: bool = False


class OverrideRequest(Struct):
    presence: Flag | None = None
    join_leave: Flag | None = None
    force_push_join_leave: Flag | None = None
    force_recovery: Flag | None = None
    force_positioning: Flag | None = None

    def override(self) -> Override:
        flags = (self.presence, self.join_leave, self.force_push_join_leave, self.force_recovery)
        return Override(*(None if flag is None else flag.value for flag in (*flags, self.force_positioning)))


class Sessions(Request):
    """Which sessions are meant."""

    user: str = ""
    client: str = ""
    session: str = ""


class SubscribeRequest(Sessions):
    channel: str = ""
    info: Raw = NO_DATA
    b64info: str = ""
    data: Raw = NO_DATA
    b64data: str = ""
    expire_at: I64 = 0
    recover_since: StreamPosition | None = None
    override: OverrideRequest | None = None


class UnsubscribeRequest(Sessions):
    channel: str = ""


class DisconnectCode(Struct):
    code: U32 = ForceDisconnect.code
    reason: str = ""


class DisconnectRequest(Sessions):
    whitelist: list[str] = field(default_factory=list)
    disconnect: DisconnectCode | None = None


class RefreshRequest(Sessions):
    expired: bool = False
    expire_at: I64 = 0
    info: Raw = NO_DATA


class ChannelRequest(Request):
    channel: str = ""


class PresenceResult(Struct):
    presence: dict[str, ClientInfo]


class HistoryRequest(Request):
    channel: str = ""
    limit: I32 = 0
    since: StreamPosition | None = None
    reverse: bool = False


class HistoryResult(Struct):
    publications: list[Publication]
    epoch: str
    offset: int


class ChannelsRequest(Request):
    pattern: str = ""


class ChannelInfo(Struct):
    num_clients: int


class ChannelsResult(Struct):
    channels: dict[str, ChannelInfo]


class NodeInfo(Struct):
    uid: str
    name: str
    version: str
    num_clients: int
    num_users: int
    num_channels: int
    uptime: int
    num_subs: int


class InfoResult(Struct):
    nodes: list[NodeInfo]


class RPCRequest(Request):
    method: str = ""
    params: Raw = NO_DATA


class RPCResult(Struct, omit_defaults=True):
    data: Raw | UnsetType = UNSET


async def publish(engine: Engine, request: PublishRequest) -> PublishResult:
    return await _publish(engine, request.channel, request)


async def broadcast(engine: Engine, request: BroadcastRequest) -> BroadcastResult:
    if not request.channels:
        raise InvalidRequest
    if request.b64data:
        decode_base64(request.b64data)  # what is wrong for all is answered once
    replies = []
    for channel in request.channels:
        try:
            replies.append(BroadcastReply(await _publish(engine, channel, request)))
        except CommandError as error:
            replies.append(BroadcastReply(error=Error(error.code, error.message)))
    return BroadcastResult(replies)


async def _publish(engine: Engine, channel: str, request: PublishOptions) -> PublishResult:
    declaration = find(engine, channel)
    payload = request.payload()
    if not isinstance(declaration.kind, Stream):
        raise InvalidRequest
    declaration.ensure_carries(payload)
    declaration.ensured(payload)
    guard = Guard(request.idempotency_key, request.version, request.version_epoch)
    position = await engine.publish(
        channel, payload, tags=request.tags, guard=guard, delta=request.delta, keep=not request.skip_history
    )
    return PublishResult(*position) if position.offset else PublishResult()


async def subscribe(engine: Engine, request: SubscribeRequest) -> Empty:
    find(engine, request.channel)
    if not request.user:
        raise InvalidRequest
    grant = Grant(
        info=_optional(request.info, request.b64info),
        data=_optional(request.data, request.b64data),
        expire_at=request.expire_at,
        override=Override() if request.override is None else request.override.override(),
    )
    since = request.recover_since
    position = None if since is None else Position(since.offset, since.epoch)
    await engine.sessions.subscribe(
        request.user, request.channel, grant, position, client=request.client, secret=request.session
    )
    return Empty()


def _optional(data: Raw, b64data: str) -> Payload | None:
    if not (b64data or bytes(data)):
        return None
    payload = Content(data, b64data).payload()
    if isinstance(payload, bytes):
        raise InvalidRequest("bad request: info and data of a subscription are JSON")
    return payload


async def unsubscribe(engine: Engine, request: UnsubscribeRequest) -> Empty:
    if request.channel:
        find(engine, request.channel)
    if not request.user:
        raise InvalidRequest
    engine.sessions.unsubscribe(request.user, request.channel, client=request.client, secret=request.session)
    return Empty()


async def disconnect(engine: Engine, request: DisconnectRequest) -> Empty:
    if not request.user:
        raise InvalidRequest
    wanted = request.disconnect or DisconnectCode()
    try:
        end = custom_end(wanted.code, wanted.reason)
    except UsageError:
        raise InvalidRequest from None
    engine.disconnect(request.user, end, client=request.client, secret=request.session, spared=request.whitelist)
    return Empty()


async def refresh(engine: Engine, request: RefreshRequest) -> Empty:
    if not request.user:
        raise InvalidRequest
    if request.expired or 0 < request.expire_at <= engine.wall():
        engine.sessions.disconnect(request.user, ConnectionExpired(), client=request.client, secret=request.session)
        return Empty()
    info = _optional(request.info, "")
    for session in engine.sessions.of_user(request.user, request.client, request.session):
        session.renew(Identity(request.user, info=info, expire_at=request.expire_at))
    return Empty()


async def presence(engine: Engine, request: ChannelRequest) -> PresenceResult:
    if not find(engine, request.channel).rules.presence:
        raise NotAvailable
    members = await engine.members(request.channel)
    return PresenceResult({client: JSON.info(member) for client, member in members.items()})


async def presence_stats(engine: Engine, request: ChannelRequest) -> PresenceStatsResult:
    if not find(engine, request.channel).rules.presence:
        raise NotAvailable
    members = await engine.members(request.channel)
    return PresenceStatsResult(len(members), len({member.user for member in members.values()}))


async def history(engine: Engine, request: HistoryRequest) -> HistoryResult:
    if not find(engine, request.channel).rules.history:
        raise NotAvailable
    since = None if request.since is None else Position(request.since.offset, request.since.epoch)
    limit = None if request.limit < 0 else request.limit
    publications, top = await engine.page(request.channel, since, limit, reverse=request.reverse)
    told = [JSON.publication(one._replace(epoch="", version=0)) for one in publications]
    return HistoryResult(told, top.epoch, top.offset)


async def history_remove(engine: Engine, request: ChannelRequest) -> Empty:
    if not find(engine, request.channel).rules.history:
        raise NotAvailable
    await engine.remove_history(request.channel)
    return Empty()


async def channels(engine: Engine, request: ChannelsRequest) -> ChannelsResult:
    counts = engine.fanout.channels()
    pattern = request.pattern or "*"
    return ChannelsResult(
        {name: ChannelInfo(count) for name, count in counts.items() if fnmatch.fnmatchcase(name, pattern)}
    )


async def info(engine: Engine, request: Empty) -> InfoResult:
    counts = engine.fanout.channels()
    node = NodeInfo(
        uid=engine.node,
        name=f"{socket.gethostname()}_{os.getpid()}",
        version=engine.version,
        num_clients=len(engine.sessions),
        num_users=engine.sessions.users,
        num_channels=len(counts),
        uptime=int(time.monotonic() - _STARTED),
        num_subs=sum(counts.values()),
    )
    return InfoResult([node])


async def rpc(engine: Engine, request: RPCRequest) -> RPCResult:
    if not request.method:
        raise InvalidRequest
    raise MethodNotFound("not found")


METHODS: dict[str, Method] = {
    "publish": method(PublishRequest, publish),
    "broadcast": method(BroadcastRequest, broadcast),
    "subscribe": method(SubscribeRequest, subscribe),
    "unsubscribe": method(UnsubscribeRequest, unsubscribe),
    "disconnect": method(DisconnectRequest, disconnect),
    "refresh": method(RefreshRequest, refresh),
    "presence": method(ChannelRequest, presence),
    "presence_stats": method(ChannelRequest, presence_stats),
    "history": method(HistoryRequest, history),
    "history_remove": method(ChannelRequest, history_remove),
    "channels": method(ChannelsRequest, channels),
    "info": method(Empty, info),
    "rpc": method(RPCRequest, rpc),
    **MAP_METHODS,
    **POLL_METHODS,
}


def decode(name: str, body: bytes) -> Any:
    """The request of a method.

    Raises:
        ValueError: the body is no request of this method.
    """
    return read(METHODS[name].decoder, body)


async def run(engine: Engine, name: str, request: Any) -> Any:
    """Runs a method.

    Raises:
        CommandError: the answer is this error.
    """
    try:
        return await METHODS[name].run(engine, request)
    except Disconnect:
        raise InternalError from None
