"""Join and leave, server-side subscriptions by the HTTP API, and what else it does to connections."""

from tests.differential.scenario import Close, Scenario, Send, Step, api
from tests.differential.tokens import FAR, PAST, channel, user

from .building import command, connect_as, joined

JOINS = [
    Scenario(
        "join and leave: forced",
        (
            *joined("a", f'{{"id":1,"connect":{{"token":"{user("u", info={"n": 1})}"}}}}'),
            *joined("b"),
            Send("a", command(2, "subscribe", channel="open:j1")),
            Send("b", command(2, "subscribe", channel="open:j1"), wait={"a": 1}),
            Send("b", command(3, "unsubscribe", channel="open:j1"), wait={"a": 1}),
            Send(
                "b",
                command(4, "subscribe", channel="open:j1", token=channel("open:j1", "", info={"c": 2})),
                wait={"a": 1},
            ),
            Close("b", wait={"a": 1}),
        ),
    ),
    Scenario(
        "join and leave: asked for",
        (
            *joined("a"),
            *joined("b"),
            *joined("c"),
            Send("a", command(2, "subscribe", channel="quiet:j2", join_leave=True)),
            Send("b", command(2, "subscribe", channel="quiet:j2")),
            Send("c", command(2, "subscribe", channel="quiet:j2", join_leave=True)),
            Close("b", wait={"a": 1, "c": 1}),
            Close("c", wait={"a": 1}),
        ),
    ),
    Scenario(
        "join and leave: of a server-side subscription",
        (
            *joined("a", connect_as("u")),
            Send("a", command(2, "subscribe", channel="open:j3")),
            *joined("b", f'{{"id":1,"connect":{{"token":"{user("v", channels=["open:j3"])}"}}}}'),
            Close("b", wait={"a": 1}),
        ),
    ),
]


def _api(method: str, *bodies: str) -> list[Step]:
    return [api(method, body) for body in bodies]


SUBSCRIBED = [
    Scenario(
        "API subscribe and unsubscribe",
        (
            *joined("a", connect_as("as1")),
            *joined("b", connect_as("as1")),
            *_api("subscribe", '{"user":"as1","channel":"plain:s1"}', '{"user":"as1","channel":"plain:s1"}'),
            api("publish", '{"channel":"plain:s1","data":1}'),
            *_api("unsubscribe", '{"user":"as1","channel":"plain:s1"}', '{"user":"as1","channel":"plain:s1"}'),
            api("publish", '{"channel":"plain:s1","data":2}'),
        ),
    ),
    Scenario(
        "API subscribe: options",
        (
            *joined("a", connect_as("as2")),
            *_api(
                "subscribe",
                '{"user":"as2","channel":"open:o1","data":{"x": 1},"info":{"i":1}}',
                '{"user":"as2","channel":"open:o2","b64data":"eyJ4IjogMX0="}',
                '{"user":"as2","channel":"rec:o3"}',
                '{"user":"as2","channel":"open:o4","override":{"force_recovery":{"value":true}}}',
                '{"user":"as2","channel":"open:o5","override":{"presence":{"value":false},"join_leave":{"value":false}}}',
                f'{{"user":"as2","channel":"plain:o6","expire_at":{FAR}}}',
                '{"user":"as2","channel":"plain:o7","client":"${a.client}"}',
                '{"user":"as2","channel":"plain:o8","client":"other"}',
                '{"user":"as2","channel":"plain:o9","session":"other"}',
                '{"user":"nobody","channel":"plain:o10"}',
                '{"user":"as2","channel":"nowhere:o"}',
                '{"user":"as2","channel":""}',
                '{"user":"as2"}',
                '{"channel":"plain:o11"}',
                '{"user":"","channel":"plain:o12"}',
                '{"user":"as2","channel":"closed:o13"}',
                '{"user":"as2","channel":"$plain:o14"}',
                '{"user":"as2","channel":"regex:X"}',
                '{"user":"as2","channel":"board:o15"}',
                '{"user":"as2","channel":"plain:o16","b64data":"*"}',
                '{"user":"as2","channel":"plain:o17","b64info":"*"}',
            ),
            Send("a", command(2, "presence", channel="open:o1")),
            *_api("unsubscribe", '{"user":"as2","channel":""}', '{"user":"as2"}'),
            api("publish", '{"channel":"plain:o6","data":"still there?"}'),
            api("presence", '{"channel":"open:o1"}'),
        ),
    ),
    Scenario(
        "API subscribe: expire_at passed",
        (*joined("a", connect_as("as3")), api("subscribe", f'{{"user":"as3","channel":"plain:p","expire_at":{PAST}}}')),
    ),
    Scenario(
        "API subscribe: recover_since",
        (
            api("publish", '{"channel":"rec:rs","data":1}'),
            api("publish", '{"channel":"rec:rs","data":2}'),
            *joined("a", connect_as("as4")),
            *joined("b", connect_as("as5")),
            api("subscribe", '{"user":"as4","channel":"rec:rs","recover_since":{"offset":1,"epoch":"${api.epoch}"}}'),
            api("subscribe", '{"user":"as5","channel":"rec:rs","recover_since":{"offset":1,"epoch":"wrong"}}'),
        ),
    ),
    Scenario(
        "API unsubscribe: a subscription of the client",
        (
            *joined("a", connect_as("au1")),
            Send("a", command(2, "subscribe", channel="open:u1")),
            api("unsubscribe", '{"user":"au1","channel":"open:u1"}'),
            Send("a", command(3, "subscribe", channel="open:u1")),
            api("unsubscribe", '{"user":"au1","channel":"open:u1","client":"other"}'),
            api("unsubscribe", '{"user":"au1","channel":"open:u1","client":"${a.client}"}'),
            api("unsubscribe", '{"user":"au1","channel":"nowhere:u1"}'),
            api("unsubscribe", '{"channel":"open:u1"}'),
            api("unsubscribe", '{"user":"nobody","channel":"open:u1"}'),
        ),
    ),
]

