"""Map channels: state, paging, catching up, recovery, publishing, presence, and the HTTP API of maps."""

from tests.differential.scenario import Close, Lapse, Scenario, Send, Step, api
from tests.differential.tokens import channel

from .building import command, connect_as, conversation, each, joined


def _fill(channel: str, *keys: str, tags: str = "") -> list[Step]:
    extra = f',"tags":{tags}' if tags else ""
    return [
        api("map_publish", f'{{"channel":"{channel}","key":"{key}","data":{{"k":"{key}"}}{extra}}}') for key in keys
    ]


def _sub(channel: str, id: int = 2, **fields: object) -> str:
    return command(id, "subscribe", channel=channel, type=1, **fields)


def _at(channel: str, id: int, fields: str, *, who: str = "a") -> str:
    """A subscribe that tells an epoch that was seen: by the connection, or in the answers of the HTTP API."""
    return f'{{"id":{id},"subscribe":{{"channel":"{channel}","type":1,{fields},"epoch":"${{{who}.epoch}}"}}}}'


STATE = [
    conversation("map: empty, ephemeral", _sub("streamless:s1", phase=2)),
    conversation("map: empty, persistent", _sub("board:s2", phase=2)),
    conversation("map: empty, recoverable", _sub("recmap:s3", phase=2)),
    conversation("map: live at once", _sub("board:s4"), _sub("board:s4", 3)),
    conversation("map: live at once, ephemeral", _sub("streamless:s5")),
    Scenario(
        "map: state, ephemeral",
        (*_fill("streamless:s6", "b", "a", "c"), *joined(), Send("a", _sub("streamless:s6", phase=2))),
    ),
    Scenario(
        "map: state, persistent",
        (*_fill("mapclosed:s7", "b", "a", "c"), *joined(), Send("a", _sub("mapclosed:s7", phase=2))),
    ),
    Scenario(
        "map: state descending and ascending",
        (
            *_fill("mapclosed:s8", "b", "a", "é", "C", "10", "9"),
            *joined("a"),
            *joined("b"),
            Send("a", _sub("mapclosed:s8", phase=2)),
            Send("b", _sub("mapclosed:s8", phase=2, asc=True)),
        ),
    ),
    Scenario(
        "map: pages",
        (
            *_fill("board:s9", "a", "b", "c", "d", "e"),
            *joined(),
            Send("a", _sub("board:s9", phase=2, limit=2)),
            Send("a", _at("board:s9", 3, '"phase":2,"limit":2,"cursor":"b","offset":5')),
            Send("a", _at("board:s9", 4, '"phase":2,"limit":2,"cursor":"d","offset":5')),
            *_fill("board:s9", "f"),
            Send("a", command(5, "publish", channel="board:s9", type=1, key="g", data=1)),
        ),
    ),
    Scenario(
        "map: pages with changes between",
        (
            *_fill("board:s10", "a", "b", "c", "d", "e"),
            *joined(),
            Send("a", _sub("board:s10", phase=2, limit=2)),
            *_fill("board:s10", "c", "x"),
            api("map_remove", '{"channel":"board:s10","key":"a"}'),
            Send("a", _at("board:s10", 3, '"phase":2,"limit":2,"cursor":"b","offset":5')),
            Send("a", _at("board:s10", 4, '"phase":2,"limit":2,"cursor":"d","offset":5')),
            Send("a", _at("board:s10", 5, '"phase":1,"limit":2,"offset":5')),
            Send("a", _at("board:s10", 6, '"phase":1,"limit":2,"offset":7')),
            *_fill("board:s10", "y"),
        ),
    ),
    Scenario(
        "map: stream ahead after the state",
        (
            *_fill("board:s11", "a", "b", "c"),
            *joined(),
            Send("a", _sub("board:s11", phase=2, limit=2)),
            *_fill("board:s11", "d", "e", "f", "g", "h"),
            Send("a", _at("board:s11", 3, '"phase":2,"limit":1,"cursor":"b","offset":3')),
            Send("a", _at("board:s11", 4, '"phase":2,"limit":3,"cursor":"c","offset":3')),
            Send("a", _at("board:s11", 5, '"phase":1,"limit":2,"offset":3')),
            Send("a", _at("board:s11", 6, '"phase":1,"limit":2,"offset":5')),
            Send("a", _at("board:s11", 7, '"phase":1,"limit":2,"offset":7')),
            *_fill("board:s11", "i"),
        ),
    ),
    Scenario(
        "map: epoch changed between pages",
        (
            *_fill("board:s12", "a", "b", "c"),
            *joined(),
            Send("a", _sub("board:s12", phase=2, limit=2)),
            Send(
                "a",
                '{"id":3,"subscribe":{"channel":"board:s12","type":1,"phase":2,"limit":2,"cursor":"b","offset":3,"epoch":"wrong"}}',
            ),
            Send("a", _sub("board:s12", 4, phase=2, limit=2)),
        ),
    ),
    Scenario(
        "map: limits",
        (
            *_fill("board:s13", "a", "b", "c", "d", "e"),
            *joined("a"),
            *joined("b"),
            *joined("c"),
            *joined("d"),
            Send("a", _sub("board:s13", phase=2)),
            Send("b", _sub("board:s13", phase=2, limit=1)),
            Send("c", _sub("board:s13", phase=2, limit=100)),
            Send("d", _sub("board:s13", phase=2, limit=-1)),
        ),
    ),
]

