"""What a session is sent: replies to its commands, and pushes."""

from typing import Annotated, TypeAlias

from msgspec import Raw, field

from hubbub.protocol.schema import I32, I64, NOTHING, SINT64, U32, U64, Message

Data: TypeAlias = Raw


class Error(Message):
    code: Annotated[U32, 1] = 0
    message: Annotated[str, 2] = ""
    temporary: Annotated[bool, 3] = False


class ClientInfo(Message):
    user: Annotated[str, 1]
    client: Annotated[str, 2]
    conn_info: Annotated[Data, 3] = NOTHING
    chan_info: Annotated[Data, 4] = NOTHING


class Publication(Message):
    data: Annotated[Data, 4] = NOTHING
    info: Annotated[ClientInfo | None, 5] = None
    offset: Annotated[U64, 6] = 0
    tags: Annotated[dict[str, str], 7] = field(default_factory=dict)
    delta: Annotated[bool, 8] = False
    time: Annotated[I64, 9] = 0
    channel: Annotated[str, 10] = ""
    key: Annotated[str, 11] = ""
    removed: Annotated[bool, 12] = False
    score: Annotated[SINT64, 13] = 0
    epoch: Annotated[str, 14] = ""
    version: Annotated[U64, 16] = 0


class SubscribeResult(Message):
    expires: Annotated[bool, 1] = False
    ttl: Annotated[U32, 2] = 0
    recoverable: Annotated[bool, 3] = False
    epoch: Annotated[str, 6] = ""
    publications: Annotated[list[Publication], 7] = field(default_factory=list)
    recovered: Annotated[bool, 8] = False
    offset: Annotated[U64, 9] = 0
    positioned: Annotated[bool, 10] = False
    data: Annotated[Data, 11] = NOTHING
    was_recovering: Annotated[bool, 12] = False
    delta: Annotated[bool, 13] = False
    id: Annotated[I64, 14] = 0
    type: Annotated[I32, 15] = 0
    phase: Annotated[I32, 16] = 0
    cursor: Annotated[str, 17] = ""
    state: Annotated[list[Publication], 18] = field(default_factory=list)
    publish_debounce: Annotated[U32, 19] = 0


class ConnectResult(Message):
    client: Annotated[str, 1] = ""
    version: Annotated[str, 2] = ""
    expires: Annotated[bool, 3] = False
    ttl: Annotated[U32, 4] = 0
    data: Annotated[Data, 5] = NOTHING
    subs: Annotated[dict[str, SubscribeResult], 6] = field(default_factory=dict)
    ping: Annotated[U32, 7] = 0
    pong: Annotated[bool, 8] = False
    session: Annotated[str, 9] = ""
    node: Annotated[str, 10] = ""
    time: Annotated[I64, 11] = 0


class UnsubscribeResult(Message):
    pass


class PublishResult(Message):
    pass


class PresenceResult(Message):
    presence: Annotated[dict[str, ClientInfo], 1]


class PresenceStatsResult(Message):
    num_clients: Annotated[U32, 1]
    num_users: Annotated[U32, 2]


class HistoryResult(Message):
    publications: Annotated[list[Publication], 1]
    epoch: Annotated[str, 2]
    offset: Annotated[U64, 3]


class PingResult(Message):
    pass


class RPCResult(Message):
    data: Annotated[Data, 1] = NOTHING


class RefreshResult(Message):
    client: Annotated[str, 1] = ""
    version: Annotated[str, 2] = ""
    expires: Annotated[bool, 3] = False
    ttl: Annotated[U32, 4] = 0


class SubRefreshResult(Message):
    expires: Annotated[bool, 1] = False
    ttl: Annotated[U32, 2] = 0
    items: Annotated[list[Publication], 3] = field(default_factory=list)


class Join(Message):
    info: Annotated[ClientInfo | None, 1] = None


class Leave(Message):
    info: Annotated[ClientInfo | None, 1] = None


class Unsubscribe(Message):
    code: Annotated[U32, 2] = 0
    reason: Annotated[str, 3] = ""


class Subscribe(Message):
    recoverable: Annotated[bool, 1] = False
    epoch: Annotated[str, 4] = ""
    offset: Annotated[U64, 5] = 0
    positioned: Annotated[bool, 6] = False
    data: Annotated[Data, 7] = NOTHING


class Sent(Message):
    """A message of no channel; ``message`` in the protocol."""

    data: Annotated[Data, 1] = NOTHING


class Connect(Message):
    """The result of connect, for transports that only push; in Protobuf, its fields have other numbers."""

    client: Annotated[str, 1] = ""
    version: Annotated[str, 2] = ""
    data: Annotated[Data, 3] = NOTHING
    subs: Annotated[dict[str, SubscribeResult], 4] = field(default_factory=dict)
    expires: Annotated[bool, 5] = False
    ttl: Annotated[U32, 6] = 0
    ping: Annotated[U32, 7] = 0
    pong: Annotated[bool, 8] = False
    session: Annotated[str, 9] = ""
    node: Annotated[str, 10] = ""
    time: Annotated[I64, 11] = 0


class Disconnect(Message):
    code: Annotated[U32, 1] = 0
    reason: Annotated[str, 2] = ""
    reconnect: Annotated[bool, 3] = False


class Refresh(Message):
    expires: Annotated[bool, 1] = False
    ttl: Annotated[U32, 2] = 0


class Push(Message):
    id: Annotated[I64, 1] = 0
    channel: Annotated[str, 2] = ""
    pub: Annotated[Publication | None, 4] = None
    join: Annotated[Join | None, 5] = None
    leave: Annotated[Leave | None, 6] = None
    unsubscribe: Annotated[Unsubscribe | None, 7] = None
    message: Annotated[Sent | None, 8] = None
    subscribe: Annotated[Subscribe | None, 9] = None
    connect: Annotated[Connect | None, 10] = None
    disconnect: Annotated[Disconnect | None, 11] = None
    refresh: Annotated[Refresh | None, 12] = None


class Reply(Message):
    """The answer to the command with this id, or a push; empty, it is a ping."""

    id: Annotated[U32, 1] = 0
    error: Annotated[Error | None, 2] = None
    push: Annotated[Push | None, 4] = None
    connect: Annotated[ConnectResult | None, 5] = None
    subscribe: Annotated[SubscribeResult | None, 6] = None
    unsubscribe: Annotated[UnsubscribeResult | None, 7] = None
    publish: Annotated[PublishResult | None, 8] = None
    presence: Annotated[PresenceResult | None, 9] = None
    presence_stats: Annotated[PresenceStatsResult | None, 10] = None
    history: Annotated[HistoryResult | None, 11] = None
    ping: Annotated[PingResult | None, 12] = None
    rpc: Annotated[RPCResult | None, 13] = None
    refresh: Annotated[RefreshResult | None, 14] = None
    sub_refresh: Annotated[SubRefreshResult | None, 15] = None


Result: TypeAlias = (
    ConnectResult
    | SubscribeResult
    | UnsubscribeResult
    | PublishResult
    | PresenceResult
    | PresenceStatsResult
    | HistoryResult
    | PingResult
    | RPCResult
    | RefreshResult
    | SubRefreshResult
)
