"""Outcomes of subscribe and unsubscribe: names, permissions, tokens, features asked for."""

from tests.differential.scenario import After, Scenario, Send
from tests.differential.tokens import FAR, PAST, channel, sign

from .building import command, connect_as, conversation, each, joined


def _sub(name: str, **fields: object) -> str:
    return command(2, "subscribe", channel=name, **fields)


NAMES = {
    "allowed": "plain:a",
    "without namespace": "nons",
    "unknown namespace": "nowhere:a",
    "empty namespace": ":a",
    "empty rest": "plain:",
    "two boundaries": "plain:a:b",
    "not allowed": "closed:a",
    "private without token": "$plain:a",
    "private of unknown namespace": "$nowhere:a",
    "private prefix alone": "$",
    "length 255": "plain:" + "a" * 249,
    "length 256": "plain:" + "a" * 250,
    "length 256 of unknown namespace": "nowhere:" + "a" * 248,
    "not ASCII": "plain:é",
    "not ASCII namespace": "é:a",
    "a space": "plain:a b",
    "a control character": "plain:a\u0001b",
    "a star": "plain:*",
    "a slash": "plain:/a/../b",
    "regex": "regex:abc1",
    "against the regex": "regex:ABC",
    "regex allows what is not ASCII": "regex:é1",
    "regex against empty": "regex:",
    "private against the regex": "$regex:ABC",
    "user-limited where not enabled": "plain:a#u",
    "user-limited": "limited:a#u",
    "user-limited of two": "limited:a#t,u",
    "user-limited of another": "limited:a#v",
    "user-limited, part of the name": "limited:a#uu",
    "user-limited, empty": "limited:a#",
    "user-limited, last part decides": "limited:a#v#u",
    "not user-limited": "limited:a",
    "personal": "#u",
    "personal of another": "#v",
    "leading space": " plain:a",
    "empty but for a space": " ",
}

BY_USER = each("subscribe as user", {name: _sub(value) for name, value in NAMES.items()}, connect_as("u"))
ANONYMOUS = each(
    "subscribe anonymously",
    {
        name: _sub(value)
        for name, value in {
            "allowed": "plain:a",
            "for users only": "users:a",
            "without namespace": "nons",
            "user-limited": "limited:a#",
            "user-limited of a user": "limited:a#u",
            "user-limited of nobody and a user": "limited:a#,u",
        }.items()
    },
)

FIELDS = each(
    "subscribe with",
    {
        "positioned allowed": _sub("pos:f", positioned=True),
        "positioned not allowed": _sub("plain:f", positioned=True),
        "positioned with history access": _sub("members:f", positioned=True),
        "recoverable not allowed": _sub("pos:f", recoverable=True),
        "recoverable allowed": _sub("open:f1", recoverable=True),
        "both allowed": _sub("open:f2", recoverable=True, positioned=True),
        "recoverable without history": _sub("plain:f", recoverable=True),
        "forced positioning": _sub("forcepos:f"),
        "forced recovery": _sub("rec:f"),
        "join_leave": _sub("quiet:f", join_leave=True),
        "join_leave not emitted": _sub("plain:f", join_leave=True),
        "delta where not allowed": _sub("rec:f", delta="fossil"),
        "delta": _sub("delta:f", delta="fossil"),
        "unknown delta": _sub("delta:f", delta="xdelta"),
        "unknown delta of unknown namespace": _sub("nowhere:f", delta="xdelta"),
        "flag": _sub("plain:f", flag=1),
        "all flags": _sub("plain:f", flag=-1),
        "large flag": _sub("plain:f", flag=9223372036854775807),
        "flag too large": '{"id":2,"subscribe":{"channel":"plain:f","flag":9223372036854775808}}',
        "data": _sub("plain:f", data={"a": 1}),
        "type 0": _sub("plain:f", type=0),
        "type 1": _sub("plain:f", type=1),
        "type 2": _sub("plain:f", type=2),
        "type 3": _sub("plain:f", type=3),
        "type 4": _sub("plain:f", type=4),
        "type 5": _sub("plain:f", type=5),
        "type -1": _sub("plain:f", type=-1),
        "type 1 of unknown namespace": _sub("nowhere:f", type=1),
        "type 0 on a map": _sub("board:f"),
        "type 0 on a shared poll": _sub("poll:f"),
        "phase": _sub("plain:f", phase=2, cursor="x", limit=5, asc=True),
        "recover without offset": _sub("rec:g", recover=True),
        "recover where there is no history": _sub("plain:f", recover=True, offset=5, epoch="x"),
        "recover where positioned only": _sub("pos:f", recover=True, positioned=True, offset=0),
        "offset negative": _sub("rec:f", recover=True, offset=-1),
        "offset too large": '{"id":2,"subscribe":{"channel":"rec:f","recover":true,"offset":18446744073709551616}}',
        "offset largest": '{"id":2,"subscribe":{"channel":"rec:f","recover":true,"offset":18446744073709551615}}',
        "offset a string": _sub("rec:f", recover=True, offset="1"),
        "recover a number": _sub("rec:f", recover=1),
        "epoch null": _sub("rec:f", recover=True, epoch=None),
        "all null": _sub("plain:f", token=None, recover=None, offset=None, data=None, tf=None, flag=None),
        "channel escaped": '{"id":2,"subscribe":{"channel":"plain:\\u0066"}}',
        "channel a lone surrogate": '{"id":2,"subscribe":{"channel":"plain:\\ud800"}}',
    },
)


