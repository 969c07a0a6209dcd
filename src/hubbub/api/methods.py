"""What the HTTP API can do: a request and a result for each method, as the reference server has them."""

import base64
import binascii
import fnmatch
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from hubbub.auth.base import Grant, Identity, Override
from hubbub.brokers.base import Guard
from hubbub.errors import (
    CommandError,
    ConnectionExpired,
    Disconnect,
    ForceDisconnect,
    InternalError,
    InvalidRequest,
    NotAvailable,
    UsageError,
    custom_end,
)
from hubbub.hub.declaration import Declaration
from hubbub.hub.engine import Engine
from hubbub.hub.kinds.stream import Stream
from hubbub.protocol.codecs import JSON
from hubbub.protocol.events import ClientInfo, Error, PresenceStatsResult, Publication
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Payload, from_bytes, one_line

_NO_DATA = Raw()
_STARTED = time.monotonic()


class Empty(Struct):
    """No result but success."""


class Content(Struct):
    """Data as JSON, or in Base64."""

    data: Raw = _NO_DATA
    b64data: str = ""

    def payload(self) -> Payload:
        """What is to be published.

        Raises:
            InvalidRequest: there is nothing, or it is no Base64.
        """
        if self.b64data:
            return from_bytes(decode_base64(self.b64data))
        if self.data is _NO_DATA or not bytes(self.data):
            raise InvalidRequest
        return one_line(bytes(self.data).decode())


class PublishOptions(Content):
    skip_history: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    idempotency_key: str = ""
    delta: bool = False
    version: int = 0
    version_epoch: str = ""


class PublishRequest(PublishOptions):
    channel: str = ""


class BroadcastRequest(PublishOptions):
    channels: list[str] = field(default_factory=list)


class StreamPosition(Struct):
    offset: int = 0
    epoch: str = ""


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


class Sessions(Struct):
    """Which sessions are meant."""

    user: str = ""
    client: str = ""
    session: str = ""


class SubscribeRequest(Sessions):
    channel: str = ""
    info: Raw = _NO_DATA
    b64info: str = ""
    data: Raw = _NO_DATA
    b64data: str = ""
    expire_at: float = 0
    recover_since: StreamPosition | None = None
    override: OverrideRequest | None = None


class UnsubscribeRequest(Sessions):
    channel: str = ""


class DisconnectCode(Struct):
    code: int = ForceDisconnect.code
    reason: str = ""


class DisconnectRequest(Sessions):
    whitelist: list[str] = field(default_factory=list)
    disconnect: DisconnectCode | None = None


class RefreshRequest(Sessions):
    expired: bool = False
    expire_at: float = 0
    info: Raw = _NO_DATA


class ChannelRequest(Struct):
    channel: str = ""


class PresenceResult(Struct):
    presence: dict[str, ClientInfo]


class HistoryRequest(Struct):
    channel: str = ""
    limit: int = 0
    since: StreamPosition | None = None
    reverse: bool = False


class HistoryResult(Struct):
    publications: list[Publication]
    epoch: str
    offset: int


class ChannelsRequest(Struct):
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
    num_subs: int
    num_channels: int
    uptime: int


class InfoResult(Struct):
    nodes: list[NodeInfo]


class RPCRequest(Struct):
    method: str = ""
    params: Raw = _NO_DATA


class RPCResult(Struct, omit_defaults=True):
    data: Raw | UnsetType = UNSET


def decode_base64(text: str) -> bytes:
    """Bytes from Base64.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise InvalidRequest from None


def find(engine: Engine, channel: str) -> Declaration:
    """What is declared for a channel.

    Raises:
        InvalidRequest: it is empty.
        UnknownChannel: nothing is.
    """
    if not channel:
        raise InvalidRequest
    return engine.registry.catalogue.find(channel)[0]


async def publish(engine: Engine, request: PublishRequest) -> PublishResult:
    return await _publish(engine, request.channel, request)


async def broadcast(engine: Engine, request: BroadcastRequest) -> BroadcastResult:
    if not request.channels:
        raise InvalidRequest
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
    guard = Guard(request.idempotency_key, request.version, request.version_epoch)
    position = await engine.publish(
        channel, payload, tags=request.tags, guard=guard, delta=request.delta, keep=not request.skip_history
    )
    return PublishResult(*position) if position.offset else PublishResult()


async def subscribe(engine: Engine, request: SubscribeRequest) -> Empty:
    if not request.user:
        raise InvalidRequest
    find(engine, request.channel)
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
    content = Content(data, b64data)
    return content.payload() if b64data or bytes(data) else None


async def unsubscribe(engine: Engine, request: UnsubscribeRequest) -> Empty:
    if not request.user:
        raise InvalidRequest
    if request.channel:
        find(engine, request.channel)
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
    engine.sessions.disconnect(
        request.user, end, client=request.client, secret=request.session, spared=request.whitelist
    )
    return Empty()


async def refresh(engine: Engine, request: RefreshRequest) -> Empty:
    if not request.user:
        raise InvalidRequest
    if request.expired:
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
    return HistoryResult([JSON.publication(one) for one in publications], top.epoch, top.offset)


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
        num_subs=sum(counts.values()),
        num_channels=len(counts),
        uptime=int(time.monotonic() - _STARTED),
    )
    return InfoResult([node])


async def rpc(engine: Engine, request: RPCRequest) -> RPCResult:
    raise NotAvailable


class Method(NamedTuple):
    """One method: what it takes, and what it does."""

    decoder: msgspec.json.Decoder[Any]
    run: Callable[[Engine, Any], Awaitable[Any]]


def _method(kind: type[Any], run: Callable[[Engine, Any], Awaitable[Any]]) -> Method:
    return Method(msgspec.json.Decoder(kind), run)


METHODS: dict[str, Method] = {
    "publish": _method(PublishRequest, publish),
    "broadcast": _method(BroadcastRequest, broadcast),
    "subscribe": _method(SubscribeRequest, subscribe),
    "unsubscribe": _method(UnsubscribeRequest, unsubscribe),
    "disconnect": _method(DisconnectRequest, disconnect),
    "refresh": _method(RefreshRequest, refresh),
    "presence": _method(ChannelRequest, presence),
    "presence_stats": _method(ChannelRequest, presence_stats),
    "history": _method(HistoryRequest, history),
    "history_remove": _method(ChannelRequest, history_remove),
    "channels": _method(ChannelsRequest, channels),
    "info": _method(Empty, info),
    "rpc": _method(RPCRequest, rpc),
}


async def run(engine: Engine, name: str, body: bytes | Raw) -> Any:
    """Runs a method.

    Raises:
        CommandError: the answer is this error.
        ValueError: the body is no request of this method.
    """
    method = METHODS[name]
    request = method.decoder.decode(body)
    try:
        return await method.run(engine, request)
    except Disconnect:
        raise InternalError from None
