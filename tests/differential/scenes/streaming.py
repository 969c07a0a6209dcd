"""HTTP streaming, server-sent events and their emulation endpoint; the unidirectional transports."""

import json
from urllib.parse import quote

from tests.differential.scenario import Close, Http, Open, Scenario, Send, api
from tests.differential.tokens import FAR, PAST, sign, user

from .building import CONNECT, command, connect_as, joined

BIG = json.dumps({"id": 1, "connect": {"name": "x" * 66000}})
EXPIRED = command(1, "connect", token=user("u", exp=PAST))
INVALID = command(1, "connect", token="x")

BOTH = [
    scenario
    for transport in ("http_stream", "sse")
    for scenario in [
        Scenario(
            f"{transport}: a conversation",
            (
                *joined("a", CONNECT, transport),
                Send("a", command(2, "subscribe", channel="rec:" + transport)),
                Send("a", command(3, "publish", channel="rec:" + transport, data={"é": "a\nb"})),
                api("publish", f'{{"channel":"rec:{transport}","data":{{ "a" :\n 1 }}}}'),
                Send("a", command(4, "rpc", method="m") + "\n" + command(5, "presence", channel="plain:x")),
                Send("a", command(6, "unsubscribe", channel="rec:" + transport)),
            ),
        ),
        Scenario(
            f"{transport}: connect and subscribe at once",
            (Open("a", transport, CONNECT + "\n" + command(2, "subscribe", channel="plain:x"), wait={"a": 2}),),
        ),
        Scenario(
            f"{transport}: a user with channels",
            (Open("a", transport, command(1, "connect", token=user("u", channels=["plain:s"]))),),
        ),
        Scenario(f"{transport}: invalid token", (Open("a", transport, INVALID, await_close=("a",)),)),
        Scenario(f"{transport}: expired token", (Open("a", transport, EXPIRED),)),
        Scenario(
            f"{transport}: subscribe first",
            (Open("a", transport, command(1, "subscribe", channel="plain:x"), await_close=("a",)),),
        ),
        Scenario(f"{transport}: not JSON", (Open("a", transport, "hello", await_close=("a",)),)),
        Scenario(f"{transport}: a bare connect request", (Open("a", transport, "{}", await_close=("a",)),)),
        Scenario(
            f"{transport}: broken command later",
            (*joined("a", CONNECT, transport), Send("a", "broken", await_close=("a",))),
        ),
        Scenario(
            f"{transport}: pong without ping", (*joined("a", CONNECT, transport), Send("a", "{}", await_close=("a",)))
        ),
        Scenario(f"{transport}: empty data", (*joined("a", CONNECT, transport), Send("a", "", await_close=("a",)))),
        Scenario(
            f"{transport}: second connect",
            (*joined("a", CONNECT, transport), Send("a", command(2, "connect"), await_close=("a",))),
        ),
        Scenario(
            f"{transport}: disconnected by the API",
            (
                *joined("a", connect_as(transport), transport),
                api("disconnect", f'{{"user":"{transport}"}}', await_close=("a",)),
            ),
        ),
        Scenario(
            f"{transport}: disconnected by the API to reconnect",
            (
                *joined("a", connect_as(transport + "2"), transport),
                api(
                    "disconnect",
                    f'{{"user":"{transport}2","disconnect":{{"code":3000,"reason":"x"}}}}',
                    await_close=("a",),
                ),
            ),
        ),
        Scenario(
            f"{transport}: leaving",
            (
                *joined("a", CONNECT, transport),
                *joined("b"),
                Send("b", command(2, "subscribe", channel="open:" + transport)),
                Send("a", command(2, "subscribe", channel="open:" + transport), wait={"b": 1}),
                Close("a", wait={"b": 1}),
            ),
        ),
        Scenario(
            f"{transport}: delta",
            (
                *joined("a", CONNECT, transport),
                Send("a", command(2, "subscribe", channel="delta:" + transport, delta="fossil")),
                api("publish", f'{{"channel":"delta:{transport}","data":"{"x" * 90}"}}'),
                api("publish", f'{{"channel":"delta:{transport}","data":"{"x" * 90}"}}'),
            ),
        ),
        Scenario(
            f"{transport}: forbidden origin",
            (Open("a", transport, CONNECT, headers={"Origin": "https://evil.example"}),),
        ),
        Scenario(
            f"{transport}: allowed origin",
            (Open("a", transport, CONNECT, headers={"Origin": "https://allowed.example"}),),
        ),
        Scenario(f"{transport}: too large", (Open("a", transport, BIG, method="POST"),)),
        Scenario(f"{transport}: POST", (Open("a", transport, CONNECT, method="POST"),)),
        Scenario(f"{transport}: POST with nothing", (Open("a", transport, "", method="POST", await_close=("a",)),)),
    ]
]

