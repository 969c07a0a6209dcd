"""Outcomes of connect: tokens, anonymous connections, server-side subscriptions, and the handshake."""

from tests.differential.scenario import After, Http, Open, Scenario, Send
from tests.differential.tokens import FAR, PAST, sign, user

from .building import CONNECT, command, first, joined

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def _token(token: str) -> str:
    return command(1, "connect", token=token)


BAD_TOKENS = {
    "not a token": "x",
    "two parts": "a.b",
    "empty parts": "..",
    "other secret": sign({"sub": "u"}, secret="other"),
    "algorithm none": sign({"sub": "u"}, algorithm="none"),
    "unknown algorithm": sign({"sub": "u"}, algorithm="XX256"),
    "cut signature": user("u")[:-1],
    "a space after it": user("u") + " ",
    "expired": user("u", exp=PAST),
    "not yet valid": user("u", nbf=FAR),
    "a subscription token": sign({"sub": "u", "channel": "plain:x"}),
    "an empty channel claim": sign({"sub": "u", "channel": ""}),
    "sub is a number": sign({"sub": 7}),
    "exp is a string": sign({"sub": "u", "exp": "never"}),
    "exp is a float": sign({"sub": "u", "exp": FAR + 0.5}),
    "channels is a string": sign({"sub": "u", "channels": "plain:x"}),
    "info is a string": user("u", info="x"),
    "info is null": user("u", info=None),
    "expire_at passed": user("u", expire_at=PAST),
    "expire_at negative": user("u", expire_at=-1),
    "channels with unknown namespace": user("u", channels=["nowhere:x"]),
    "subs with unknown namespace": user("u", subs={"nowhere:x": {}}),
    "claims are no object": sign([]),  # type: ignore[arg-type]
}
GOOD_TOKENS = {
    "user": user("u"),
    "no sub": sign({}),
    "empty sub": sign({"sub": ""}),
    "HS384": sign({"sub": "u"}, algorithm="HS384"),
    "HS512": sign({"sub": "u"}, algorithm="HS512"),
    "exp": user("u", exp=FAR),
    "expire_at 0 with exp": user("u", exp=FAR, expire_at=0),
    "expire_at": user("u", expire_at=FAR),
    "exp 0": user("u", exp=0),
    "nbf passed": user("u", nbf=PAST),
    "audience and issuer unasked": user("u", aud="x", iss="y", jti="z"),
    "meta": user("u", meta={"a": 1}),
    "one channel": user("u", channels=["plain:srv"]),
    "a channel twice": user("u", channels=["plain:srv", "plain:srv"]),
    "empty channel name": user("u", channels=[""]),
    "empty channels": user("u", channels=[]),
    "a channel nobody may subscribe to": user("u", channels=["closed:srv"]),
    "a private channel": user("u", channels=["$plain:srv"]),
    "a user-limited channel of another": user("u", channels=["limited:x#other"]),
    "a channel against the regex": user("u", channels=["regex:X!"]),
    "a map channel": user("u", channels=["board:srv"]),
    "subs and channels": user("u", subs={"plain:one": {}}, channels=["plain:two"]),
    "subs with data": user("u", subs={"plain:srv": {"data": {"x": [1, 2]}, "info": {"i": 1}}}),
    "subs with b64data": user("u", subs={"plain:srv": {"b64data": "eyJ4IjoxfQ=="}}),
    "subs with a broken b64data": user("u", subs={"plain:srv": {"b64data": "*"}}),
    "subs with override": user("u", subs={"plain:srv": {"override": {"presence": {"value": True}}}}),
    "b64info": user("u", b64info="eyJuIjoxfQ=="),
    "broken b64info": user("u", b64info="*"),
}

TOKENS = first("connect", {f"token: {name}": _token(token) for name, token in (BAD_TOKENS | GOOD_TOKENS).items()})

TIMED = [
    Scenario(
        "connect: expires in a minute",
        (Open("a"), Send("a", '{"id":1,"connect":{"token":"${token.t}"}}')),
        tokens={"t": {"sub": "u", "exp": After(60)}},
    ),
    Scenario(
        "connect: expired a moment ago",
        (Open("a"), Send("a", '{"id":1,"connect":{"token":"${token.t}"}}')),
        tokens={"t": {"sub": "u", "exp": After(-1)}},
    ),
]

