"""Presence, presence statistics and history as clients ask for them; refresh and sub_refresh."""

from tests.differential.scenario import After, Scenario, Send, Step, api
from tests.differential.tokens import FAR, PAST, channel, sign, user

from .building import command, connect_as, each, joined

PERMISSION = [
    scenario
    for method in ("presence", "presence_stats", "history")
    for scenario in [
        *each(
            method,
            {
                "allowed": command(2, method, channel="open:r"),
                "feature off": command(2, method, channel="plain:r"),
                "not allowed": command(2, method, channel="closed:r"),
                "for users only, anonymous": command(2, method, channel="users:r"),
                "for subscribers, not subscribed": command(2, method, channel="members:r"),
                "for subscribers, subscribed": (
                    command(2, "subscribe", channel="members:r"),
                    command(3, method, channel="members:r"),
                ),
                "unknown namespace": command(2, method, channel="nowhere:r"),
                "private": command(2, method, channel="$open:r"),
                "not ASCII": command(2, method, channel="open:é"),
                "name too long": command(2, method, channel="open:" + "r" * 300),
                "of a map": command(2, method, channel="board:r"),
            },
        ),
        *each(
            f"{method} as user",
            {
                "for users only": command(2, method, channel="users:r"),
                "for subscribers, not subscribed": command(2, method, channel="members:r"),
            },
            connect_as("u"),
        ),
    ]
]


def _filled(name: str, count: int = 4) -> list[Step]:
    publish = '{{"channel":"{0}","data":{{"n":{1}}},"tags":{{"t":"{1}"}}}}'
    return [api("publish", publish.format(name, n)) for n in range(1, count + 1)]


def _history(name: str, *requests: str) -> tuple[Step, ...]:
    channel = f"open:{name}"
    asked = (f'{{"id":{n},"history":{{"channel":"{channel}",{text}}}}}' for n, text in enumerate(requests, 2))
    return (*_filled(channel), *joined(), *(Send("a", text) for text in asked))