HTTP = [
    Scenario(f"streams by HTTP: {name}", (Http(method, path, body, headers),))
    for name, method, path, body, headers in (
        ("http_stream GET", "GET", "/connection/http_stream", "", {}),
        ("http_stream PUT", "PUT", "/connection/http_stream", "", {}),
        ("http_stream OPTIONS", "OPTIONS", "/connection/http_stream", "", {}),
        (
            "http_stream OPTIONS of an origin",
            "OPTIONS",
            "/connection/http_stream",
            "",
            {"Origin": "https://allowed.example"},
        ),
        (
            "http_stream preflight",
            "OPTIONS",
            "/connection/http_stream",
            "",
            {
                "Origin": "https://allowed.example",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type",
            },
        ),
        (
            "http_stream OPTIONS of a forbidden origin",
            "OPTIONS",
            "/connection/http_stream",
            "",
            {"Origin": "https://evil.example"},
        ),
        ("sse without query", "GET", "/connection/sse", "", {}),
        ("sse empty query", "GET", "/connection/sse?cf_connect=", "", {}),
        ("sse PUT", "PUT", "/connection/sse", "", {}),
        ("sse OPTIONS", "OPTIONS", "/connection/sse", "", {}),
        ("emulation GET", "GET", "/emulation", "", {}),
        ("emulation PUT", "PUT", "/emulation", "", {}),
        ("emulation OPTIONS", "OPTIONS", "/emulation", "", {}),
        ("emulation OPTIONS of an origin", "OPTIONS", "/emulation", "", {"Origin": "https://allowed.example"}),
        ("emulation forbidden origin", "POST", "/emulation", "{}", {"Origin": "https://evil.example"}),
        ("emulation empty", "POST", "/emulation", "", {}),
        ("emulation not JSON", "POST", "/emulation", "x", {}),
        ("emulation without anything", "POST", "/emulation", "{}", {}),
        ("emulation null", "POST", "/emulation", "null", {}),
        ("emulation unknown node", "POST", "/emulation", '{"session":"s","node":"n","data":"{}"}', {}),
        ("emulation data an object", "POST", "/emulation", '{"session":"s","node":"n","data":{}}', {}),
        ("emulation too large", "POST", "/emulation", '{"session":"s","node":"n","data":"' + "x" * 66000 + '"}', {}),
        ("emulation Protobuf, broken", "POST", "/emulation", b"\xff\xff", {"Content-Type": "application/octet-stream"}),
        ("emulation Protobuf, empty", "POST", "/emulation", b"", {"Content-Type": "application/octet-stream"}),
        ("uni_http_stream GET", "GET", "/connection/uni_http_stream", "", {}),
        ("uni_http_stream OPTIONS", "OPTIONS", "/connection/uni_http_stream", "", {}),
        ("uni_http_stream empty", "POST", "/connection/uni_http_stream", "", {}),
        ("uni_http_stream not JSON", "POST", "/connection/uni_http_stream", "x", {}),
        ("uni_http_stream an array", "POST", "/connection/uni_http_stream", "[]", {}),
        ("uni_http_stream token a number", "POST", "/connection/uni_http_stream", '{"token":1}', {}),
        ("uni_sse broken query", "GET", "/connection/uni_sse?cf_connect=x", "", {}),
        ("uni_sse PUT", "PUT", "/connection/uni_sse", "", {}),
        ("uni_sse OPTIONS", "OPTIONS", "/connection/uni_sse", "", {}),
        ("uni_sse empty POST", "POST", "/connection/uni_sse", "", {}),
        ("uni_websocket by GET", "GET", "/connection/uni_websocket", "", {}),
    )
]


