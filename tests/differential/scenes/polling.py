"""Shared polls: tracking keys, what the backend is asked, and what clients are told."""

import json

from tests.differential.scenario import AwaitBackend, Backend, Close, Scenario, Send, api
from tests.differential.tokens import FAR, PAST, track

from .building import command, connect_as, conversation, each, joined


def _sub(channel: str, id: int = 2, **fields: object) -> str:
    return command(id, "subscribe", channel=channel, type=4, **fields)


def _track(
    channel: str, id: int, *keys: str, user: str = "", versions: dict[str, int] | None = None, **fields: object
) -> str:
    items = [{"key": key, **({"version": (versions or {})[key]} if key in (versions or {}) else {})} for key in keys]
    batch = {"signature": track(channel, keys, user), "items": items}
    return command(id, "sub_refresh", channel=channel, type=1, track=[batch], **fields)


def _items(*items: str, epoch: str = "", wait: dict[str, int] | None = None) -> Backend:
    """What the backend says from now on; and what comes of that, which may be at once or a little later."""
    body = '{"result":{"items":[' + ",".join(items) + "]" + (f',"epoch":"{epoch}"' if epoch else "") + "}}"
    return Backend(body, wait=wait or {})


SUBSCRIBING = each(
    "poll subscribe",
    {
        "versioned": _sub("poll:s1"),
        "versionless": _sub("pollvl:s2"),
        "type 0": command(2, "subscribe", channel="poll:s3"),
        "type 1": command(2, "subscribe", channel="poll:s3", type=1),
        "twice": (_sub("poll:s4"), _sub("poll:s4", 3)),
        "and unsubscribe": (_sub("poll:s5"), command(3, "unsubscribe", channel="poll:s5"), _sub("poll:s5", 4)),
        "private": _sub("$poll:s6"),
        "unknown namespace": _sub("nowhere:s7"),
        "not ASCII": _sub("poll:é"),
        "delta": _sub("poll:s8", delta="fossil"),
    },
)


def _batch(signature: str, *keys: str) -> str:
    batches = [{"signature": signature, "items": [{"key": key} for key in keys]}]
    return command(3, "sub_refresh", channel="poll:t", type=1, track=batches)


TRACKING = each(
    "poll track",
    {
        "not subscribed": _track("poll:t", 3, "k"),
        "valid": (_sub("poll:t"), _track("poll:t", 3, "k")),
        "no batches": (_sub("poll:t"), command(3, "sub_refresh", channel="poll:t", type=1, track=[])),
        "no track": (_sub("poll:t"), command(3, "sub_refresh", channel="poll:t", type=1)),
        "no items": (_sub("poll:t"), _batch(track("poll:t", []))),
        "type 0": (_sub("poll:t"), command(3, "sub_refresh", channel="poll:t", token="x")),
        "type 0 without token": (_sub("poll:t"), command(3, "sub_refresh", channel="poll:t")),
        "type 3": (_sub("poll:t"), command(3, "sub_refresh", channel="poll:t", type=3)),
        "wrong signature": (_sub("poll:t"), _batch("1700000000:4102444800:00", "k")),
        "no signature": (_sub("poll:t"), _batch("", "k")),
        "malformed signature": (_sub("poll:t"), _batch("x", "k")),
        "other keys": (_sub("poll:t"), _batch(track("poll:t", ["l"]), "k")),
        "keys in other order": (_sub("poll:t"), _batch(track("poll:t", ["a", "b"]), "b", "a")),
        "other user": (_sub("poll:t"), _batch(track("poll:t", ["k"], "u"), "k")),
        "expired": (_sub("poll:t"), _batch(track("poll:t", ["k"], expires=PAST), "k")),
        "issued in the future": (_sub("poll:t"), _batch(track("poll:t", ["k"], issued=FAR, expires=FAR), "k")),
        "never expires": (_sub("poll:t"), _batch(track("poll:t", ["k"], expires=0), "k")),
        "too many keys": (_sub("poll:t"), _track("poll:t", 3, "a", "b", "c", "d", "e")),
        "too many keys in two": (_sub("poll:t"), _track("poll:t", 3, "a", "b", "c"), _track("poll:t", 4, "d", "e")),
        "as many keys as allowed": (_sub("poll:t"), _track("poll:t", 3, "a", "b", "c", "d"), _track("poll:t", 4, "a")),
        "untrack makes room": (
            _sub("poll:t"),
            _track("poll:t", 3, "a", "b", "c", "d"),
            _track("poll:t", 4, "e", untrack=["a"]),
        ),
        "untrack": (
            _sub("poll:t"),
            command(3, "sub_refresh", channel="poll:t", type=2, untrack=["a"]),
            command(4, "sub_refresh", channel="poll:t", type=2, untrack=[]),
            command(5, "sub_refresh", channel="poll:t", type=2),
        ),
        "empty key": (_sub("poll:t"), _track("poll:t", 3, "")),
        "same key twice": (_sub("poll:t"), _track("poll:t", 3, "k", "k")),
        "publish by client": (_sub("poll:t"), command(3, "publish", channel="poll:t", data=1)),
        "presence": (_sub("poll:t"), command(3, "presence", channel="poll:t")),
        "history": (_sub("poll:t"), command(3, "history", channel="poll:t")),
    },
)