DISCONNECTED = [
    Scenario(
        f"API disconnect: {name}",
        (
            *joined("a", connect_as(f"ad{n}")),
            *joined("b", connect_as(f"ad{n}")),
            api("disconnect", body.replace("$U", f"ad{n}"), await_close=closing),
        ),
    )
    for n, (name, body, closing) in enumerate(
        (
            ("of a user", '{"user":"$U"}', ("a", "b")),
            ("code and reason", '{"user":"$U","disconnect":{"code":4321,"reason":"away"}}', ("a", "b")),
            ("code without reason", '{"user":"$U","disconnect":{"code":4321}}', ("a", "b")),
            ("code 0", '{"user":"$U","disconnect":{"code":0,"reason":"x"}}', ("a", "b")),
            ("reconnecting", '{"user":"$U","disconnect":{"code":3000,"reason":"again"}}', ("a", "b")),
            ("one client", '{"user":"$U","client":"${a.client}"}', ("a",)),
            ("but one", '{"user":"$U","whitelist":["${a.client}"]}', ("b",)),
            ("unknown client", '{"user":"$U","client":"other"}', ()),
            ("unknown session", '{"user":"$U","session":"other"}', ()),
            ("no user", "{}", ()),
            ("empty user", '{"user":""}', ()),
            ("unknown user", '{"user":"nobody"}', ()),
        )
    )
]

REFRESHED = [
    Scenario(
        f"API refresh: {name}",
        (*joined("a", connect_as(f"ar{n}")), api("refresh", body.replace("$U", f"ar{n}"), await_close=closing)),
    )
    for n, (name, body, closing) in enumerate(
        (
            ("later", f'{{"user":"$U","expire_at":{FAR}}}', ()),
            ("in a minute", '{"user":"$U","expire_at":${now+60}}', ()),
            ("expired", '{"user":"$U","expired":true}', ("a",)),
            ("expire_at passed", f'{{"user":"$U","expire_at":{PAST}}}', ("a",)),
            ("nothing", '{"user":"$U"}', ()),
            ("info", f'{{"user":"$U","expire_at":{FAR},"info":{{"a":1}}}}', ()),
            ("unknown client", f'{{"user":"$U","client":"x","expire_at":{FAR}}}', ()),
            ("no user", f'{{"expire_at":{FAR}}}', ()),
        )
    )
]

SCENARIOS = [*JOINS, *SUBSCRIBED, *DISCONNECTED, *REFRESHED]
