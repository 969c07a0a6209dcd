"""The Protobuf variant: on WebSocket and on HTTP streaming, and what JSON and Protobuf clients see of each other."""

from tests.differential.protobuf import commands
from tests.differential.scenario import Close, Open, Scenario, Send, api
from tests.differential.tokens import PAST, user

from .building import CONNECT, command, connect_as, joined

PROTOCOL = ("centrifuge-protobuf",)


def _broken(name: str, frame: bytes) -> Scenario:
    return Scenario(f"protobuf: {name}", (*joined("a", protobuf=True), Send("a", frame)))


def _prefixed(data: bytes) -> bytes:
    return bytes([len(data)]) + data


CONNECTING = [
    Scenario("protobuf: by subprotocol", (Open("a", protobuf=True, subprotocols=PROTOCOL), Send("a", CONNECT))),
    Scenario("protobuf: by format", (Open("a", protobuf=True, query="format=protobuf"), Send("a", CONNECT))),
    Scenario("protobuf: by cf_protocol", (Open("a", protobuf=True, query="cf_protocol=protobuf"), Send("a", CONNECT))),
    Scenario(
        "protobuf: JSON subprotocol, Protobuf format",
        (Open("a", protobuf=True, query="format=protobuf", subprotocols=("centrifuge-json",)), Send("a", CONNECT)),
    ),
    Scenario(
        "protobuf: both subprotocols",
        (Open("a", subprotocols=("centrifuge-json", "centrifuge-protobuf")), Send("a", CONNECT)),
    ),
    Scenario(
        "protobuf: both subprotocols, the other first",
        (Open("a", protobuf=True, subprotocols=("centrifuge-protobuf", "centrifuge-json")), Send("a", CONNECT)),
    ),
    Scenario(
        "protobuf: expired token",
        (Open("a", protobuf=True, subprotocols=PROTOCOL), Send("a", command(1, "connect", token=user("u", exp=PAST)))),
    ),
    Scenario(
        "protobuf: invalid token",
        (Open("a", protobuf=True, subprotocols=PROTOCOL), Send("a", command(1, "connect", token="x"))),
    ),
    Scenario(
        "protobuf: server-side subscriptions",
        (
            Open("a", protobuf=True, subprotocols=PROTOCOL),
            Send("a", command(1, "connect", token=user("u", channels=["open:pbs"], info={"i": 1}))),
            api("publish", '{"channel":"open:pbs","data":{ "a": 1 },"tags":{"t":"1"}}'),
            api("unsubscribe", '{"user":"u","channel":"open:pbs"}'),
            api("subscribe", '{"user":"u","channel":"rec:pbs","data":{"x":1}}'),
            api("refresh", '{"user":"u","expire_at":4102444800}'),
            api("disconnect", '{"user":"u"}', await_close=("a",)),
        ),
    ),
]

TALKING = [
    Scenario(
        "protobuf: a conversation",
        (
            *joined("a", connect_as("u"), protobuf=True),
            Send("a", command(2, "subscribe", channel="members:pb")),
            Send("a", command(3, "publish", channel="members:pb", data={"é": [1, 2]})),
            Send("a", command(4, "presence", channel="members:pb")),
            Send("a", command(5, "presence_stats", channel="members:pb")),
            Send("a", command(6, "history", channel="members:pb", limit=-1)),
            Send("a", command(7, "rpc", method="m", data=1)),
            Send("a", command(8, "unsubscribe", channel="members:pb")),
            Send("a", command(9, "subscribe", channel="nowhere:pb")),
            Send("a", command(10, "refresh", token=user("u"))),
            Send("a", command(11, "send", data=1)),
        ),
    ),
    Scenario(
        "protobuf: recovery",
        (
            api("publish", '{"channel":"rec:pb","data":1}'),
            api("publish", '{"channel":"rec:pb","data":2}'),
            *joined("a", protobuf=True),
            Send("a", '{"id":2,"subscribe":{"channel":"rec:pb","recover":true,"offset":1,"epoch":"${api.epoch}"}}'),
            Send("a", command(3, "unsubscribe", channel="rec:pb")),
            Send("a", '{"id":4,"subscribe":{"channel":"rec:pb","recover":true,"offset":1,"epoch":"wrong"}}'),
        ),
    ),
    Scenario(
        "protobuf: JSON and Protobuf together",
        (
            *joined("a", protobuf=True),
            *joined("b"),
            Send("a", command(2, "subscribe", channel="open:mix")),
            Send("b", command(2, "subscribe", channel="open:mix"), wait={"a": 1}),
            Send("a", command(3, "publish", channel="open:mix", data={"a": 1})),
            Send("b", '{"id":3,"publish":{"channel":"open:mix","data":{ "b" : 2 }}}'),
            Close("b", wait={"a": 1}),
        ),
    ),
    Scenario(
        "protobuf: bytes that are not JSON",
        (
            *joined("a", protobuf=True),
            *joined("b"),
            Send("a", command(2, "subscribe", channel="plain:bytes")),
            Send("b", command(2, "subscribe", channel="plain:bytes")),
            Send(
                "a",
                '{"id":3,"publish":{"channel":"plain:bytes","data":{"$hex":"ff00"}}}',
                await_close=("b",),
                wait={"a": 2},
            ),
        ),
    ),
    Scenario(
        "protobuf: to a namespace of JSON",
        (
            *joined("a", protobuf=True),
            Send("a", '{"id":3,"publish":{"channel":"json:bytes","data":{"$hex":"ff00"}}}'),
        ),
    ),
    Scenario(
        "protobuf: delta",
        (
            *joined("a", protobuf=True),
            Send("a", command(2, "subscribe", channel="delta:pb", delta="fossil")),
            api("publish", f'{{"channel":"delta:pb","data":"{"x" * 90}é"}}'),
            api("publish", f'{{"channel":"delta:pb","data":"{"x" * 90}è"}}'),
        ),
    ),
    Scenario(
        "protobuf: tags filter",
        (
            *joined("a", protobuf=True),
            Send("a", command(2, "subscribe", channel="tags:pb", tf={"key": "a", "cmp": "in", "vals": ["x", "y"]})),
            api("publish", '{"channel":"tags:pb","data":1,"tags":{"a":"x"}}'),
            api("publish", '{"channel":"tags:pb","data":2,"tags":{"a":"z"}}'),
        ),
    ),
    Scenario(
        "protobuf: several in a frame",
        (
            *joined("a", protobuf=True),
            Send("a", command(2, "rpc") + "\n" + command(3, "subscribe", channel="plain:pb")),
        ),
    ),
]