VERSIONED = [
    Scenario(
        "poll versioned: first data, changes, removal",
        (
            _items('{"key":"k","data":{"p": 1},"version":3}'),
            *joined(),
            Send("a", _sub("poll:v1")),
            Send("a", _track("poll:v1", 3, "k", "l"), wait={"a": 2}),
            AwaitBackend('"poll:v1","items":[{"key":"k"}'),
            _items(
                '{"key":"k","data":{"p":2},"version":4}', '{"key":"l","data":"é\\u00e9","version":1}', wait={"a": 2}
            ),
            _items('{"key":"k","data":{"p":9},"version":4}'),
            AwaitBackend('"poll:v1","items":[{"key":"k","version":4},'),
            _items('{"key":"k","removed":true}', wait={"a": 1}),
        ),
    ),
    Scenario(
        "poll versioned: known versions",
        (
            _items('{"key":"k","data":1,"version":3}', '{"key":"l","data":2,"version":5}'),
            *joined(),
            Send("a", _sub("poll:v2")),
            Send("a", _track("poll:v2", 3, "k", "l", versions={"k": 3, "l": 4}), wait={"a": 2}),
        ),
    ),
    Scenario(
        "poll versioned: a second client",
        (
            _items('{"key":"k","data":1,"version":3}'),
            *joined("a"),
            *joined("b"),
            Send("a", _sub("poll:v3")),
            Send("b", _sub("poll:v3")),
            Send("a", _track("poll:v3", 3, "k"), wait={"a": 2}),
            Send("b", _track("poll:v3", 3, "k"), wait={"b": 2}),
            Send("b", command(4, "sub_refresh", channel="poll:v3", type=2, untrack=["k"])),
            _items('{"key":"k","data":2,"version":4}', wait={"a": 1}),
            Close("a"),
        ),
    ),
    Scenario(
        "poll versioned: a user",
        (
            _items('{"key":"k","data":1,"version":1}'),
            *joined("a", connect_as("u")),
            Send("a", _sub("poll:v4")),
            Send("a", _track("poll:v4", 3, "k", user="u"), wait={"a": 2}),
        ),
    ),
    Scenario(
        "poll versioned: epoch changes",
        (
            _items('{"key":"k","data":1,"version":1}', epoch="e1"),
            *joined(),
            Send("a", _sub("poll:v5")),
            Send("a", _track("poll:v5", 3, "k"), wait={"a": 2}),
            Send("a", _sub("poll:v5", 4)),
            Send("a", _track("poll:v5", 5, "k"), wait={"a": 2}),
            _items('{"key":"k","data":1,"version":1}', epoch="e2", wait={"a": 1}),
        ),
    ),
]

VERSIONLESS = [
    Scenario(
        "poll versionless: first data, changes",
        (
            _items('{"key":"k","data":{"p":1}}'),
            *joined(),
            Send("a", _sub("pollvl:l1")),
            Send("a", _track("pollvl:l1", 3, "k"), wait={"a": 2}),
            AwaitBackend('"pollvl:l1"'),
            _items('{"key":"k","data":{"p":2}}', wait={"a": 1}),
            AwaitBackend('"pollvl:l1"'),
            _items('{"key":"k","removed":true}', wait={"a": 1}),
        ),
    ),
]

PUBLISHED = [
    Scenario(
        "poll: API publish",
        (
            *joined(),
            Send("a", _sub("pollpub:p1")),
            Send("a", _track("pollpub:p1", 3, "k")),
            api("shared_poll_publish", '{"channel":"pollpub:p1","key":"k","data":{"v": 1},"version":5}', wait={"a": 1}),
            api("shared_poll_publish", '{"channel":"pollpub:p1","key":"k","data":2,"version":5}'),
            api("shared_poll_publish", '{"channel":"pollpub:p1","key":"k","data":2,"version":4}'),
            api("shared_poll_publish", '{"channel":"pollpub:p1","key":"l","data":2,"version":1}'),
        ),
    ),
    Scenario(
        "poll: API errors",
        tuple(
            api("shared_poll_publish", json.dumps(body))
            for body in (
                {"channel": "pollpub:x", "key": "k", "version": 1},
                {"channel": "pollpub:x", "data": 1, "version": 1},
                {"channel": "pollpub:x", "key": "k", "data": 1},
                {"channel": "pollpub:x", "key": "k", "data": 1, "version": 1},
                {"channel": "poll:x", "key": "k", "data": 1, "version": 1},
                {"channel": "pollvl:x", "key": "k", "data": 1, "version": 1},
                {"channel": "plain:x", "key": "k", "data": 1, "version": 1},
                {"channel": "nowhere:x", "key": "k", "data": 1, "version": 1},
                {"channel": "", "key": "k", "data": 1, "version": 1},
                {},
                {"channel": "pollpub:x", "key": "k", "b64data": "*", "version": 1},
            )
        ),
    ),
]

TOLD = [
    conversation(
        "poll: unsubscribed",
        _sub("poll:u1"),
        _track("poll:u1", 3, "k"),
        command(4, "unsubscribe", channel="poll:u1"),
        _track("poll:u1", 5, "k"),
    )
]

SCENARIOS = [*SUBSCRIBING, *TRACKING, *VERSIONED, *VERSIONLESS, *PUBLISHED, *TOLD]
