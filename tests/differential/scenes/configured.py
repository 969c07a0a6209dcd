"""Another configuration: short timers and low limits."""

from tests.differential.scenario import After, AwaitPing, Open, Scenario, Send, Step, Wait, api
from tests.differential.tokens import FAR, PAST, channel, sign, user

from .building import CONNECT, command, connect_as, joined


def _timers(name: str, *steps: Step, **tokens: dict[str, object]) -> Scenario:
    return Scenario(f"timers: {name}", steps, "timers", tokens)


TIMERS = [
    _timers("no connect in time", Open("a", await_close=("a",), within=5)),
    _timers("no connect in time, uni_ws", Open("a", "uni_ws", await_close=("a",), within=5)),
    _timers(
        "refused connect",
        Open("a"),
        Send("a", command(1, "connect", token=user("u", exp=PAST)), await_close=("a",), within=8),
    ),
    _timers(
        "refused connect on http_stream",
        Open("a", "http_stream", command(1, "connect", token=user("u", exp=PAST)), await_close=("a",), within=8),
    ),
    _timers(
        "no pong",
        Open("a", answers_pings=False),
        Send("a", connect_as("t1")),
        Wait(await_close=("a",), within=5),
    ),
    _timers(
        "no pong on sse",
        Open("a", "sse", connect_as("t2"), answers_pings=False),
        Wait(await_close=("a",), within=5),
    ),
    _timers(
        "a pong too many",
        Open("a", answers_pings=False),
        Send("a", connect_as("t3")),
        AwaitPing("a"),
        Send("a", "{}"),
        Send("a", "{}", await_close=("a",)),
    ),
    _timers(
        "another command is no pong",
        Open("a", answers_pings=False),
        Send("a", connect_as("t4")),
        AwaitPing("a"),
        Send("a", command(2, "rpc")),
        Wait(await_close=("a",), within=5),
    ),
    _timers("pings are answered", *joined("a", connect_as("t5")), AwaitPing("a"), AwaitPing("a"), AwaitPing("a")),
    _timers("pings on Protobuf", *joined("a", connect_as("t6"), protobuf=True), AwaitPing("a"), AwaitPing("a")),
    _timers("pings on http_stream", *joined("a", connect_as("t7"), "http_stream"), AwaitPing("a"), AwaitPing("a")),
    _timers("pings on uni_sse", Open("a", "uni_sse", '{"token":"' + user("t8") + '"}'), AwaitPing("a"), AwaitPing("a")),
    _timers(
        "connection expires",
        Open("a"),
        Send("a", '{"id":1,"connect":{"token":"${token.t}"}}'),
        Wait(await_close=("a",), within=7),
        t={"sub": "t9", "exp": After(2)},
    ),
    _timers(
        "connection expires on uni_sse",
        Open("a", "uni_sse", '{"token":"${token.t}"}'),
        Wait(await_close=("a",), within=7),
        t={"sub": "t10", "exp": After(2)},
    ),
    _timers(
        "subscription expires",
        *joined("a", connect_as("t11")),
        Send("a", '{"id":2,"subscribe":{"channel":"x","token":"${token.t}"}}'),
        Wait(wait={"a": 1}, within=7),
        Send("a", command(3, "subscribe", channel="x", token=channel("x", "t11"))),
        t={"sub": "t11", "channel": "x", "exp": After(2)},
    ),
    _timers(
        "server-side subscription expires",
        *joined("a", connect_as("t12")),
        api("subscribe", '{"user":"t12","channel":"x","expire_at":${now+2}}'),
        Wait(await_close=("a",), within=7),
    ),
    _timers(
        "uni_ws told of its end",
        Open("a", "uni_ws", '{"token":"' + user("t13") + '"}', wait={"a": 2}),
        api("disconnect", '{"user":"t13"}', await_close=("a",)),
    ),
]