RPC = commands(command(2, "rpc", method="m"))
BROKEN = [
    _broken("empty frame", b""),
    _broken("pong without ping", b"\x00"),
    _broken("two pongs", b"\x00\x00"),
    _broken("cut off", RPC[:-1]),
    _broken("length without message", b"\x05"),
    _broken("length beyond the frame", b"\x7f\x08\x02"),
    _broken("endless length", b"\xff" * 12),
    _broken("whole, then cut off", RPC + RPC[:-1]),
    _broken("whole, then text", RPC + b"x"),
    _broken("unknown field", _prefixed(RPC[1:] + b"\xa2\x06\x01x")),
    _broken("group", _prefixed(b"\x08\x02\x0b\x0c")),
    _broken("id as text", _prefixed(b"\x0a\x01x")),
    _broken("id twice", _prefixed(b"\x08\x05" + RPC[1:])),
    _broken("id of 64 bits", _prefixed(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + RPC[3:])),
    _broken("id overlong", _prefixed(b"\x08\x82\x00" + RPC[3:])),
    _broken("no request", _prefixed(b"\x08\x02")),
    _broken("channel of invalid UTF-8", _prefixed(b"\x08\x02\x2a\x03\x0a\x01\xff")),
    _broken("request twice, merged", _prefixed(b"\x08\x02" + RPC[3:] + RPC[3:])),
    _broken("empty subscribe", _prefixed(b"\x08\x02\x2a\x00")),
    _broken("ping command", _prefixed(b"\x08\x02\x5a\x00")),
    Scenario("protobuf: a text frame", (*joined("a", protobuf=True), Send("a", RPC, as_text=True))),
    Scenario(
        "protobuf: JSON in its place",
        (*joined("a", protobuf=True), Send("a", b'{"id":2,"rpc":{}}', as_text=True)),
    ),
    Scenario("protobuf: Protobuf to JSON", (*joined("a"), Send("a", RPC))),
]

STREAMING = [
    Scenario(
        "protobuf http_stream: a conversation",
        (
            *joined("a", CONNECT, "http_stream", protobuf=True),
            Send("a", command(2, "subscribe", channel="rec:pbh")),
            Send("a", command(3, "publish", channel="rec:pbh", data={"a": 1})),
            api("publish", '{"channel":"rec:pbh","data":2}'),
            Send("a", command(4, "rpc") + "\n" + command(5, "unsubscribe", channel="rec:pbh")),
            Send("a", b"\x05", await_close=("a",)),
        ),
    ),
    Scenario(
        "protobuf http_stream: invalid token",
        (Open("a", "http_stream", command(1, "connect", token="x"), protobuf=True, await_close=("a",)),),
    ),
    Scenario(
        "protobuf http_stream: JSON body",
        (Open("a", "http_stream", CONNECT.encode(), protobuf=True, await_close=("a",)),),
    ),
    Scenario("protobuf http_stream: empty body", (Open("a", "http_stream", b"", protobuf=True, await_close=("a",)),)),
]

SCENARIOS = [*CONNECTING, *TALKING, *BROKEN, *STREAMING]