TOKENS = each(
    "subscribe token",
    {
        "valid where nothing is allowed": _sub("closed:t", token=channel("closed:t", "u")),
        "valid for a private channel": _sub("$plain:t", token=channel("$plain:t", "u")),
        "valid against the limited user": _sub("limited:t#v", token=channel("limited:t#v", "u")),
        "valid without namespace": _sub("ttt", token=channel("ttt", "u")),
        "valid of unknown namespace": _sub("nowhere:t", token=channel("nowhere:t", "u")),
        "valid against the regex": _sub("regex:T", token=channel("regex:T", "u")),
        "needless": _sub("plain:t", token=channel("plain:t", "u")),
        "malformed": _sub("plain:t", token="x"),
        "malformed of unknown namespace": _sub("nowhere:t", token="x"),
        "other secret": _sub("plain:t", token=sign({"sub": "u", "channel": "plain:t"}, secret="other")),
        "algorithm none": _sub("plain:t", token=sign({"sub": "u", "channel": "plain:t"}, algorithm="none")),
        "other channel": _sub("plain:t", token=channel("plain:other", "u")),
        "other user": _sub("plain:t", token=channel("plain:t", "v")),
        "no user": _sub("plain:t", token=sign({"channel": "plain:t"})),
        "no channel": _sub("plain:t", token=sign({"sub": "u"})),
        "other client": _sub("plain:t", token=channel("plain:t", "u", client="x")),
        "expired": _sub("plain:t", token=channel("plain:t", "u", exp=PAST)),
        "expired of other user": _sub("plain:t", token=channel("plain:t", "v", exp=PAST)),
        "not yet valid": _sub("plain:t", token=channel("plain:t", "u", nbf=FAR)),
        "expires": _sub("plain:t", token=channel("plain:t", "u", exp=FAR)),
        "expire_at": _sub("plain:t", token=channel("plain:t", "u", expire_at=FAR)),
        "expire_at 0": _sub("plain:t", token=channel("plain:t", "u", exp=FAR, expire_at=0)),
        "expire_at passed": _sub("plain:t", token=channel("plain:t", "u", expire_at=PAST)),
        "data": _sub("plain:t", token=channel("plain:t", "u", data={"b": 1, "a": "é<>&"})),
        "b64data": _sub("plain:t", token=channel("plain:t", "u", b64data="eyJ4IjogMX0=")),
        "b64data broken": _sub("plain:t", token=channel("plain:t", "u", b64data="*")),
        "override recovery": _sub(
            "members:t", token=channel("members:t", "u", override={"force_recovery": {"value": True}})
        ),
        "override positioning": _sub(
            "members:t", token=channel("members:t", "u", override={"force_positioning": {"value": True}})
        ),
        "override recovery off": _sub(
            "rec:t", token=channel("rec:t", "u", override={"force_recovery": {"value": False}})
        ),
        "on a map, type 0": _sub("board:t", token=channel("board:t", "u")),
    },
    connect_as("u"),
)

ANONYMOUS_TOKENS = each(
    "subscribe token, anonymous",
    {
        "without sub": _sub("closed:t", token=sign({"channel": "closed:t"})),
        "empty sub": _sub("closed:t", token=channel("closed:t")),
        "of a user": _sub("closed:t", token=channel("closed:t", "u")),
    },
)

TIMED = [
    Scenario(
        "subscribe token: expires in a minute",
        (*joined("a", connect_as("u")), Send("a", '{"id":2,"subscribe":{"channel":"plain:t","token":"${token.t}"}}')),
        tokens={"t": {"sub": "u", "channel": "plain:t", "exp": After(60)}},
    ),
    Scenario(
        "subscribe token: names the client",
        (
            *joined("a", connect_as("u")),
            Send("a", '{"id":2,"subscribe":{"channel":"plain:t","token":"x.${a.client}"}}'),
        ),
    ),
]

SEQUENCES = [
    conversation("subscribe: twice", _sub("plain:s"), command(3, "subscribe", channel="plain:s")),
    conversation(
        "subscribe: again after an error",
        _sub("closed:s"),
        command(3, "subscribe", channel="closed:s"),
        command(4, "subscribe", channel="closed:s", token=channel("closed:s", "")),
    ),
    conversation(
        "subscribe: again after unsubscribe",
        _sub("open:s"),
        command(3, "unsubscribe", channel="open:s"),
        command(4, "subscribe", channel="open:s"),
    ),
    conversation(
        "unsubscribe: not subscribed",
        command(2, "unsubscribe", channel="plain:s"),
        command(3, "unsubscribe", channel="nowhere:s"),
        command(4, "unsubscribe", channel="plain:" + "a" * 300),
        command(5, "unsubscribe", channel="$plain:s"),
        command(6, "unsubscribe", channel="plain:é"),
    ),
    conversation(
        "subscribe: a server-side subscription is there",
        command(2, "subscribe", channel="plain:srv"),
        command(3, "unsubscribe", channel="plain:srv"),
        command(4, "subscribe", channel="plain:srv"),
        connect=connect_as("u").replace("token", 'subs":{"plain:srv":{}},"token'),
    ),
    conversation(
        "subscribe: more channels than allowed",
        "\n".join(command(n, "subscribe", channel=f"plain:many{n}") for n in range(2, 130)),
        command(200, "subscribe", channel="plain:one too many"),
        command(201, "subscribe", channel="nowhere:x"),
        command(202, "subscribe", channel="plain:many2"),
        command(203, "subscribe", channel="plain:" + "a" * 250),
        command(204, "unsubscribe", channel="plain:many2"),
        command(205, "subscribe", channel="plain:one more"),
    ),
]

SCENARIOS = [*BY_USER, *ANONYMOUS, *FIELDS, *TOKENS, *ANONYMOUS_TOKENS, *TIMED, *SEQUENCES]