HISTORY = [
    Scenario(
        "history: limits",
        _history(
            "h1", '"limit":0', '"limit":2', '"limit":-1', '"limit":-5', '"limit":100', '"limit":null', '"reverse":true'
        ),
    ),
    Scenario(
        "history: since",
        _history(
            "h2",
            '"limit":-1,"since":{"offset":2,"epoch":"${api.epoch}"}',
            '"limit":1,"since":{"offset":2,"epoch":"${api.epoch}"}',
            '"limit":-1,"since":{"offset":2}',
            '"limit":-1,"since":{"epoch":"${api.epoch}"}',
            '"limit":-1,"since":{}',
            '"limit":-1,"since":null',
            '"limit":-1,"since":{"offset":4,"epoch":"${api.epoch}"}',
            '"limit":-1,"since":{"offset":9,"epoch":"${api.epoch}"}',
            '"limit":0,"since":{"offset":1,"epoch":"${api.epoch}"}',
            '"limit":-1,"since":{"offset":2,"epoch":"wrong"}',
            '"limit":0,"since":{"offset":2,"epoch":"wrong"}',
        ),
    ),
    Scenario(
        "history: reverse",
        _history(
            "h3",
            '"limit":-1,"reverse":true',
            '"limit":2,"reverse":true',
            '"limit":-1,"reverse":true,"since":{"offset":3,"epoch":"${api.epoch}"}',
            '"limit":1,"reverse":true,"since":{"offset":3,"epoch":"${api.epoch}"}',
            '"limit":-1,"reverse":true,"since":{"offset":1,"epoch":"${api.epoch}"}',
            '"limit":-1,"reverse":true,"since":{"offset":0,"epoch":"${api.epoch}"}',
            '"limit":-1,"reverse":true,"since":{"offset":9,"epoch":"${api.epoch}"}',
            '"limit":-1,"reverse":true,"since":{"offset":5,"epoch":"${api.epoch}"}',
            '"limit":-1,"reverse":true,"since":{"offset":3,"epoch":"wrong"}',
            '"limit":0,"reverse":true,"since":{"offset":0}',
        ),
    ),
    Scenario(
        "history: wrong types",
        (*joined(), Send("a", '{"id":2,"history":{"channel":"open:h4","limit":"1"}}')),
    ),
    Scenario(
        "history: limit a float",
        (*joined(), Send("a", '{"id":2,"history":{"channel":"open:h4","limit":1.5}}')),
    ),
    Scenario(
        "history: limit too large",
        (*joined(), Send("a", '{"id":2,"history":{"channel":"open:h4","limit":2147483648}}')),
    ),
    Scenario(
        "history: since negative",
        (*joined(), Send("a", '{"id":2,"history":{"channel":"open:h4","since":{"offset":-1}}}')),
    ),
    Scenario(
        "history: older than what is kept",
        (
            *_filled("open:h5", 12),
            *joined(),
            Send(
                "a", '{"id":2,"history":{"channel":"open:h5","limit":-1,"since":{"offset":1,"epoch":"${api.epoch}"}}}'
            ),
            Send("a", '{"id":3,"history":{"channel":"open:h5","limit":1,"since":{"offset":1,"epoch":"${api.epoch}"}}}'),
            Send("a", '{"id":4,"history":{"channel":"open:h5","limit":-1,"reverse":true,"since":{"offset":2}}}'),
            Send("a", '{"id":5,"history":{"channel":"open:h5","limit":-1,"reverse":true}}'),
        ),
    ),
    Scenario(
        "history: removed",
        (
            *_filled("open:h6", 3),
            api("history_remove", '{"channel":"open:h6"}'),
            *joined(),
            Send("a", '{"id":2,"history":{"channel":"open:h6","limit":-1}}'),
            api("publish", '{"channel":"open:h6","data":4}'),
            Send("a", '{"id":3,"history":{"channel":"open:h6","limit":-1}}'),
        ),
    ),
    Scenario(
        "history: of a stream that never was",
        (
            *joined(),
            Send("a", command(2, "history", channel="open:h7", limit=-1)),
            Send("a", command(3, "history", channel="open:h7", limit=-1)),
            Send("a", command(4, "history", channel="open:h7", limit=-1, since={"offset": 0, "epoch": "x"})),
        ),
    ),
]

PRESENCE = [
    Scenario(
        "presence: of two users and one twice",
        (
            *joined("a", f'{{"id":1,"connect":{{"token":"{user("u", info={"n": 1})}"}}}}'),
            *joined("b", connect_as("u")),
            *joined("c", connect_as("v")),
            Send("a", command(2, "subscribe", channel="members:two")),
            Send("b", command(2, "subscribe", channel="members:two")),
            Send("c", command(2, "subscribe", channel="members:two")),
            Send("a", command(3, "presence", channel="members:two")),
            Send("a", command(4, "presence_stats", channel="members:two")),
            Send("b", command(5, "unsubscribe", channel="members:two")),
            Send("a", command(6, "presence_stats", channel="members:two")),
            api("presence", '{"channel":"members:two"}'),
            api("presence_stats", '{"channel":"members:two"}'),
        ),
    ),
]


def _refresh(token: str, id: int = 2) -> str:
    return command(id, "refresh", token=token)


