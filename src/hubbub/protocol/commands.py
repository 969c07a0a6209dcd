"""What a session may send: the commands of the Centrifuge protocol, and the request in each."""

from typing import Annotated, TypeAlias

from msgspec import Raw, field

from hubbub.protocol.schema import I32, I64, NOTHING, U32, U64, Message

Data: TypeAlias = Raw


class FilterNode(Message):
    """A node of a tags filter; see ``hubbub.protocol.filters``."""

    op: Annotated[str, 1] = ""
    key: Annotated[str, 2] = ""
    cmp: Annotated[str, 3] = ""
    val: Annotated[str, 4] = ""
    # Tuples: an empty list for each of 20,000 empty nodes would keep the garbage collector busy.
    vals: Annotated[tuple[str, ...], 5] = ()
    nodes: "Annotated[tuple[FilterNode, ...], 6]" = ()


class SubscribeRequest(Message):
    channel: Annotated[str, 1] = ""
    token: Annotated[str, 2] = ""
    recover: Annotated[bool, 3] = False
    epoch: Annotated[str, 6] = ""
    offset: Annotated[U64, 7] = 0
    data: Annotated[Data, 8] = NOTHING
    positioned: Annotated[bool, 9] = False
    recoverable: Annotated[bool, 10] = False
    join_leave: Annotated[bool, 11] = False
    delta: Annotated[str, 12] = ""
    tf: Annotated[FilterNode | None, 13] = None
    flag: Annotated[I64, 14] = 0
    type: Annotated[I32, 15] = 0
    phase: Annotated[I32, 16] = 0
    cursor: Annotated[str, 17] = ""
    limit: Annotated[I32, 18] = 0
    asc: Annotated[bool, 19] = False


class ConnectRequest(Message):
    token: Annotated[str, 1] = ""
    data: Annotated[Data, 2] = NOTHING
    subs: Annotated[dict[str, SubscribeRequest], 3] = field(default_factory=dict)
    name: Annotated[str, 4] = ""
    version: Annotated[str, 5] = ""
    headers: Annotated[dict[str, str], 6] = field(default_factory=dict)


class UnsubscribeRequest(Message):
    channel: Annotated[str, 1] = ""


class PublishRequest(Message):
    channel: Annotated[str, 1] = ""
    data: Annotated[Data, 2] = NOTHING
    type: Annotated[I32, 3] = 0
    key: Annotated[str, 4] = ""
    removed: Annotated[bool, 5] = False


class PresenceRequest(Message):
    channel: Annotated[str, 1] = ""


class PresenceStatsRequest(Message):
    channel: Annotated[str, 1] = ""


class StreamPosition(Message):
    offset: Annotated[U64, 1] = 0
    epoch: Annotated[str, 2] = ""


class HistoryRequest(Message):
    channel: Annotated[str, 1] = ""
    limit: Annotated[I32, 7] = 0
    since: Annotated[StreamPosition | None, 8] = None
    reverse: Annotated[bool, 9] = False


class PingRequest(Message):
    """Is in the schema, but no request that counts: pings go from the server to the client."""


class SendRequest(Message):
    data: Annotated[Data, 1] = NOTHING


class RPCRequest(Message):
    data: Annotated[Data, 1] = NOTHING
    method: Annotated[str, 2] = ""


class RefreshRequest(Message):
    token: Annotated[str, 1] = ""


class KeyedItem(Message):
    key: Annotated[str, 1] = ""
    version: Annotated[U64, 2] = 0


class TrackBatch(Message):
    signature: Annotated[str, 1] = ""
    items: Annotated[tuple[KeyedItem, ...], 2] = ()


class SubRefreshRequest(Message):
    channel: Annotated[str, 1] = ""
    token: Annotated[str, 2] = ""
    type: Annotated[I32, 3] = 0
    track: Annotated[tuple[TrackBatch, ...], 4] = ()
    untrack: Annotated[tuple[str, ...], 5] = ()


Request: TypeAlias = (
    ConnectRequest
    | PingRequest
    | SubscribeRequest
    | UnsubscribeRequest
    | PublishRequest
    | PresenceRequest
    | PresenceStatsRequest
    | HistoryRequest
    | RPCRequest
    | SendRequest
    | RefreshRequest
    | SubRefreshRequest
)


class Command(Message):
    """One command. The first request in the order of ``METHODS`` counts; with none and no id it is a pong."""

    id: Annotated[U32, 1] = 0
    connect: Annotated[ConnectRequest | None, 4] = None
    subscribe: Annotated[SubscribeRequest | None, 5] = None
    unsubscribe: Annotated[UnsubscribeRequest | None, 6] = None
    publish: Annotated[PublishRequest | None, 7] = None
    presence: Annotated[PresenceRequest | None, 8] = None
    presence_stats: Annotated[PresenceStatsRequest | None, 9] = None
    history: Annotated[HistoryRequest | None, 10] = None
    ping: Annotated[PingRequest | None, 11] = None
    send: Annotated[SendRequest | None, 12] = None
    rpc: Annotated[RPCRequest | None, 13] = None
    refresh: Annotated[RefreshRequest | None, 14] = None
    sub_refresh: Annotated[SubRefreshRequest | None, 15] = None

    @property
    def is_pong(self) -> bool:
        """Whether it answers a ping: it asks for nothing."""
        return not self.id and self.send is None


METHODS = (
    "connect",
    "subscribe",
    "unsubscribe",
    "publish",
    "presence",
    "presence_stats",
    "history",
    "rpc",
    "send",
    "refresh",
    "sub_refresh",
)
"""The requests of a command in the order in which the first that is there counts."""


class EmulationRequest(Message):
    """Commands for a session whose transport has no way back: one body of ``POST /emulation``.

    ``data`` is the text of the commands (JSON) or their bytes (Protobuf).
    """

    node: Annotated[str, 1] = ""
    session: Annotated[str, 2] = ""
    data: Annotated[Data, 3] = NOTHING
