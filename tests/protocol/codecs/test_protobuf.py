"""The Protobuf encoding, against the SDK's own definition of it."""

from typing import Any

import pytest
from centrifuge.protocol import client_pb2
from google.protobuf.internal.decoder import _DecodeVarint32  # type: ignore[attr-defined]
from google.protobuf.internal.encoder import _VarintBytes  # type: ignore[attr-defined]
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from tests.protocol.codecs.messages import SDK, contents, of_ours, of_sdk, to_ours, to_sdk

from hubbub.protocol.codecs import PROTOBUF
from hubbub.protocol.commands import METHODS, Command, UnsubscribeRequest
from hubbub.protocol.events import HistoryResult, PresenceResult, Reply, SubscribeResult, UnsubscribeResult
from hubbub.protocol.events import Publication as Message
from hubbub.protocol.publication import Json
from hubbub.protocol.schema import NOTHING


def delimited(*messages: Any) -> bytes:
    """What the SDK writes for its messages."""
    encoded = [message.SerializeToString() for message in messages]
    return b"".join(_VarintBytes(len(one)) + one for one in encoded)


def decoded(data: str | bytes) -> list[Command]:
    return [PROTOBUF.decode(command) for command in PROTOBUF.split(data)]


def counting(command: dict[str, Any]) -> dict[str, Any]:
    """What counts of a command: its id and its first request; and that it sends, which no pong does."""
    first = [name for name in METHODS if name in command][:1]
    counted = {name: command[name] for name in ("id", *first) if name in command}
    return {**counted, "send": {}} if "send" in command and first != ["send"] else counted


def read_by_sdk(data: bytes) -> dict[str, Any]:
    size, start = _DecodeVarint32(data, 0)
    assert start + size == len(data)
    return of_sdk(client_pb2.Reply.FromString(data[start:]))


# The bytes of the reference


def test_a_command_is_read_from_its_documented_bytes() -> None:
    assert decoded(bytes.fromhex("08080332040a026162")) == [Command(3, unsubscribe=UnsubscribeRequest("ab"))]


def test_a_reply_is_written_as_its_documented_bytes() -> None:
    assert PROTOBUF.encode(Reply(3, unsubscribe=UnsubscribeResult())) == bytes.fromhex("0408033a00")


def test_ping_and_pong_are_one_zero_byte() -> None:
    assert PROTOBUF.ping == PROTOBUF.encode(Reply()) == b"\x00"
    assert decoded(b"\x00") == [Command()]


# Commands


@given(contents(SDK["Command"], st.binary(min_size=1, max_size=8)))
@settings(max_examples=80)
def test_commands_of_the_sdk_are_read_as_they_were_meant(content: dict[str, Any]) -> None:
    (command,) = decoded(delimited(to_sdk(client_pb2.Command, content)))
    assert of_ours(command) == counting(content)


@given(st.lists(contents(SDK["Command"], st.binary(min_size=1, max_size=300)), min_size=1, max_size=4))
@settings(max_examples=30)
def test_a_frame_holds_as_many_commands_as_it_says(commands: list[dict[str, Any]]) -> None:
    frame = delimited(*(to_sdk(client_pb2.Command, content) for content in commands))
    assert [of_ours(command) for command in decoded(frame)] == list(map(counting, commands))


def test_what_the_sdk_knows_and_we_do_not_is_ignored() -> None:
    connect = client_pb2.Command(id=1, connect=client_pb2.ConnectRequest(flag=3, name="x"))
    (command,) = decoded(delimited(connect))
    assert of_ours(command) == {"id": 1, "connect": {"name": "x"}}


def test_no_data_is_nothing_and_a_request_without_a_field_is_there() -> None:
    (command,) = decoded(delimited(client_pb2.Command(id=1, publish=client_pb2.PublishRequest())))
    assert command.publish is not None
    assert command.publish.data is NOTHING
    assert command.connect is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x80",
        b"\x80\x80\x80\x80\x80\x01",
        b"\xff\xff\xff\xff\x0f",
        b"\xff" * 8,
        b"\x03\xff\xff\xff",
        b"\x02\x08\x01\x02\x08",
        b"\x04\x3a\x02\x0a\x01\xff",
        bytes.fromhex("0632040a02ffff"),
        "{}",
        "",
    ],
)
def test_what_is_no_command_is_a_value_error(data: str | bytes) -> None:
    if data == bytes.fromhex("0632041202ffff"):
        assert decoded(data), "a field that nobody knows may hold anything"
        return
    with pytest.raises(ValueError, match=r"."):
        decoded(data)


def test_commands_before_one_that_is_none_are_read() -> None:
    commands = map(PROTOBUF.decode, PROTOBUF.split(b"\x02\x08\x01\x02\x08\x02\x01"))
    assert [next(commands), next(commands)] == [Command(1), Command(2)]
    with pytest.raises(ValueError, match="cut off"):
        next(commands)


def test_commands_nested_too_deeply_are_a_value_error_too() -> None:
    command = client_pb2.Command(id=1)
    node = command.subscribe.tf
    for _ in range(200):
        node = node.nodes.add()
    with pytest.raises(ValueError, match=r"MaxDepth|Error parsing message"):  # as newer and older protobuf say it
        decoded(delimited(command))