REFUSED = each(
    "map refused",
    {
        "type 2": command(2, "subscribe", channel="board:x", type=2, phase=2),
        "type 0": command(2, "subscribe", channel="board:x"),
        "type 1 on a presence map": command(2, "subscribe", channel="prescli:x", type=1, phase=2),
        "type 3 on a presence map of clients": command(2, "subscribe", channel="prescli:x", type=3, phase=2),
        "phase 3": _sub("board:x", phase=3),
        "phase -1": _sub("board:x", phase=-1),
        "a cursor first": _sub("board:x", phase=2, cursor="a"),
        "the stream first": _sub("board:x", phase=1),
        "the stream first, with a position": _sub("board:x", phase=1, offset=1, epoch="x"),
        "recovery, ephemeral": _sub("streamless:x", phase=1, recover=True, offset=1, epoch="x"),
        "recovery of what never was": _sub("board:never", phase=1, recover=True, offset=1, epoch="x"),
        "recovery without epoch": _sub("board:never2", phase=1, recover=True),
        "recovery, live": _sub("board:never3", recover=True, offset=1, epoch="x"),
        "filter where not allowed": _sub("board:x", phase=2, tf={"key": "a", "cmp": "ex"}),
        "broken filter": _sub("tagged:x", phase=2, tf={"key": "a", "cmp": "x"}),
        "private": _sub("$board:x", phase=2),
        "unknown delta": _sub("mapdelta:x", phase=2, delta="x"),
        "not ASCII": _sub("board:é", phase=2),
        "name too long": _sub("board:" + "x" * 300, phase=2),
        "twice": (_sub("board:x2", phase=2), _sub("board:x2", 3, phase=2)),
    },
)

RECOVERY = [
    Scenario(
        "map recovery",
        (
            *_fill("board:r1", "a", "b", "c"),
            api("map_remove", '{"channel":"board:r1","key":"a"}'),
            *joined(),
            *(
                step
                for id, position in enumerate(
                    (
                        '"offset":2,"epoch":"${api.epoch}"',
                        '"offset":4,"epoch":"${api.epoch}"',
                        '"offset":9,"epoch":"${api.epoch}"',
                        '"offset":2,"epoch":"wrong"',
                        '"offset":2',
                    ),
                    2,
                )
                for step in (
                    Send(
                        "a",
                        f'{{"id":{id},"subscribe":{{"channel":"board:r1","type":1,"phase":1,"recover":true,{position}}}}}',
                    ),
                    Send("a", command(id + 98, "unsubscribe", channel="board:r1")),
                )
            ),
        ),
    ),
    Scenario(
        "map recovery: in two steps",
        (
            *_fill("board:r3", "a", "b", "c"),
            *joined(),
            Send("a", _at("board:r3", 2, '"phase":1,"recover":true,"offset":0', who="api")),
            Send("a", _at("board:r3", 3, '"phase":1,"recover":true,"offset":2', who="api")),
        ),
    ),
    Scenario(
        "map: unsubscribe between pages",
        (
            *_fill("board:r4", "a", "b", "c"),
            *joined(),
            Send("a", _sub("board:r4", phase=2)),
            Send("a", command(3, "unsubscribe", channel="board:r4"), within=9),
            Send("a", _sub("board:r4", 4, phase=2), within=9),
        ),
    ),
    Scenario(
        "map: a dialogue that takes too long",
        (
            *_fill("board:r5", "a", "b", "c"),
            *joined(),
            Send("a", _sub("board:r5", phase=2)),
            Lapse(5.5),
            Send("a", _at("board:r5", 3, '"phase":2,"cursor":"b","offset":3')),
        ),
    ),
    Scenario(
        "map recovery: trimmed",
        (
            *_fill("smallstream:r2", "a", "b", "c", "d"),
            *joined(),
            Send("a", _at("smallstream:r2", 2, '"phase":1,"recover":true,"offset":1', who="api")),
            Send("a", _at("smallstream:r2", 3, '"phase":1,"recover":true,"offset":2', who="api")),
            *_fill("smallstream:r2", "e"),
        ),
    ),
]