LIMITS = [
    _timers("no credentials", Open("a"), Send("a", CONNECT)),
    _timers("no credentials on sse", Open("a", "sse", CONNECT, await_close=("a",))),
    _timers("anonymous token", Open("a"), Send("a", command(1, "connect", token=user("")))),
    _timers("token without sub", Open("a"), Send("a", command(1, "connect", token=sign({})))),
    _timers(
        "connections of a user",
        *joined("a", connect_as("l1")),
        *joined("b", connect_as("l1")),
        Open("c"),
        Send("c", connect_as("l1")),
        *joined("d", connect_as("l2")),
    ),
    _timers(
        "server-side channels beyond the limit",
        Open("a"),
        Send("a", command(1, "connect", token=user("l3", channels=["plain:1", "plain:2", "plain:3", "plain:4"]))),
    ),
    _timers(
        "server-side channels at the limit",
        Open("a"),
        Send("a", command(1, "connect", token=user("l4", channels=["plain:1", "plain:2", "plain:3"]))),
        Send("a", command(2, "subscribe", channel="plain:4")),
        api("subscribe", '{"user":"l4","channel":"plain:5"}', await_close=("a",)),
    ),
    _timers(
        "history and recovery beyond the limit",
        *(api("publish", f'{{"channel":"rec:l","data":{n}}}') for n in range(6)),
        *joined("a", connect_as("l5")),
        Send("a", command(2, "history", channel="rec:l", limit=-1)),
        Send("a", command(3, "history", channel="rec:l", limit=5)),
        Send("a", '{"id":4,"subscribe":{"channel":"rec:l","recover":true,"offset":3,"epoch":"${api.epoch}"}}'),
        Send("a", command(5, "unsubscribe", channel="rec:l")),
        Send("a", '{"id":6,"subscribe":{"channel":"rec:l","recover":true,"offset":2,"epoch":"${api.epoch}"}}'),
    ),
    _timers(
        "API errors are statuses",
        api("publish", '{"channel":"nowhere:x","data":1}'),
        api("publish", '{"channel":"plain:x"}'),
        api("publish", '{"channel":"plain:x","data":1}'),
        api("presence", '{"channel":"plain:x"}'),
        api("rpc", '{"method":"x"}'),
        api("broadcast", '{"channels":["nowhere:x"],"data":1}'),
    ),
]

PERSONAL = [
    _timers(
        "personal channel",
        *joined("a", connect_as("p1")),
        Send("a", command(2, "publish", channel="#p1", data={"to": "me"})),
        Send("a", command(3, "subscribe", channel="#p1")),
        Send("a", command(4, "presence", channel="#p1")),
        Send("a", command(5, "history", channel="#p1", limit=-1)),
        Send("a", command(6, "subscribe", channel="#p2")),
        api("publish", '{"channel":"#p1","data":1}'),
        Open("b"),
        Send(
            "b",
            '{"id":1,"connect":{"token":"'
            + user("p1")
            + '","subs":{"#p1":{"recover":true,"offset":1,"epoch":"${a.epoch}"}}}}',
            wait={"a": 1, "b": 2},
        ),
        api("publish", '{"channel":"#p1","data":2}'),
        Send("a", command(7, "unsubscribe", channel="#p1"), wait={"b": 1}),
        Send("a", command(8, "publish", channel="#p1", data=3)),
        Send("a", command(9, "subscribe", channel="#p1")),
    ),
    _timers(
        "personal channel and channels of the token",
        Open("a"),
        Send("a", command(1, "connect", token=user("p3", channels=["plain:1", "#p3"])), wait={"a": 2}),
    ),
    _timers(
        "personal channel, Protobuf",
        Open("a", protobuf=True, subprotocols=("centrifuge-protobuf",)),
        Send("a", connect_as("p4"), wait={"a": 2}),
        Send("a", command(2, "publish", channel="#p4", data={"to": "me"})),
    ),
    _timers(
        "token for any channel",
        *joined("a", connect_as("p5")),
        Send("a", command(2, "subscribe", channel="x2")),
        Send("a", command(3, "subscribe", channel="x2", token=channel("x2", "p5"), delta="fossil")),
        Send("a", command(4, "publish", channel="x2", data="x" * 60)),
        Send("a", command(5, "publish", channel="x2", data="x" * 60)),
        Send("a", command(6, "refresh", token=user("p5", exp=FAR))),
    ),
]


SCENARIOS = [*TIMERS, *LIMITS, *PERSONAL]