@given(st.binary(max_size=40))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    try:
        commands = decoded(data)
    except ValueError:
        return
    assert commands
    assert all(type(command) is Command for command in commands)


def test_a_command_with_more_items_than_any_needs_is_a_value_error_and_takes_no_time_to_read() -> None:
    node = client_pb2.FilterNode(nodes=[client_pb2.FilterNode()] * 8192)
    fits = client_pb2.Command(id=1, subscribe=client_pb2.SubscribeRequest(channel="c", tf=node))
    (command,) = decoded(delimited(fits))
    assert command.subscribe is not None
    assert command.subscribe.tf is not None
    assert len(command.subscribe.tf.nodes) == 8192
    node.nodes[0].nodes.add()
    for too_much in (
        client_pb2.Command(id=1, subscribe=client_pb2.SubscribeRequest(tf=node)),
        client_pb2.Command(id=1, subscribe=client_pb2.SubscribeRequest(tf=client_pb2.FilterNode(vals=["a"] * 8193))),
        client_pb2.Command(id=1, connect=client_pb2.ConnectRequest(headers={str(n): "" for n in range(8193)})),
    ):
        with pytest.raises(ValueError, match="more than 8192 items"):
            decoded(delimited(too_much))


def test_requests_that_do_not_count_are_not_read() -> None:
    unread = client_pb2.SubscribeRequest(tf=client_pb2.FilterNode(vals=["a"] * 9000))
    both = client_pb2.Command(id=1, connect=client_pb2.ConnectRequest(name="x"), subscribe=unread)
    (command,) = decoded(delimited(both))
    assert of_ours(command) == {"id": 1, "connect": {"name": "x"}}


def test_a_message_is_split_one_command_at_a_time() -> None:
    commands = PROTOBUF.split(b"\x00" * 3 + b"\x02\x08\x01" + b"\xff")
    assert [next(commands) for _ in range(4)] == [b"", b"", b"", b"\x08\x01"]
    with pytest.raises(ValueError, match="cut off"):
        next(commands)


def test_a_length_may_be_written_longer_than_it_is() -> None:
    assert decoded(b"\x82\x80\x00\x08\x01") == [Command(1)]


# Replies


@given(contents(SDK["Reply"], st.binary(min_size=1, max_size=8)))
@settings(max_examples=80)
def test_replies_are_read_by_the_sdk_as_they_were_meant(content: dict[str, Any]) -> None:
    assert read_by_sdk(PROTOBUF.encode(to_ours(Reply, content))) == content


@pytest.mark.parametrize("size", [0, 1, 100, 127, 128, 129, 16_300, 16_383, 16_384, 70_000])
def test_the_length_before_a_reply_is_right_however_long_it_is(size: int) -> None:
    publication = Message(Raw(b"x" * size))
    read = read_by_sdk(PROTOBUF.encode(Reply(1, subscribe=SubscribeResult(publications=[publication]))))
    assert len(read["subscribe"]["publications"][0].get("data", b"")) == size


def test_zero_values_take_no_room() -> None:
    assert PROTOBUF.encode(Reply(1, history=HistoryResult([], "", 0))) == bytes.fromhex("0408015a00")
    assert PROTOBUF.encode(Reply(1, presence=PresenceResult({}))) == bytes.fromhex("0408014a00")


def test_replies_are_joined_as_they_are() -> None:
    replies = [PROTOBUF.encode(Reply(number, unsubscribe=UnsubscribeResult())) for number in (1, 2)]
    assert PROTOBUF.join(replies[:1]) == replies[0]
    assert PROTOBUF.join([*replies, PROTOBUF.ping]) == bytes.fromhex("0408013a00 0408023a00 00")


# Data


def test_data_is_the_text_of_json_and_bytes_are_themselves() -> None:
    assert bytes(PROTOBUF.data(Json('{"a": 1}'))) == b'{"a": 1}'
    assert bytes(PROTOBUF.data("text")) == b'"text"'
    assert bytes(PROTOBUF.data(b"\xff\x00")) == b"\xff\x00"
    embedded = PROTOBUF.embed(b"\xff")
    assert embedded is not None
    assert bytes(embedded) == b"\xff"


def test_data_that_is_json_is_published_as_json_and_else_as_bytes() -> None:
    for data, payload in (
        (b'{"a": 1}', Json('{"a": 1}')),
        (b"\xff", b"\xff"),
        (b"text", b"text"),
        (b'"text"', '"text"'),
    ):
        published = PROTOBUF.payload(Raw(data))
        assert published == payload
        assert type(published) is (bytes if isinstance(payload, bytes) else Json)


def test_an_emulation_request_holds_the_bytes_of_the_commands() -> None:
    wire = client_pb2.EmulationRequest(node="n", session="s", data=b"\x00\x02\x08\x01")
    request = PROTOBUF.decode_emulation(wire.SerializeToString())
    assert (request.node, request.session, bytes(request.data)) == ("n", "s", b"\x00\x02\x08\x01")
    with pytest.raises(ValueError, match=r"."):
        PROTOBUF.decode_emulation(b"\x0a\xff")