REFRESH = each(
    "refresh",
    {
        "no token": command(2, "refresh"),
        "not a token": _refresh("x"),
        "of the user, forever": _refresh(user("u")),
        "of the user": _refresh(user("u", exp=FAR)),
        "of another": _refresh(user("v", exp=FAR)),
        "expired": _refresh(user("u", exp=PAST)),
        "not yet valid": _refresh(user("u", nbf=FAR)),
        "expire_at passed": _refresh(user("u", expire_at=PAST)),
        "expire_at 0": _refresh(user("u", exp=FAR, expire_at=0)),
        "with a channel": _refresh(sign({"sub": "u", "channel": "plain:x"})),
        "with channels": _refresh(user("u", exp=FAR, channels=["plain:x"])),
        "with channels of unknown namespace": _refresh(user("u", exp=FAR, channels=["nowhere:x"])),
        "a number": '{"id":2,"refresh":{"token":1}}',
    },
    '{"id":1,"connect":{"token":"' + user("u", exp=FAR) + '"}}',
) + each("refresh, not expiring", {"valid": _refresh(user("u", exp=FAR))}, connect_as("u"))

REFRESH_TIMED = [
    Scenario(
        "refresh: a minute",
        (
            *joined("a", connect_as("u")),
            Send("a", '{"id":2,"refresh":{"token":"${token.t}"}}'),
            Send("a", '{"id":3,"refresh":{"token":"${token.t}"}}'),
        ),
        tokens={"t": {"sub": "u", "exp": After(60)}},
    ),
    Scenario(
        "refresh: anonymous",
        (*joined(), Send("a", '{"id":2,"refresh":{"token":"' + user("", exp=FAR) + '"}}')),
    ),
    Scenario(
        "refresh: new info",
        (
            *joined("a", f'{{"id":1,"connect":{{"token":"{user("u", exp=FAR, info={"old": 1})}"}}}}'),
            Send("a", command(2, "subscribe", channel="members:ri")),
            Send("a", _refresh(user("u", exp=FAR, info={"new": 1}), 3)),
            Send("a", command(4, "publish", channel="members:ri", data=1)),
            Send("a", command(5, "presence", channel="members:ri")),
        ),
    ),
]


def _sub_refresh(token: str, channel: str = "plain:sr", id: int = 3) -> str:
    return command(id, "sub_refresh", channel=channel, token=token)


SUBSCRIBED = command(2, "subscribe", channel="plain:sr", token=channel("plain:sr", "u", exp=FAR))
SUB_REFRESH = each(
    "sub_refresh",
    {
        "not subscribed": _sub_refresh(channel("plain:sr", "u", exp=FAR)),
        "not subscribed, unknown namespace": _sub_refresh("x", "nowhere:sr"),
        "not subscribed, no token": command(3, "sub_refresh", channel="plain:sr"),
        "no token": (SUBSCRIBED, command(3, "sub_refresh", channel="plain:sr")),
        "not a token": (SUBSCRIBED, _sub_refresh("x")),
        "valid": (SUBSCRIBED, _sub_refresh(channel("plain:sr", "u", exp=FAR))),
        "forever": (SUBSCRIBED, _sub_refresh(channel("plain:sr", "u"))),
        "of another": (SUBSCRIBED, _sub_refresh(channel("plain:sr", "v", exp=FAR))),
        "of another channel": (SUBSCRIBED, _sub_refresh(channel("plain:other", "u", exp=FAR))),
        "without channel": (SUBSCRIBED, _sub_refresh(sign({"sub": "u", "exp": FAR}))),
        "expired": (SUBSCRIBED, _sub_refresh(channel("plain:sr", "u", exp=PAST))),
        "expire_at passed": (SUBSCRIBED, _sub_refresh(channel("plain:sr", "u", expire_at=PAST))),
        "type 1 on a stream": (SUBSCRIBED, '{"id":3,"sub_refresh":{"channel":"plain:sr","type":1,"track":[]}}'),
        "type 9": (SUBSCRIBED, '{"id":3,"sub_refresh":{"channel":"plain:sr","type":9}}'),
        "not expiring": (command(2, "subscribe", channel="plain:sr"), _sub_refresh(channel("plain:sr", "u", exp=FAR))),
    },
    connect_as("u"),
)

SCENARIOS = [*PERMISSION, *HISTORY, *PRESENCE, *REFRESH, *REFRESH_TIMED, *SUB_REFRESH]