def _emulated(name: str, body: str, *, closes: bool = False) -> Scenario:
    step = Http("POST", "/emulation", body, await_close=("a",) if closes else ())
    return Scenario(f"emulation: {name}", (*joined("a", CONNECT, "http_stream"), step))


NODE, SESSION = '"node":"${a.node}"', '"session":"${a.session}"'
EMULATION = [
    _emulated("unknown session", f'{{{NODE},"session":"x","data":"{{}}"}}'),
    _emulated("no session", f'{{{NODE},"data":"{{}}"}}'),
    _emulated("client as session", f'{{{NODE},"session":"${{a.client}}","data":"{{}}"}}'),
    _emulated("no node", f'{{{SESSION},"data":"{{}}"}}'),
    _emulated("unknown node", f'{{{SESSION},"node":"x","data":"{{}}"}}'),
    _emulated("no data", f"{{{NODE},{SESSION}}}"),
    _emulated("data null", f'{{{NODE},{SESSION},"data":null}}', closes=True),
    _emulated("data an object", f'{{{NODE},{SESSION},"data":{{"id":2,"rpc":{{}}}}}}'),
    _emulated("data a number", f'{{{NODE},{SESSION},"data":5}}'),
    _emulated("unknown fields", f'{{{NODE},{SESSION},"x":1,"data":"{{\\"id\\":2,\\"rpc\\":{{}}}}"}}'),
    _emulated("text after it", f'{{{NODE},{SESSION},"data":"{{\\"id\\":2,\\"rpc\\":{{}}}}"}} x'),
    _emulated("trailing newline in data", f'{{{NODE},{SESSION},"data":"{{\\"id\\":2,\\"rpc\\":{{}}}}\\n"}}'),
    _emulated(
        "escapes in data",
        f'{{{NODE},{SESSION},"data":"{{\\"id\\":2,\\"publish\\":{{\\"channel\\":\\"plain:\\\\u0078\\",\\"data\\":\\"\\u00e9\\"}}}}"}}',
    ),
    Scenario(
        "emulation: after the stream has ended",
        (
            *joined("a", CONNECT, "http_stream"),
            *joined("b"),
            Send("b", command(2, "subscribe", channel="open:em")),
            Send("a", command(2, "subscribe", channel="open:em"), wait={"b": 1}),
            Close("a", wait={"b": 1}),
            Http("POST", "/emulation", f'{{{NODE},{SESSION},"data":"{{}}"}}'),
        ),
    ),
    Scenario(
        "emulation: of a WebSocket",
        (
            *joined("a"),
            *joined("b", CONNECT, "sse"),
            Http("POST", "/emulation", '{"node":"${b.node}","session":"${a.client}","data":"{}"}'),
        ),
    ),
]

UNI_REQUESTS = {
    "nothing": "{}",
    "a user": json.dumps({"token": user("u")}),
    "a user with channels": json.dumps({"token": user("u", channels=["plain:s"])}),
    "expiring": json.dumps({"token": user("u", exp=FAR)}),
    "subs": '{"subs":{"plain:u":{}}}',
    "subs not allowed": '{"subs":{"closed:u":{}}}',
    "subs of unknown namespace": '{"subs":{"nowhere:u":{}}}',
    "subs recoverable": '{"subs":{"rec:u":{"recover":true,"offset":0,"epoch":""}}}',
    "subs with join": '{"subs":{"open:u":{}}}',
    "invalid token": '{"token":"x"}',
    "expired token": json.dumps({"token": user("u", exp=PAST)}),
    "expire_at passed": json.dumps({"token": user("u", expire_at=PAST)}),
    "channels of unknown namespace": json.dumps({"token": user("u", channels=["nowhere:u"])}),
    "broken b64info": json.dumps({"token": sign({"sub": "u", "b64info": "*"})}),
    "a command": CONNECT,
    "null": "null",
    "name and data": '{"name":"n","version":"1","data":{"a":1}}',
}

