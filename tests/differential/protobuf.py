"""The messages of the Protobuf variant, from a table of their fields: commands to bytes, and replies to readable text.

Written apart from the library's own codec, so that one mistake cannot hide in both.
"""

import json
import struct
from typing import Any

COMMAND = """id:u:1 connect:ConnectRequest:4 subscribe:SubscribeRequest:5 unsubscribe:UnsubscribeRequest:6
    publish:PublishRequest:7 presence:ChannelRequest:8 presence_stats:ChannelRequest:9 history:HistoryRequest:10
    ping:Empty:11 send:SendRequest:12 rpc:RPCRequest:13 refresh:RefreshRequest:14 sub_refresh:SubRefreshRequest:15"""
REPLY = """id:u:1 error:Error:2 push:Push:4 connect:ConnectResult:5 subscribe:SubscribeResult:6 unsubscribe:Empty:7
    publish:Empty:8 presence:PresenceResult:9 presence_stats:PresenceStatsResult:10 history:HistoryResult:11
    ping:Empty:12 rpc:RPCResult:13 refresh:RefreshResult:14 sub_refresh:SubRefreshResult:15"""
MESSAGES = {
    "Command": COMMAND,
    "Reply": REPLY,
    "Empty": "",
    "Error": "code:u:1 message:s:2 temporary:?:3",
    "EmulationRequest": "node:s:1 session:s:2 data:b:3",
    "Push": "id:u:1 channel:s:2 pub:Publication:4 join:Join:5 leave:Join:6 unsubscribe:Unsubscribe:7"
    " message:SendRequest:8 subscribe:Subscribe:9 connect:Connect:10 disconnect:Disconnect:11 refresh:Refresh:12",
    "ClientInfo": "user:s:1 client:s:2 conn_info:b:3 chan_info:b:4",
    "Publication": "data:b:4 info:ClientInfo:5 offset:u:6 tags:%s:7 delta:?:8 time:u:9 channel:s:10 key:s:11"
    " removed:?:12 score:z:13 epoch:s:14 prev_data:b:15 version:u:16",
    "Join": "info:ClientInfo:1",
    "Unsubscribe": "code:u:2 reason:s:3",
    "Subscribe": "recoverable:?:1 epoch:s:4 offset:u:5 positioned:?:6 data:b:7",
    "Connect": "client:s:1 version:s:2 data:b:3 subs:%SubscribeResult:4 expires:?:5 ttl:u:6 ping:u:7 pong:?:8"
    " session:s:9 node:s:10 time:u:11",
    "Disconnect": "code:u:1 reason:s:2 reconnect:?:3",
    "Refresh": "expires:?:1 ttl:u:2",
    "ConnectRequest": "token:s:1 data:b:2 subs:%SubscribeRequest:3 name:s:4 version:s:5 headers:%s:6 flag:u:7",
    "ConnectResult": "client:s:1 version:s:2 expires:?:3 ttl:u:4 data:b:5 subs:%SubscribeResult:6 ping:u:7 pong:?:8"
    " session:s:9 node:s:10 time:u:11 flag:u:12",
    "RefreshRequest": "token:s:1",
    "RefreshResult": "client:s:1 version:s:2 expires:?:3 ttl:u:4",
    "SubscribeRequest": "channel:s:1 token:s:2 recover:?:3 epoch:s:6 offset:u:7 data:b:8 positioned:?:9"
    " recoverable:?:10 join_leave:?:11 delta:s:12 tf:FilterNode:13 flag:u:14 type:u:15 phase:u:16 cursor:s:17"
    " limit:u:18 asc:?:19",
    "SubscribeResult": "expires:?:1 ttl:u:2 recoverable:?:3 epoch:s:6 *publications:Publication:7 recovered:?:8"
    " offset:u:9 positioned:?:10 data:b:11 was_recovering:?:12 delta:?:13 id:u:14 type:u:15 phase:u:16 cursor:s:17"
    " *state:Publication:18 publish_debounce:u:19",
    "SubRefreshRequest": "channel:s:1 token:s:2 type:u:3 *track:TrackBatch:4 *untrack:s:5",
    "TrackBatch": "signature:s:1 *items:KeyedItem:2",
    "KeyedItem": "key:s:1 version:u:2",
    "SubRefreshResult": "expires:?:1 ttl:u:2 *items:Publication:3",
    "UnsubscribeRequest": "channel:s:1",
    "ChannelRequest": "channel:s:1",
    "PublishRequest": "channel:s:1 data:b:2 type:u:3 key:s:4 removed:?:5",
    "PresenceResult": "presence:%ClientInfo:1",
    "PresenceStatsResult": "num_clients:u:1 num_users:u:2",
    "StreamPosition": "offset:u:1 epoch:s:2",
    "HistoryRequest": "channel:s:1 limit:u:7 since:StreamPosition:8 reverse:?:9",
    "HistoryResult": "*publications:Publication:1 epoch:s:2 offset:u:3",
    "RPCRequest": "data:b:1 method:s:2",
    "RPCResult": "data:b:1",
    "SendRequest": "data:b:1",
    "FilterNode": "op:s:1 key:s:2 cmp:s:3 val:s:4 *vals:s:5 *nodes:FilterNode:6",
}
"""Per message: name:type:number; u unsigned or signed, z zigzag, ? flag, s text, b bytes, % map, * repeated."""