def _publish(channel: str, id: int, **fields: object) -> str:
    return command(id, "publish", channel=channel, type=1, **fields)


PUBLISHING = [
    conversation(
        "map publish: by a client",
        _sub("board:p1", phase=2),
        _publish("board:p1", 3, key="k", data={"a": 1}),
        _publish("board:p1", 4, key="k", data={"a": 2}),
        _publish("board:p1", 5, key="k", removed=True),
        _publish("board:p1", 6, key="k", removed=True),
        _publish("board:p1", 7, key="", data=1),
        _publish("board:p1", 8, data=1),
        _publish("board:p1", 9, key="k"),
        command(10, "publish", channel="board:p1", key="k", data=1),
        command(11, "publish", channel="board:p1", type=2, key="k", data=1),
        _publish("board:p1", 12, key="k", data=1, removed=True),
        _publish("mapclosed:p1", 13, key="k", data=1),
        _publish("mapclosed:p1", 14, key="k", removed=True),
        _publish("nowhere:p1", 15, key="k", data=1),
        _publish("board:p1", 16, key='é😀 "', data=1),
        _publish("board:p1", 17, key="k" * 300, data=1),
    ),
    conversation(
        "map publish: ephemeral",
        _sub("streamless:p2", phase=2),
        _publish("streamless:p2", 3, key="k", data={"a": 1}),
        _publish("streamless:p2", 4, key="k", removed=True),
        _publish("streamless:p2", 5, key="k", removed=True),
    ),
    Scenario(
        "map publish: key of the client",
        (
            *joined("a"),
            *joined("b", connect_as("u")),
            Send("a", _publish("clientkey:p3", 2, key="mine", data=1)),
            Send("a", _sub("clientkey:p3", 3, phase=2)),
            Send("b", _sub("clientkey:p3", 3, phase=2)),
            Send("a", _publish("clientkey:p3", 4, key="mine", data=1)),
            Send("b", _publish("clientkey:p3", 4, data=2)),
            Send("a", _publish("clientkey:p3", 5, key="mine", removed=True)),
            Send("b", command(5, "unsubscribe", channel="clientkey:p3")),
        ),
    ),
    Scenario(
        "map publish: key of the user",
        (
            *joined("a"),
            *joined("b", connect_as("u")),
            Send("b", _sub("userkey:p4", 3, phase=2)),
            Send("a", _publish("userkey:p4", 4, key="mine", data=1)),
            Send("b", _publish("userkey:p4", 4, key="mine", data=1)),
        ),
    ),
    Scenario(
        "map: delta",
        (
            api("map_publish", f'{{"channel":"mapdelta:d","key":"a","data":{{"n":1,"x":"{"x" * 80}"}}}}'),
            *joined(),
            Send("a", _sub("mapdelta:d", phase=2, delta="fossil")),
            api("map_publish", f'{{"channel":"mapdelta:d","key":"a","data":{{"n":2,"x":"{"x" * 80}"}}}}'),
            api("map_publish", f'{{"channel":"mapdelta:d","key":"b","data":{{"n":2,"x":"{"x" * 80}"}}}}'),
            api("map_publish", f'{{"channel":"mapdelta:d","key":"a","data":{{"n":3,"x":"{"x" * 80}"}}}}'),
            api("map_remove", '{"channel":"mapdelta:d","key":"a"}'),
            api("map_publish", f'{{"channel":"mapdelta:d","key":"a","data":{{"n":4,"x":"{"x" * 80}"}}}}'),
            Send("a", command(3, "unsubscribe", channel="mapdelta:d")),
            Send("a", _at("mapdelta:d", 4, '"phase":1,"recover":true,"offset":1,"delta":"fossil"', who="api")),
            api("map_publish", f'{{"channel":"mapdelta:d","key":"a","data":{{"n":5,"x":"{"x" * 80}"}}}}'),
        ),
    ),
    Scenario(
        "map: tags filter",
        (
            *_fill("tagged:t", "a", "b", tags='{"l":"en"}'),
            *_fill("tagged:t", "c", tags='{"l":"de"}'),
            *joined(),
            Send("a", _sub("tagged:t", phase=2, tf={"key": "l", "cmp": "eq", "val": "en"})),
            *_fill("tagged:t", "d", tags='{"l":"de"}'),
            *_fill("tagged:t", "e", tags='{"l":"en"}'),
            api("map_remove", '{"channel":"tagged:t","key":"c"}'),
            api("map_remove", '{"channel":"tagged:t","key":"a"}'),
        ),
    ),
    Scenario(
        "map: keys expire",
        (
            *_fill("shortkeys:e", "a"),
            *joined(),
            Send("a", _sub("shortkeys:e", phase=2)),
            Lapse(0.1, wait={"a": 1}, within=6),
        ),
    ),
    Scenario(
        "map: subscription token",
        (
            *joined("a", connect_as("u")),
            Send("a", _sub("$board:tok", phase=2, token=channel("$board:tok", "u"))),
            Send("a", command(3, "unsubscribe", channel="$board:tok")),
        ),
    ),
    Scenario(
        "map: presence of clients and users",
        (
            *joined("a"),
            *joined("b", connect_as("u")),
            Send("a", command(2, "subscribe", channel="prescli:prestest:p", type=2, phase=2)),
            Send("a", command(3, "subscribe", channel="presusr:prestest:p", type=3, phase=2)),
            Send("b", command(2, "subscribe", channel="prestest:p"), wait={"a": 2}),
            Send("b", command(3, "unsubscribe", channel="prestest:p"), wait={"a": 1}),
            Send("b", command(4, "subscribe", channel="prestest:p"), wait={"a": 1}),
            Close("b", wait={"a": 1}),
        ),
    ),
]