DESIRED = [
    Scenario(
        f"connect: subs: {name}",
        (Open("a"), Send("a", f'{{"id":1,"connect":{{"token":"{user("u")}","subs":{subs}}}}}')),
    )
    for name, subs in {
        "allowed": '{"users:d":{}}',
        "not allowed": '{"closed:d":{}}',
        "unknown namespace": '{"nowhere:d":{}}',
        "without namespace": '{"d":{}}',
        "private": '{"$plain:d":{}}',
        "of a user": '{"limited:d#u":{}}',
        "of another": '{"limited:d#v":{}}',
        "recovering what is not a subscription": '{"rec:d":{"recover":true,"offset":0,"epoch":"x"}}',
        "null": "null",
        "an array": "[]",
        # A null item of a channel that may be subscribed to ends the reference's process: it cannot be recorded.
        "an item null, not allowed": '{"closed:d":null}',
        "map channel": '{"board:d":{}}',
    }.items()
]

HANDSHAKES = [
    Scenario(
        f"handshake: {name}",
        (Open("a", subprotocols=protocols, query=query, headers=headers, extensions=extensions), Send("a", CONNECT)),
    )
    for name, protocols, query, headers, extensions in (
        ("centrifuge-json", ("centrifuge-json",), "", {}, False),
        ("unknown subprotocol", ("chat",), "", {}, False),
        ("unknown and known subprotocol", ("chat", "centrifuge-json"), "", {}, False),
        ("unknown query", (), "a=b&cf_protocol_version=v2", {}, False),
        ("unknown format", (), "format=msgpack", {}, False),
        ("native pings", (), "cf_ws_frame_ping_pong=true", {}, False),
        ("allowed origin", (), "", {"Origin": "https://allowed.example"}, False),
        ("allowed origin in capitals", (), "", {"Origin": "HTTPS://ALLOWED.EXAMPLE"}, False),
        ("origin by glob", (), "", {"Origin": "https://a.glob.example"}, False),
        ("deflate offered", (), "", {}, True),
    )
] + [
    Scenario(f"handshake: {name}", (Open("a", headers=headers, subprotocols=protocols),))
    for name, headers, protocols in (
        ("forbidden origin", {"Origin": "https://evil.example"}, ()),
        ("allowed origin with port", {"Origin": "https://allowed.example:8443"}, ()),
        ("origin null", {"Origin": "null"}, ()),
    )
]

PLAIN_HTTP = [
    Scenario(f"handshake: {name}", (Http(method, "/connection/websocket", headers=headers),))
    for name, method, headers in (
        ("plain GET", "GET", {}),
        ("plain POST", "POST", {}),
        ("upgrade by POST", "POST", UPGRADE),
        ("no key", "GET", {key: value for key, value in UPGRADE.items() if key != "Sec-WebSocket-Key"}),
        ("version 12", "GET", {**UPGRADE, "Sec-WebSocket-Version": "12"}),
    )
]

RECONNECT = [
    Scenario(
        "connect: server-side subscription recovers",
        (
            *joined("a", _token(user("u", channels=["rec:again"]))),
            Http("POST", "/api/publish", '{"channel":"rec:again","data":{"n":1}}', {"X-API-Key": "api_key"}),
            Http("POST", "/api/publish", '{"channel":"rec:again","data":{"n":2}}', {"X-API-Key": "api_key"}),
            Open("b"),
            Send(
                "b",
                f'{{"id":1,"connect":{{"token":"{user("u", channels=["rec:again"])}",'
                '"subs":{"rec:again":{"recover":true,"offset":1,"epoch":"${a.epoch}"}}}}',
            ),
            Open("c"),
            Send(
                "c",
                f'{{"id":1,"connect":{{"token":"{user("u", channels=["rec:again"])}",'
                '"subs":{"rec:again":{"recover":true,"offset":1,"epoch":"wrong"}}}}',
            ),
            Open("d"),
            Send(
                "d",
                f'{{"id":1,"connect":{{"token":"{user("u", channels=["rec:again"])}",'
                '"subs":{"rec:again":{"recover":true,"offset":1,"epoch":"wrong","flag":3}}}}',
            ),
        ),
    ),
]

SCENARIOS = [*TOKENS, *TIMED, *DESIRED, *HANDSHAKES, *PLAIN_HTTP, *RECONNECT]
