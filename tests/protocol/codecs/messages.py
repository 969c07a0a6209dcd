"""Messages of the protocol as plain values, made from the descriptors of the Centrifuge SDK for Python.

A message is a dict of what is set in it. So what one side wrote can be compared with what the other side read, and
nothing of ours says what is right.
"""

import json
from typing import Any

from centrifuge.protocol import client_pb2
from hypothesis import strategies as st
from msgspec import Raw, convert

from hubbub.protocol.schema import Message

SDK = client_pb2.DESCRIPTOR.message_types_by_name
LEFT_OUT = {"ConnectRequest": {"flag"}}
"""Fields that the SDK knows, and that mean something to no server but Centrifugo PRO."""
ALWAYS_THERE = {
    "ClientInfo": {"user", "client"},
    "PresenceResult": {"presence"},
    "PresenceStatsResult": {"num_clients", "num_users"},
    "HistoryResult": {"publications", "epoch", "offset"},
}
"""Fields that are written in JSON even with their zero value."""

_RANGES = {
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "sint64": (-(2**63), 2**63 - 1),
}
_TYPES = {13: "uint32", 4: "uint64", 5: "int32", 3: "int64", 18: "sint64", 9: "string", 8: "bool", 12: "bytes"}
"""Protobuf's numbers of the types (FieldDescriptorProto.Type)."""
_DEEPEST = 4

_blank = st.text(" \t", max_size=2)
_numbers = st.sampled_from(
    ("0", "-0", "1", "1.0", "1e2", "1E+2", "1.50", "-12.5e-3", "9" * 40, "0." + "1" * 40, "1e999")
)
_strings = st.builds(json.dumps, st.text(max_size=6), ensure_ascii=st.booleans())


def _in_brackets(opening: str, closing: str, items: "st.SearchStrategy[str]") -> "st.SearchStrategy[str]":
    one = st.tuples(_blank, items, _blank).map("".join)
    return st.lists(one, max_size=3).map(lambda found: opening + ",".join(found) + closing)


json_texts: "st.SearchStrategy[str]" = st.recursive(
    st.sampled_from(("null", "true", "false")) | _numbers | _strings,
    lambda inner: (
        _in_brackets("[", "]", inner)
        | _in_brackets("{", "}", st.tuples(st.just('"a"') | _strings, _blank, st.just(":"), _blank, inner).map("".join))
    ),
    max_leaves=8,
)
"""JSON on one line as people and programs write it: spaces, odd numbers, escapes, keys that come twice."""


def type_of(field: Any) -> str:
    """The Protobuf type of a field that holds no message."""
    return _TYPES[field.type]


def contents(kind: Any, data: "st.SearchStrategy[bytes]", depth: int = 0) -> "st.SearchStrategy[dict[str, Any]]":
    """Messages of the SDK's descriptor ``kind``, with ``data`` in their fields of bytes."""
    always = ALWAYS_THERE.get(kind.name, ())
    needed, optional = {}, {}
    for field in kind.fields:
        if field.name in always:
            needed[field.name] = _values(field, data, depth)
        elif field.name not in LEFT_OUT.get(kind.name, ()) and (field.message_type is None or depth < _DEEPEST):
            optional[field.name] = _values(field, data, depth)
    return st.fixed_dictionaries(needed, optional=optional)


def _values(field: Any, data: "st.SearchStrategy[bytes]", depth: int) -> "st.SearchStrategy[Any]":
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        value = _values(kind.fields_by_name["value"], data, depth)
        return st.dictionaries(st.text(max_size=4), value, min_size=1, max_size=2)
    one: st.SearchStrategy[Any]
    if kind is not None:
        one = contents(kind, data, depth + 1)
    elif type_of(field) in _RANGES:
        one = st.integers(*_RANGES[type_of(field)]).filter(bool)
    else:
        one = {"string": st.text(min_size=1, max_size=4), "bool": st.just(True), "bytes": data}[type_of(field)]
    return st.lists(one, min_size=1, max_size=2) if field.is_repeated else one


def to_sdk(kind: Any, content: dict[str, Any]) -> Any:
    """The SDK's own message with this content."""
    wire = kind()
    for name, value in content.items():
        field = kind.DESCRIPTOR.fields_by_name[name]
        if field.message_type is None:
            getattr(wire, name).extend(value) if field.is_repeated else setattr(wire, name, value)
        elif field.message_type.GetOptions().map_entry:
            of = field.message_type.fields_by_name["value"].message_type
            for key, entry in value.items():
                if of is None:
                    getattr(wire, name)[key] = entry
                else:
                    getattr(wire, name)[key].CopyFrom(to_sdk(getattr(client_pb2, of.name), entry))
        elif field.is_repeated:
            of = getattr(client_pb2, field.message_type.name)
            getattr(wire, name).extend(to_sdk(of, one) for one in value)
        else:
            getattr(wire, name).CopyFrom(to_sdk(getattr(client_pb2, field.message_type.name), value))
    return wire


def of_sdk(wire: Any) -> dict[str, Any]:
    """What is set in one of the SDK's messages."""
    content: dict[str, Any] = {}
    for field, value in wire.ListFields():
        kind = field.message_type
        if kind is None:
            content[field.name] = list(value) if field.is_repeated else value
        elif kind.GetOptions().map_entry:
            plain = kind.fields_by_name["value"].message_type is None
            content[field.name] = {key: entry if plain else of_sdk(entry) for key, entry in value.items()}
        else:
            content[field.name] = [of_sdk(one) for one in value] if field.is_repeated else of_sdk(value)
    return content


def to_ours(kind: type[Message], content: Any) -> Any:
    """Our own message with this content."""
    return convert(_with_raw(content), kind)


def _with_raw(content: Any) -> Any:
    if isinstance(content, bytes):
        return Raw(content)
    if isinstance(content, list):
        return [_with_raw(one) for one in content]
    if isinstance(content, dict):
        return {key: _with_raw(value) for key, value in content.items()}
    return content


def of_ours(value: Any) -> Any:
    """What is set in one of our messages."""
    if isinstance(value, Message):
        fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
        return {name: of_ours(content) for name, content in fields if content}
    if isinstance(value, list | tuple):
        return [of_ours(one) for one in value]
    if isinstance(value, dict):
        return {key: of_ours(one) for key, one in value.items()}
    return bytes(value) if isinstance(value, Raw) else value