def _calls(name: str, *calls: tuple[str, str]) -> Scenario:
    return Scenario(f"map API: {name}", tuple(api(method, body) for method, body in calls))


API = [
    _calls(
        "state and stream",
        ("map_read_state", '{"channel":"board:a1"}'),
        ("map_read_stream", '{"channel":"board:a1","limit":-1}'),
        ("map_stats", '{"channel":"board:a1"}'),
        ("map_publish", '{"channel":"board:a1","key":"b","data":{"v": 1},"tags":{"t":"1"},"score":5}'),
        ("map_publish", '{"channel":"board:a1","key":"a","data":2}'),
        ("map_publish", '{"channel":"board:a1","key":"c","data":3,"stream_data":{"d":3}}'),
        ("map_remove", '{"channel":"board:a1","key":"a"}'),
        ("map_remove", '{"channel":"board:a1","key":"never"}'),
        ("map_read_state", '{"channel":"board:a1"}'),
        ("map_read_state", '{"channel":"board:a1","limit":1}'),
        ("map_read_state", '{"channel":"board:a1","limit":1,"cursor":"b"}'),
        ("map_read_state", '{"channel":"board:a1","limit":-1}'),
        ("map_read_state", '{"channel":"board:a1","limit":10,"asc":true}'),
        ("map_read_state", '{"channel":"board:a1","key":"c"}'),
        ("map_read_state", '{"channel":"board:a1","key":"never"}'),
        ("map_read_state", '{"channel":"board:a1","limit":5,"revision_offset":1,"revision_epoch":"wrong"}'),
        ("map_read_stream", '{"channel":"board:a1"}'),
        ("map_read_stream", '{"channel":"board:a1","limit":-1}'),
        ("map_read_stream", '{"channel":"board:a1","limit":1}'),
        ("map_read_stream", '{"channel":"board:a1","limit":2,"since_offset":1,"since_epoch":"${api.epoch}"}'),
        ("map_read_stream", '{"channel":"board:a1","limit":2,"since_offset":1,"since_epoch":"wrong"}'),
        ("map_read_stream", '{"channel":"board:a1","limit":2,"reverse":true}'),
        ("map_stats", '{"channel":"board:a1"}'),
        ("map_clear", '{"channel":"board:a1"}'),
        ("map_read_state", '{"channel":"board:a1","limit":-1}'),
        ("map_stats", '{"channel":"board:a1"}'),
        ("map_publish", '{"channel":"board:a1","key":"n","data":1}'),
    ),
    _calls(
        "conditions",
        ("map_publish", '{"channel":"board:a2","key":"k","data":1,"key_mode":"if_exists"}'),
        ("map_publish", '{"channel":"board:a2","key":"k","data":1,"key_mode":"if_new"}'),
        ("map_publish", '{"channel":"board:a2","key":"k","data":2,"key_mode":"if_new"}'),
        ("map_publish", '{"channel":"board:a2","key":"k","data":3,"key_mode":"if_exists"}'),
        ("map_publish", '{"channel":"board:a2","key":"k","data":3,"key_mode":"other"}'),
        ("map_publish", '{"channel":"board:a2","key":"i","data":1,"idempotency_key":"i"}'),
        ("map_publish", '{"channel":"board:a2","key":"i","data":2,"idempotency_key":"i"}'),
        ("map_publish", '{"channel":"board:a2","key":"v","data":1,"version":2}'),
        ("map_publish", '{"channel":"board:a2","key":"v","data":2,"version":2}'),
        ("map_publish", '{"channel":"board:a2","key":"v","data":3,"version":1,"version_epoch":"e"}'),
        ("map_remove", '{"channel":"board:a2","key":"i","idempotency_key":"r"}'),
        ("map_remove", '{"channel":"board:a2","key":"k","idempotency_key":"r"}'),
        ("map_read_state", '{"channel":"board:a2","limit":-1}'),
    ),
    _calls(
        "ephemeral",
        ("map_publish", '{"channel":"streamless:a3","key":"k","data":1}'),
        ("map_remove", '{"channel":"streamless:a3","key":"never"}'),
        ("map_read_state", '{"channel":"streamless:a3","limit":-1}'),
        ("map_read_stream", '{"channel":"streamless:a3","limit":-1}'),
        ("map_publish", '{"channel":"streamless:a3","key":"k","data":1,"version":1}'),
        ("map_publish", '{"channel":"streamless:a3","key":"k","data":1,"version":1}'),
        ("map_remove", '{"channel":"streamless:a3","key":"k"}'),
    ),
    _calls(
        "errors",
        ("map_publish", '{"channel":"board:a4","data":1}'),
        ("map_publish", '{"channel":"board:a4","key":"k"}'),
        ("map_publish", '{"channel":"board:a4","key":"k","b64data":"*"}'),
        ("map_publish", '{"channel":"board:a4","key":"k","b64data":"eyJ4IjoxfQ=="}'),
        ("map_remove", '{"channel":"board:a4"}'),
        *(
            (method, f'{{"channel":"{name}","key":"k","data":1,"limit":1}}')
            for method in ("map_publish", "map_remove", "map_read_state", "map_read_stream", "map_stats", "map_clear")
            for name in ("", "nowhere:a", "plain:a", "poll:a")
        ),
        ("publish", '{"channel":"board:a4","data":1}'),
        ("history", '{"channel":"board:a4"}'),
        ("presence", '{"channel":"board:a4"}'),
    ),
]

SCENARIOS = [*STATE, *REFUSED, *RECOVERY, *PUBLISHING, *API]