FIELDS = {
    message: [(parts[0], parts[1], int(parts[2])) for parts in (field.split(":") for field in table.split())]
    for message, table in MESSAGES.items()
}


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _prefixed(data: bytes) -> bytes:
    return _varint(len(data)) + data


def _bytes(value: Any) -> bytes:
    if isinstance(value, dict) and set(value) == {"$hex"}:
        return bytes.fromhex(value["$hex"])
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def encode(message: str, values: dict[str, Any]) -> bytes:
    """The bytes of a message; what is given is written, also where it is the default; data is JSON text or {"$hex"}."""
    out = b""
    for marked, kind, number in FIELDS[message]:
        name = marked.lstrip("*")
        if name not in values:
            continue
        for value in values[name] if marked[0] == "*" else [values[name]]:
            out += _field(kind, number, value)
    return out


def _field(kind: str, number: int, value: Any) -> bytes:
    if kind in "u?z":
        return _varint(number << 3) + _varint(value << 1 if kind == "z" else int(value))
    tag = _varint(number << 3 | 2)
    if kind == "s":
        return tag + _prefixed(value.encode())
    if kind == "b":
        return tag + _prefixed(_bytes(value))
    if kind[0] == "%":
        entries = ((_field("s", 1, key), _field(kind[1:], 2, item)) for key, item in value.items())
        return b"".join(tag + _prefixed(key + item) for key, item in entries)
    return tag + _prefixed(encode(kind, value))


def commands(text: str) -> bytes:
    """A frame: the commands of the lines of the text, each after its length."""
    return b"".join(_prefixed(encode("Command", json.loads(line))) for line in text.split("\n"))


def emulation(node: str, session: str, data: bytes) -> bytes:
    """The body of a POST of an emulated Protobuf connection."""
    texts = _field("s", 1, node) + _field("s", 2, session)
    return texts + _varint(3 << 3 | 2) + _prefixed(data)


class Incomplete(ValueError):
    """The bytes end within a message."""


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(data):
            raise Incomplete
        number |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return number, at


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole messages of a stream of prefixed messages, and what is left."""
    messages = []
    at = 0
    while at < len(data):
        try:
            length, start = _read_varint(data, at)
        except Incomplete:
            break
        if start + length > len(data):
            break
        messages.append(data[start : start + length])
        at = start + length
    return messages, data[at:]


def decode(message: str, data: bytes) -> str:
    """The message as text: fields in the order of the wire, repeated ones as often as they come."""
    fields = {number: (name, kind) for name, kind, number in FIELDS[message]}
    parts = []
    for number, wire, value in _fields(data):
        name, kind = fields.get(number, (f"*unknown-{number}", "raw"))
        parts.append(f'"{name.lstrip("*")}":{_text(kind, wire, value)}')
    return "{" + ",".join(parts) + "}"


def _fields(data: bytes) -> list[tuple[int, int, int | bytes]]:
    found: list[tuple[int, int, int | bytes]] = []
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        if tag & 7 == 0:
            number, at = _read_varint(data, at)
            found.append((tag >> 3, 0, number))
        elif tag & 7 == 2:
            length, at = _read_varint(data, at)
            found.append((tag >> 3, 2, data[at : at + length]))
            at += length
        else:
            size = 8 if tag & 7 == 1 else 4
            found.append((tag >> 3, tag & 7, struct.pack(f">{size}s", data[at : at + size])))
            at += size
    return found


def _text(kind: str, wire: int, value: int | bytes) -> str:
    if isinstance(value, int):
        if kind not in ("u", "z", "?"):
            return f'"wire type {wire}: {value}"'
        number = (value >> 1) ^ -(value & 1) if kind == "z" else value
        return {0: "false", 1: "true"}.get(number, str(number)) if kind == "?" else str(number)
    if kind[0] == "%":
        entry = {number: item for number, _, item in _fields(value)}
        key, item = entry.get(1, b""), entry.get(2, b"")
        assert isinstance(key, bytes)
        return "{" + json.dumps(key.decode(), ensure_ascii=False) + ":" + _text(kind[1:], 2, item) + "}"
    if kind in FIELDS:
        return decode(kind, value)
    try:
        return json.dumps(value.decode(), ensure_ascii=False)
    except UnicodeDecodeError:
        return f'{{"$hex":"{value.hex()}"}}'
