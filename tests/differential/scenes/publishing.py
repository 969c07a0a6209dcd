"""Publish by clients: permissions, the text of data, and who is told."""

from tests.differential.scenario import Scenario, Send
from tests.differential.tokens import channel, user

from .building import command, connect_as, conversation, each, joined


def _pub(channel: str, data: str = '{"v":1}', id: int = 2) -> str:
    return f'{{"id":{id},"publish":{{"channel":"{channel}","data":{data}}}}}'


PERMISSION = each(
    "publish",
    {
        "allowed": _pub("plain:p"),
        "not allowed": _pub("closed:p"),
        "for users only, anonymous": _pub("users:p"),
        "for subscribers, not subscribed": _pub("members:p"),
        "unknown namespace": _pub("nowhere:p"),
        "without namespace, not subscribed": _pub("p"),
        "private": _pub("$plain:p"),
        "not ASCII": _pub("plain:é"),
        "against the regex": _pub("regex:X"),
        "name too long": _pub("plain:" + "p" * 300),
        "user-limited of another": _pub("limited:p#v"),
        "no data": '{"id":2,"publish":{"channel":"plain:p"}}',
        "no data where not allowed": '{"id":2,"publish":{"channel":"closed:p"}}',
        "type 1": '{"id":2,"publish":{"channel":"plain:p","data":1,"type":1,"key":"k"}}',
        "type 9": '{"id":2,"publish":{"channel":"plain:p","data":1,"type":9}}',
        "to a map": _pub("board:p"),
        "to a shared poll": _pub("poll:p"),
        "key and removed": '{"id":2,"publish":{"channel":"plain:p","data":1,"key":"k","removed":true}}',
    },
)

BY_USER = each(
    "publish as user",
    {
        "for users only": _pub("users:p"),
        "subscribed": (command(2, "subscribe", channel="members:pu"), _pub("members:pu", id=3)),
        "subscribed without namespace": (command(2, "subscribe", channel="pu"), _pub("pu", id=3)),
        "subscribed, then not": (
            command(2, "subscribe", channel="members:pv"),
            command(3, "unsubscribe", channel="members:pv"),
            _pub("members:pv", id=4),
        ),
        "subscribed by token, publishing not allowed": (
            command(2, "subscribe", channel="closed:p", token=channel("closed:p", "u")),
            _pub("closed:p", id=3),
        ),
    },
    connect_as("u"),
)

DATA = {
    "object": '{"a":1}',
    "spaces": '{ "a" : [ 1 , 2 ] }',
    "tab": '{\t"a":1}',
    "string": '"x"',
    "empty string": '""',
    "number": "1",
    "zero": "0",
    "big number": "123456789012345678901234567890",
    "big float": "1.0000000000000000001E+400",
    "minus zero": "-0",
    "1.0": "1.0",
    "true": "true",
    "false": "false",
    "null": "null",
    "array": "[]",
    "empty object": "{}",
    "escapes": r'{"a":"\u00e9\u2028\ud83d\ude00\/\n\t\"\\"}',
    "lone surrogate": r'"\ud800"',
    "unicode": '{"é":"😀\u2028"}',
    "HTML": '"<b>&amp;</b>"',
    "keys twice": '{"a":1,"a":2}',
    "key order": '{"b":1,"a":2}',
    "NUL escaped": r'"\u0000"',
    "bad escape": r'"\x"',
    "leading zero": "01",
    "not a number": "NaN",
    "infinity": "Infinity",
    "hexadecimal": "0x1",
    "plus": "+1",
    "point": "1.",
    "leading point": ".5",
    "unfinished array": "[1",
    "trailing comma": "[1,]",
    "bare word": "x",
}

TEXTS = [
    conversation(f"publish data: {name}", command(2, "subscribe", channel="rec:data"), _pub("rec:data", data, id=3))
    for name, data in DATA.items()
]

FORMATS = [
    scenario
    for namespace in ("json", "jsonobject", "binary")
    for scenario in each(
        f"publish to {namespace}",
        {
            "object": (command(2, "subscribe", channel=f"{namespace}:o"), _pub(f"{namespace}:o", '{"a":1}', 3)),
            "array": (command(2, "subscribe", channel=f"{namespace}:a"), _pub(f"{namespace}:a", "[1]", 3)),
            "null": (command(2, "subscribe", channel=f"{namespace}:n"), _pub(f"{namespace}:n", "null", 3)),
            "no data": (
                command(2, "subscribe", channel=f"{namespace}:d"),
                f'{{"id":3,"publish":{{"channel":"{namespace}:d"}}}}',
            ),
        },
    )
]

INFORMED = [
    Scenario(
        "publish: who is told, and of whom",
        (
            *joined("a", f'{{"id":1,"connect":{{"token":"{user("u", info={"n": "é", "a": [1, 2]})}"}}}}'),
            *joined("b"),
            Send("a", command(2, "subscribe", channel="plain:told")),
            Send("b", command(2, "subscribe", channel="plain:told")),
            Send("a", _pub("plain:told", id=3)),
            Send("b", _pub("plain:told", id=3)),
            Send("a", command(4, "unsubscribe", channel="plain:told")),
            Send("a", _pub("plain:told", id=5)),
        ),
    ),
    Scenario(
        "publish: chan_info of the subscription",
        (
            *joined("a", f'{{"id":1,"connect":{{"token":"{user("u", info={"c": 1})}"}}}}'),
            Send(
                "a",
                command(2, "subscribe", channel="open:ci", token=channel("open:ci", "u", info={"s": 2})),
            ),
            Send("a", _pub("open:ci", id=3)),
            Send("a", command(4, "presence", channel="open:ci")),
            Send("a", command(5, "history", channel="open:ci", limit=-1)),
        ),
    ),
    Scenario(
        "publish: several in one frame",
        (
            *joined("a"),
            Send("a", command(2, "subscribe", channel="rec:several")),
            Send("a", "\n".join(_pub("rec:several", str(n), n) for n in range(3, 8))),
        ),
    ),
]

SCENARIOS = [*PERMISSION, *BY_USER, *TEXTS, *FORMATS, *INFORMED]
