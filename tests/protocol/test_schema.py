"""The schema that is derived from our annotations is that of the protocol: names, numbers, types, ranges."""

from typing import Annotated, Any, get_args

import msgspec
import pytest
from centrifuge.protocol import client_pb2
from tests.protocol.codecs.messages import LEFT_OUT, SDK, type_of

from hubbub.protocol import commands, events
from hubbub.protocol.codecs.protobuf import _schema
from hubbub.protocol.schema import I32, I64, NOTHING, SINT64, U32, U64, Message

OURS = {kind.__name__: wire.DESCRIPTOR for kind, wire in _schema.wire.items()}
NAMES = {"Sent": "Message"}
"""What goes by another name with us, since ours is the one of all messages."""

NEWER: dict[str, dict[str, tuple[int, str, bool]]] = {
    "SubscribeRequest": {
        "type": (15, "int32", False),
        "phase": (16, "int32", False),
        "cursor": (17, "string", False),
        "limit": (18, "int32", False),
        "asc": (19, "bool", False),
    },
    "SubscribeResult": {
        "type": (15, "int32", False),
        "phase": (16, "int32", False),
        "cursor": (17, "string", False),
        "state": (18, "Publication", True),
        "publish_debounce": (19, "uint32", False),
    },
    "PublishRequest": {"type": (3, "int32", False), "key": (4, "string", False), "removed": (5, "bool", False)},
    "SubRefreshRequest": {
        "type": (3, "int32", False),
        "track": (4, "TrackBatch", True),
        "untrack": (5, "string", True),
    },
    "TrackBatch": {"signature": (1, "string", False), "items": (2, "KeyedItem", True)},
    "KeyedItem": {"key": (1, "string", False), "version": (2, "uint64", False)},
    "SubRefreshResult": {"items": (3, "Publication", True)},
    "Publication": {
        "key": (11, "string", False),
        "removed": (12, "bool", False),
        "score": (13, "sint64", False),
        "epoch": (14, "string", False),
        "version": (16, "uint64", False),
    },
}
"""What the SDK's schema does not have yet, from client.proto of centrifugal/protocol v0.21.1."""


def facts(kind: Any) -> dict[str, tuple[int, str, bool]]:
    """Number, type and whether it is repeated, of each field of a message."""
    return {field.name: (field.number, _type(field), field.is_repeated) for field in kind.fields}


def _type(field: Any) -> str:
    if field.message_type is None:
        return type_of(field)
    return NAMES.get(field.message_type.name, field.message_type.name)


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_fields_of_a_message_are_those_of_the_sdk_and_of_the_newer_schema(name: str) -> None:
    wire_name = NAMES.get(name, name)
    expected = facts(SDK[wire_name]) if wire_name in SDK else {}
    for left_out in LEFT_OUT.get(name, ()):
        del expected[left_out]
    assert facts(OURS[name]) == expected | NEWER.get(name, {})


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_entries_of_maps_are_those_of_the_sdk(name: str) -> None:
    theirs = SDK[NAMES.get(name, name)].fields_by_name if NAMES.get(name, name) in SDK else {}
    for field in OURS[name].fields:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            assert facts(field.message_type) == facts(theirs[field.name].message_type)


def test_every_message_of_the_sdk_is_known() -> None:
    assert {NAMES.get(name, name) for name in OURS} - set(NEWER) | set(SDK) == set(SDK)
    assert set(SDK) <= {NAMES.get(name, name) for name in OURS}
    assert client_pb2.DESCRIPTOR.package == OURS["Command"].file.package


def test_every_message_has_the_fields_that_it_declares() -> None:
    declared = {
        kind.__name__: kind
        for module in (commands, events)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message
    }
    assert set(declared) == set(OURS)
    for name, kind in declared.items():
        assert list(kind.__struct_fields__) == [field.name for field in OURS[name].fields]


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [
        (U32, 0, 2**32 - 1),
        (U64, 0, None),
        (I32, -(2**31), 2**31 - 1),
        (I64, -(2**63), 2**63 - 1),
        (SINT64, -(2**63), 2**63 - 1),
    ],
)
def test_integers_keep_to_the_range_of_their_wire_type(kind: Any, least: int, most: int | None) -> None:
    decoder = msgspec.json.Decoder(kind)
    assert decoder.decode(str(least)) == least
    with pytest.raises(msgspec.ValidationError):
        decoder.decode(str(least - 1))
    if most is None:
        assert decoder.decode(str(2**64 - 1)) == 2**64 - 1
    else:
        assert decoder.decode(str(most)) == most
        with pytest.raises(msgspec.ValidationError):
            decoder.decode(str(most + 1))
    assert get_args(kind)[-1] in {"uint32", "uint64", "int32", "int64", "sint64"}


def test_in_json_a_default_is_left_out_and_what_has_none_is_always_there() -> None:
    class Example(Message):
        needed: Annotated[str, 1]
        optional: Annotated[str, 2] = ""
        data: Annotated[msgspec.Raw, 3] = NOTHING

    assert msgspec.json.encode(Example("")) == b'{"needed":""}'
    assert msgspec.json.encode(Example("a", "b", msgspec.Raw(b"null"))) == b'{"needed":"a","optional":"b","data":null}'
    assert not NOTHING
    assert msgspec.json.decode(b'{"needed":""}', type=Example).data is NOTHING
