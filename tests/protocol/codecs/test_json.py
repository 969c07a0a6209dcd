"""The JSON encoding: commands and replies as lines, and data that nobody rewrites."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from msgspec import Raw
from tests.protocol.codecs.messages import SDK, contents, json_texts, of_ours, to_ours

from hubbub.errors import WrongProtocol
from hubbub.protocol.codecs import JSON, UNIDIRECTIONAL
from hubbub.protocol.commands import METHODS, Command, ConnectRequest, PublishRequest, RPCRequest, SubscribeRequest
from hubbub.protocol.events import (
    ClientInfo,
    Connect,
    Disconnect,
    Error,
    HistoryResult,
    PresenceResult,
    PresenceStatsResult,
    PublishResult,
    Push,
    Reply,
    SubscribeResult,
)
from hubbub.protocol.events import Publication as Message
from hubbub.protocol.publication import Json
from hubbub.protocol.schema import NOTHING

DEEP = 50_000
"""Brackets inside one another that no parser likes, in less than the size of a message."""


def decoded(text: str | bytes) -> list[Command]:
    return [JSON.decode(command) for command in JSON.split(text)]


def decoded_one_way(text: str | bytes) -> list[Command]:
    return [UNIDIRECTIONAL.decode(command) for command in UNIDIRECTIONAL.split(text)]


def published(text: str) -> Any:
    (command,) = decoded(text)
    assert command.publish is not None
    return command.publish


# Commands


def test_a_line_is_a_command_and_a_frame_is_one_or_more() -> None:
    text = '{"id":1,"connect":{"token":"t","name":"js"}}\n{"id":2,"subscribe":{"channel":"room:7","flag":1}}'
    connect = Command(1, connect=ConnectRequest("t", name="js"))
    subscribe = Command(2, subscribe=SubscribeRequest("room:7", flag=1))
    assert decoded(text) == [connect, subscribe]
    assert decoded(text + "\n") == [connect, subscribe], "a last line end is tolerated"
    assert decoded(text.encode()) == [connect, subscribe], "as it comes from emulation"
    assert decoded(text.replace("\n", "\r\n")) == [connect, subscribe]


def test_an_empty_command_is_a_pong() -> None:
    assert decoded("{}") == [Command()]
    assert decoded(" { } ") == [Command()]
    assert JSON.ping == "{}"


def test_text_waits_in_no_more_bytes_than_it_had_on_the_wire() -> None:
    assert list(JSON.split('{"id":1}\n{}')) == ['{"id":1}', "{}"]
    emoji = '{"id":1,"rpc":{"data":"\U0001f600"}}'
    assert list(JSON.split(emoji)) == [emoji.encode()], "as text, each of its characters takes four bytes"
    assert decoded(emoji) == [Command(1, rpc=RPCRequest(Raw('"\U0001f600"'.encode())))]


def test_a_pong_is_recognised_if_it_is_short() -> None:
    for command in ("{}", "{ }\r", b"{}", '{"id":0}', '{"id":0,"ping":{}}'):
        assert JSON.is_pong(command)
    for command in ('{"id":1}', '{"send":{}}', "{", "", '{"id":0,' + " " * 99 + '"ping":{}}'):
        assert not JSON.is_pong(command)


def test_what_is_not_known_is_ignored() -> None:
    assert decoded('{"id":1,"new":[{}],"connect":{"flag":4,"dict":"x","later":null}}') == [
        Command(1, connect=ConnectRequest())
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "{}\n\n",
        "\n{}",
        "{}\n\n{}",
        "[]",
        "null",
        "1",
        "{",
        "{}x",
        "{}{}",
        "\ufeff{}",
        "{'id':1}",
        '{"id":1,}',
        '{"id":-1}',
        '{"id":4294967296}',
        '{"id":1.0}',
        '{"id":"1"}',
        '{"id":true}',
        '{"id":1,"connect":[]}',
        '{"id":1,"publish":{"channel":7}}',
        '{"id":1,"publish":{"channel":"c","data":NaN}}',
        '{"id":1,"publish":{"channel":"c","data":01}}',
        '{"id":1,"publish":{"channel":"c","data":\n1}}',
        '{"id":1,"publish":{"channel":"c","data":"\x01"}}',
        '{"id":1,"subscribe":{"channel":"c","offset":-1}}',
        '{"id":1,"subscribe":{"channel":"c","offset":0.5}}',
        '{"id":1,"subscribe":{"channel":"c","flag":9223372036854775808}}',
        '{"id":1,"subscribe":{"channel":"c","type":2147483648}}',
        '{"id":1,"history":{"channel":"c","limit":-2147483649}}',
        '{"id":1,"connect":{"headers":{"a":1}}}',
        b"\xff",
        b'{"id":1,"publish":{"channel":"c","data":"\xff"}}',
        b'{"id":1,"publish":{"channel":"c","data":"\xed\xa0\x80"}}',
    ],
)
def test_what_is_no_command_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decoded(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"id":1,"publish":{"channel":"c","data":' + "[" * DEEP + "]" * DEEP + "}}",
        '{"id":1,"publish":{"channel":"c","data":' + "[" * DEEP,
        '{"id":1,"unknown":' + '{"a":' * DEEP + "1" + "}" * DEEP + "}",
        '{"id":1,"subscribe":{"channel":"c","tf":' + '{"nodes":[' * DEEP + "]}" * DEEP + "}}",
        "[" * DEEP,
    ],
)
def test_what_is_nested_too_deeply_is_a_value_error_too(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decoded(text)
    with pytest.raises(ValueError, match=r"."):
        JSON.decode_emulation(text.encode())
    with pytest.raises(ValueError, match=r"."):
        decoded_one_way(text.replace('{"id":1,', "{"))


def test_of_keys_that_come_twice_the_last_counts() -> None:
    text = '{"id":1,"id":2,"publish":{"channel":"a","data":1},"publish":{"channel":"b"}}'
    assert decoded(text) == [Command(2, publish=PublishRequest("b"))]
    assert decoded('{"id":1,"publish":{"channel":"a"},"publish":null}') == [Command(1)]


def test_numbers_keep_their_whole_range() -> None:
    (command,) = decoded('{"id":4294967295,"subscribe":{"offset":18446744073709551615,"flag":-9223372036854775808}}')
    assert command.id == 2**32 - 1
    assert command.subscribe == SubscribeRequest(offset=2**64 - 1, flag=-(2**63))


def test_a_method_is_there_or_not_and_an_empty_request_is_one() -> None:
    for method in METHODS:
        (command,) = decoded(f'{{"id":1,"{method}":{{}}}}')
        assert getattr(command, method) is not None
        assert all(getattr(command, other) is None for other in METHODS if other != method)
        assert decoded(f'{{"id":1,"{method}":null}}') == [Command(1)]


def test_no_data_and_null_are_not_the_same() -> None:
    assert published('{"id":1,"publish":{"channel":"c"}}').data is NOTHING
    assert JSON.payload(published('{"id":1,"publish":{"channel":"c","data":null}}').data) == "null"


@given(json_texts)
def test_data_stays_what_it_was_byte_for_byte(text: str) -> None:
    data = published(f'{{"id":1,"publish":{{"channel":"c","data": {text} }}}}').data
    payload = JSON.payload(data)
    assert type(payload) is Json
    assert payload == text
    reply = JSON.encode(Reply(push=Push(channel="c", pub=Message(JSON.data(payload)))))
    assert reply == f'{{"push":{{"channel":"c","pub":{{"data":{text}}}}}}}'


@given(contents(SDK["Command"], json_texts.map(str.encode)))
@settings(max_examples=80)
def test_commands_of_any_client_are_read_as_they_were_meant(content: dict[str, Any]) -> None:
    (command,) = decoded(_as_json(content))
    assert of_ours(command) == content


# Replies


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply(), "{}"),
        (Reply(9, publish=PublishResult()), '{"id":9,"publish":{}}'),
        (
            Reply(7, error=Error(103, "permission denied")),
            '{"id":7,"error":{"code":103,"message":"permission denied"}}',
        ),
        (
            Reply(8, error=Error(100, "internal server error", temporary=True)),
            '{"id":8,"error":{"code":100,"message":"internal server error","temporary":true}}',
        ),
        (
            Reply(2, subscribe=SubscribeResult(recoverable=True, positioned=True, epoch="kQzTbLwa", offset=4)),
            '{"id":2,"subscribe":{"recoverable":true,"epoch":"kQzTbLwa","offset":4,"positioned":true}}',
        ),
        (Reply(3, presence=PresenceResult({})), '{"id":3,"presence":{"presence":{}}}'),
        (
            Reply(3, presence=PresenceResult({"c": ClientInfo("", "c")})),
            '{"id":3,"presence":{"presence":{"c":{"user":"","client":"c"}}}}',
        ),
        (
            Reply(3, presence_stats=PresenceStatsResult(0, 0)),
            '{"id":3,"presence_stats":{"num_clients":0,"num_users":0}}',
        ),
        (Reply(4, history=HistoryResult([], "", 0)), '{"id":4,"history":{"publications":[],"epoch":"","offset":0}}'),
        (
            Reply(push=Push(disconnect=Disconnect(3000, "connection closed"))),
            '{"push":{"disconnect":{"code":3000,"reason":"connection closed"}}}',
        ),
    ],
)
def test_what_has_its_zero_value_is_left_out_but_for_what_clients_look_for(reply: Reply, text: str) -> None:
    assert JSON.encode(reply) == text


@given(contents(SDK["Reply"], json_texts.map(str.encode)))
@settings(max_examples=80)
def test_replies_say_what_was_put_into_them(content: dict[str, Any]) -> None:
    text = JSON.encode(to_ours(Reply, content))
    assert "\n" not in text
    assert json.loads(text, parse_float=str) == json.loads(_as_json(content), parse_float=str)


def test_replies_are_joined_with_one_line_end_and_none_behind() -> None:
    assert JSON.join(["{}"]) == "{}"
    assert JSON.join(["{}", '{"id":1}', "{}"]) == '{}\n{"id":1}\n{}'


# Data


def test_json_text_is_embedded_text_is_quoted_and_bytes_are_refused() -> None:
    assert bytes(JSON.data(Json('{"a": 1}'))) == b'{"a": 1}'
    assert bytes(JSON.data('a\n"b" ü')) == '"a\\n\\"b\\" ü"'.encode()
    assert bytes(JSON.data("1")) == b'"1"'
    with pytest.raises(WrongProtocol):
        JSON.data(b"1")


def test_deltas_are_embedded_as_text_where_they_are_text() -> None:
    embedded = JSON.embed("u\nm@0,8:é".encode())
    assert embedded is not None
    assert bytes(embedded) == '"u\\nm@0,8:é"'.encode()
    assert JSON.embed("é".encode()[:1]) is None


def test_line_ends_within_data_are_left_out_since_they_separate_messages() -> None:
    payload = JSON.payload(Raw(b'{"a":\n1,\r\n"b": "\\n"\r}'))
    assert payload == '{"a":1,"b": "\\n"}'
    assert type(payload) is Json


def test_data_that_is_not_there_is_not_written() -> None:
    assert JSON.data(Json("")) is NOTHING
    assert JSON.encode(Reply(push=Push(channel="c", pub=Message(JSON.data(Json("")), key="k")))) == (
        '{"push":{"channel":"c","pub":{"key":"k"}}}'
    )


# Emulation


def test_an_emulation_request_holds_the_text_of_the_commands() -> None:
    request = JSON.decode_emulation(b'{"node":"n","session":"s","data":"{\\"id\\":1}\\n{}"}')
    assert (request.node, request.session, bytes(request.data)) == ("n", "s", b'{"id":1}\n{}')
    assert decoded(bytes(request.data)) == [Command(1), Command()]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"node":"n","session":"s"}',
        b'{"node":"n","session":"s","data":{"id":1}}',
        b'{"node":"n","session":"s","data":null}',
        b'{"node":1,"session":"s","data":"{}"}',
        b'{"node":"n","session":"s","data":"\xff"}',
    ],
)
def test_what_is_no_emulation_request_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        JSON.decode_emulation(body)


# One way


def test_the_request_of_a_client_that_only_listens_is_a_connect() -> None:
    assert decoded_one_way('{"token":"t","subs":{"a":{"recover":true}}}') == [
        Command(1, connect=ConnectRequest("t", subs={"a": SubscribeRequest(recover=True)}))
    ]
    assert decoded_one_way(b"{}") == [Command(1, connect=ConnectRequest())]
    for text in ("", "[]", "null", '{"token":1}', b"\xff"):
        with pytest.raises(ValueError, match=r"."):
            decoded_one_way(text)


def test_pushes_for_a_client_that_only_listens_are_not_wrapped() -> None:
    push = Push(channel="c", pub=Message(Raw(b"1"), offset=3))
    assert UNIDIRECTIONAL.encode(Reply(push=push)) == '{"channel":"c","pub":{"data":1,"offset":3}}'
    connect = Push(connect=Connect(client="c1", version="1", ping=25))
    assert UNIDIRECTIONAL.encode(Reply(push=connect)) == '{"connect":{"client":"c1","version":"1","ping":25}}'
    assert UNIDIRECTIONAL.encode(Reply()) == UNIDIRECTIONAL.ping == "{}"


# JSON as the SDKs would write it: nothing of this is ours.


def _as_json(content: Any) -> str:
    if isinstance(content, bytes):
        return content.decode()
    if isinstance(content, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_as_json(value)}" for key, value in content.items()) + "}"
    if isinstance(content, list):
        return "[" + ",".join(map(_as_json, content)) + "]"
    return json.dumps(content)