UNI = [
    Scenario(f"{transport}: {name}", (Open("a", transport, body, wait={"a": 1 + name.endswith("join")}),))
    for transport in ("uni_http_stream", "uni_sse", "uni_ws")
    for name, body in UNI_REQUESTS.items()
    if not (transport == "uni_ws" and body == "null")
]

UNI_MORE = [
    scenario
    for transport in ("uni_http_stream", "uni_sse", "uni_ws")
    for scenario in [
        Scenario(
            f"{transport}: told of everything",
            (
                Open(
                    "a",
                    transport,
                    json.dumps({"token": user(transport), "subs": {"open:" + transport: {}}}),
                    wait={"a": 2},
                ),
                api("publish", f'{{"channel":"open:{transport}","data":{{ "a":\n1 }}}}', wait={"a": 1}),
                api("subscribe", f'{{"user":"{transport}","channel":"plain:more"}}', wait={"a": 1}),
                api("unsubscribe", f'{{"user":"{transport}","channel":"plain:more"}}', wait={"a": 1}),
                api("refresh", f'{{"user":"{transport}","expire_at":{FAR}}}', wait={"a": 1}),
                api("disconnect", f'{{"user":"{transport}"}}', await_close=("a",)),
            ),
        ),
        Scenario(
            f"{transport}: disconnected to reconnect",
            (
                Open("a", transport, json.dumps({"token": user(transport + "2")})),
                api(
                    "disconnect",
                    f'{{"user":"{transport}2","disconnect":{{"code":3001,"reason":"x"}}}}',
                    await_close=("a",),
                ),
            ),
        ),
    ]
]

UNI_OPENING = [
    Scenario(
        "uni_ws: connect by the first message",
        (Open("a", "uni_ws"), Send("a", '{"subs":{"plain:u":{}}}', wait={"a": 1})),
    ),
    Scenario("uni_ws: broken first message", (Open("a", "uni_ws"), Send("a", "x", await_close=("a",)))),
    Scenario("uni_ws: empty first message", (Open("a", "uni_ws"), Send("a", "", await_close=("a",)))),
    Scenario("uni_ws: a command as the first message", (Open("a", "uni_ws"), Send("a", CONNECT, wait={"a": 1}))),
    Scenario(
        "uni_ws: later messages are ignored",
        (
            Open("a", "uni_ws"),
            Send("a", json.dumps({"token": user("later"), "subs": {"plain:u": {}}}), wait={"a": 1}),
            Send("a", "x"),
            Send("a", command(2, "rpc")),
            api("publish", '{"channel":"plain:u","data":1}', wait={"a": 1}),
        ),
    ),
    Scenario(
        "uni_ws: null in the query", (Open("a", "uni_ws", query="cf_connect=null"), Send("a", "{}", wait={"a": 1}))
    ),
    Scenario("uni_ws: null as the first message", (Open("a", "uni_ws"), Send("a", "null", wait={"a": 1}))),
    Scenario("uni_ws: broken query", (Open("a", "uni_ws", query="cf_connect=x", await_close=("a",)),)),
    Scenario("uni_ws: empty query", (Open("a", "uni_ws", query="cf_connect="), Send("a", "{}", wait={"a": 1}))),
    Scenario(
        "uni_ws: subprotocol",
        (Open("a", "uni_ws", query="cf_connect=" + quote("{}"), subprotocols=("centrifuge-json",)),),
    ),
    Scenario("uni_sse: no query", (Open("a", "uni_sse", wait={"a": 1}),)),
    Scenario("uni_sse: POST", (Open("a", "uni_sse", "{}", method="POST"),)),
    Scenario("uni_ws: forbidden origin", (Open("a", "uni_ws", headers={"Origin": "https://evil.example"}),)),
]

SCENARIOS = [*BOTH, *HTTP, *EMULATION, *UNI, *UNI_MORE, *UNI_OPENING]
