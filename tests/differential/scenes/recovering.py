"""Positions and recovery, delta compression, tags filters."""

from tests.differential.scenario import Lapse, Scenario, Send, Step, api

from .building import command, joined


def _publish(channel: str, *numbers: int) -> list[Step]:
    return [api("publish", f'{{"channel":"{channel}","data":{{"n":{n}}}}}') for n in numbers]


def _recover(channel: str, fields: str, id: int) -> str:
    return f'{{"id":{id},"subscribe":{{"channel":"{channel}","recover":true{"," if fields else ""}{fields}}}}}'


def _recovery(name: str, channel: str, count: int, *fields: str) -> Scenario:
    """Each request on the same connection, unsubscribing between them."""
    steps: list[Step] = [*_publish(channel, *range(1, count + 1)), *joined()]
    for n, text in enumerate(fields):
        steps += [
            Send("a", _recover(channel, text, 10 * n + 2)),
            Send("a", command(10 * n + 3, "unsubscribe", channel=channel)),
        ]
    return Scenario(f"recovery: {name}", tuple(steps))


EPOCH = '"epoch":"${api.epoch}"'
CASES = [
    _recovery(
        "from every offset",
        "rec:r1",
        4,
        f'"offset":0,{EPOCH}',
        f'"offset":1,{EPOCH}',
        f'"offset":3,{EPOCH}',
        f'"offset":4,{EPOCH}',
        f'"offset":5,{EPOCH}',
        f'"offset":100,{EPOCH}',
    ),
    _recovery(
        "epochs", "rec:r2", 2, '"offset":1', '"offset":1,"epoch":""', '"offset":1,"epoch":"_"', "", '"epoch":"wrong"'
    ),
    _recovery(
        "from beyond what is kept",
        "small:r3",
        5,
        f'"offset":0,{EPOCH}',
        f'"offset":2,{EPOCH}',
        f'"offset":3,{EPOCH}',
        f'"offset":4,{EPOCH}',
    ),
    _recovery(
        "flags",
        "small:r4",
        5,
        f'"offset":1,{EPOCH},"flag":1',
        f'"offset":1,{EPOCH},"flag":2',
        f'"offset":1,{EPOCH},"flag":3',
        f'"offset":4,{EPOCH},"flag":3',
        '"offset":4,"epoch":"wrong","flag":3',
        f'"offset":9,{EPOCH},"flag":3',
    ),
    _recovery(
        "of a stream that never was",
        "rec:r5",
        0,
        '"offset":0',
        '"offset":0,"epoch":"old"',
        '"offset":3',
        '"flag":3,"offset":3',
    ),
    _recovery("as asked, allowed", "open:r6", 2, f'"recoverable":true,"offset":1,{EPOCH}', f'"offset":1,{EPOCH}'),
    _recovery("positioned only", "forcepos:r7", 2, f'"offset":1,{EPOCH}', f'"offset":1,{EPOCH},"flag":3'),
    _recovery(
        "mode cache",
        "cache:r8",
        3,
        f'"offset":3,{EPOCH}',
        f'"offset":2,{EPOCH}',
        f'"offset":0,{EPOCH}',
        "",
        '"offset":3,"epoch":"wrong"',
        f'"offset":9,{EPOCH}',
        '"offset":3,"epoch":"wrong","flag":3',
    ),
    _recovery("mode cache, nothing there", "cache:r9", 0, "", '"offset":1,"epoch":"x"', '"offset":1,"flag":3'),
]

MORE = [
    Scenario(
        "recovery: without asking, mode cache",
        (
            *joined(),
            Send("a", command(2, "subscribe", channel="autocache:m1")),
            Send("a", command(3, "unsubscribe", channel="autocache:m1")),
            *_publish("autocache:m1", 1, 2),
            Send("a", command(4, "subscribe", channel="autocache:m1")),
            Send("a", command(5, "unsubscribe", channel="autocache:m1")),
            Send("a", command(6, "subscribe", channel="autocache:m1", recover=False, offset=2)),
        ),
    ),
    Scenario(
        "recovery: live after it",
        (
            *_publish("rec:m2", 1, 2),
            *joined(),
            Send("a", _recover("rec:m2", f'"offset":1,{EPOCH}', 2)),
            *_publish("rec:m2", 3),
            Send("a", command(3, "publish", channel="rec:m2", data={"n": 4})),
        ),
    ),
    Scenario(
        "recovery: history removed",
        (
            *_publish("rec:m3", 1, 2, 3),
            api("history_remove", '{"channel":"rec:m3"}'),
            *joined(),
            Send("a", _recover("rec:m3", f'"offset":2,{EPOCH}', 2)),
            Send("a", command(3, "unsubscribe", channel="rec:m3")),
            Send("a", _recover("rec:m3", f'"offset":3,{EPOCH}', 4)),
            *_publish("rec:m3", 4),
        ),
    ),
    Scenario(
        "recovery: skipped history",
        (
            *joined(),
            Send("a", command(2, "subscribe", channel="rec:m4")),
            *_publish("rec:m4", 1),
            api("publish", '{"channel":"rec:m4","data":{"n":"s"},"skip_history":true}'),
            *_publish("rec:m4", 2),
        ),
    ),
]

ROOM = '{"room":"kitchen","temperature":21.5,"humidity":40,"n":1,"text":"the quick brown fox jumps over the lazy dog"}'


def _delta(channel: str, text: str) -> Step:
    return api("publish", f'{{"channel":"{channel}","data":{text}}}')


def _rooms(channel: str, count: int) -> list[Step]:
    return [_delta(channel, ROOM.replace('"n":1', f'"n":{n}')) for n in range(1, count + 1)]


DELTA = [
    Scenario(
        "delta: live",
        (
            *joined("a"),
            *joined("b"),
            Send("a", command(2, "subscribe", channel="delta:d1", delta="fossil")),
            Send("b", command(2, "subscribe", channel="delta:d1")),
            *_rooms("delta:d1", 3),
            _delta("delta:d1", "1"),
            _delta("delta:d1", '{"spaces" : "é\\u00e9", "a":"' + "x" * 80 + '"}'),
            _delta("delta:d1", '{"spaces" : "é\\u00e9", "b":"' + "x" * 80 + '"}'),
            _delta("delta:d1", '{"spaces" : "é\\u00e9", "b":"' + "x" * 80 + '"}'),
            Send("b", command(3, "history", channel="delta:d1", limit=3)),
            Send("a", f'{{"id":4,"publish":{{"channel":"delta:d1","data":{ROOM}}}}}'),
        ),
    ),
    Scenario(
        "delta: subscribing between",
        (
            *_rooms("delta:d2", 2),
            *joined(),
            Send("a", command(2, "subscribe", channel="delta:d2", delta="fossil")),
            *_rooms("delta:d2", 2),
        ),
    ),
    Scenario(
        "delta: recovery",
        (
            *_rooms("delta:d3", 4),
            *joined(),
            Send("a", _recover("delta:d3", f'"offset":1,{EPOCH},"delta":"fossil"', 2)),
            *_rooms("delta:d3", 1),
            Send("a", command(3, "unsubscribe", channel="delta:d3")),
            Send("a", _recover("delta:d3", f'"offset":5,{EPOCH},"delta":"fossil"', 4)),
            *_rooms("delta:d3", 1),
            Send("a", command(5, "unsubscribe", channel="delta:d3")),
            Send("a", _recover("delta:d3", '"offset":5,"epoch":"wrong","delta":"fossil"', 6)),
            *_rooms("delta:d3", 2),
        ),
    ),
    Scenario(
        "delta: by the publisher",
        (
            *joined(),
            Send("a", command(2, "subscribe", channel="deltaopt:d4", delta="fossil")),
            api("publish", f'{{"channel":"deltaopt:d4","data":{ROOM}}}'),
            api("publish", f'{{"channel":"deltaopt:d4","data":{ROOM}}}'),
            api("publish", f'{{"channel":"deltaopt:d4","delta":true,"data":{ROOM}}}'),
            api("publish", f'{{"channel":"deltaopt:d4","delta":true,"data":{ROOM}}}'),
            api("publish", f'{{"channel":"deltaopt:d4","delta":true,"data":{ROOM}}}'),
            api("publish", f'{{"channel":"deltaopt:d4","delta":true,"data":{ROOM},"skip_history":true}}'),
            api("publish", f'{{"channel":"deltaopt:d4","delta":true,"data":{ROOM}}}'),
            api("publish", f'{{"channel":"deltaopt:d4","delta":true,"data":{ROOM}}}'),
            api("publish", f'{{"channel":"deltaopt:d4","data":{ROOM}}}'),
            api("publish", f'{{"channel":"deltaopt:d4","delta":true,"data":{ROOM}}}'),
        ),
    ),
    Scenario(
        "delta: tags and info",
        (
            *joined(),
            Send("a", command(2, "subscribe", channel="delta:d5", delta="fossil")),
            api("publish", f'{{"channel":"delta:d5","data":{ROOM},"tags":{{"a":"b"}}}}'),
            api("publish", f'{{"channel":"delta:d5","data":{ROOM},"tags":{{"a":"b"}}}}'),
        ),
    ),
    Scenario(
        "delta: a boundary within a character",
        (
            *joined(),
            Send("a", command(2, "subscribe", channel="delta:d6", delta="fossil")),
            _delta("delta:d6", '"' + "a" * 40 + "é" + "b" * 40 + '"'),
            _delta("delta:d6", '"' + "a" * 40 + "è" + "b" * 40 + '"'),
            _delta("delta:d6", '"' + "a" * 40 + "ĩ" + "b" * 40 + '"'),
        ),
    ),
]

PUBLISHED = [
    '"tags":{"lang":"en","price":"10.50"},"data":1',
    '"tags":{"lang":"de"},"data":2',
    '"data":3',
    '"tags":{"lang":"english","level":"debug","price":"-3"},"data":4',
]
FILTERS = {
    "eq": '{"key":"lang","cmp":"eq","val":"en"}',
    "neq": '{"key":"lang","cmp":"neq","val":"en"}',
    "in": '{"key":"lang","cmp":"in","vals":["en","de"]}',
    "nin": '{"key":"lang","cmp":"nin","vals":["en","de"]}',
    "ex": '{"key":"level","cmp":"ex"}',
    "nex": '{"key":"level","cmp":"nex"}',
    "sw": '{"key":"lang","cmp":"sw","val":"en"}',
    "ew": '{"key":"lang","cmp":"ew","val":"ish"}',
    "ct": '{"key":"lang","cmp":"ct","val":"gli"}',
    "gt": '{"key":"price","cmp":"gt","val":"10.5"}',
    "gte": '{"key":"price","cmp":"gte","val":"10.5"}',
    "lt": '{"key":"price","cmp":"lt","val":"0"}',
    "lte": '{"key":"price","cmp":"lte","val":"1e1"}',
    "gt of no number": '{"key":"lang","cmp":"gt","val":"1"}',
    "and": '{"op":"and","nodes":[{"key":"lang","cmp":"ex"},{"key":"price","cmp":"gt","val":"0"}]}',
    "or": '{"op":"or","nodes":[{"key":"lang","cmp":"eq","val":"de"},{"key":"level","cmp":"ex"}]}',
    "not": '{"op":"not","nodes":[{"key":"lang","cmp":"eq","val":"en"}]}',
    "deep": '{"op":"and","nodes":[{"op":"not","nodes":[{"op":"or","nodes":[{"key":"lang","cmp":"eq","val":"de"}]}]}]}',
    "with delta": '{"key":"lang","cmp":"eq","val":"en"},"delta":"fossil"',
    "no key": '{"cmp":"eq","val":"en"}',
    "no cmp": '{"key":"lang","val":"en"}',
    "unknown cmp": '{"key":"lang","cmp":"like","val":"en"}',
    "cmp in capitals": '{"key":"lang","cmp":"EQ","val":"en"}',
    "unknown op": '{"op":"xor","nodes":[{"key":"lang","cmp":"ex"}]}',
    "no val": '{"key":"lang","cmp":"eq"}',
    "empty val": '{"key":"lang","cmp":"eq","val":""}',
    "no vals": '{"key":"lang","cmp":"in"}',
    "val and vals": '{"key":"lang","cmp":"eq","val":"en","vals":["en"]}',
    "in with val": '{"key":"lang","cmp":"in","val":"en","vals":["en"]}',
    "ex with val": '{"key":"lang","cmp":"ex","val":"en"}',
    "gt of a word": '{"key":"price","cmp":"gt","val":"x"}',
    "and without nodes": '{"op":"and"}',
    "not with two": '{"op":"not","nodes":[{"key":"a","cmp":"ex"},{"key":"b","cmp":"ex"}]}',
    "and with a key": '{"op":"and","key":"lang","nodes":[{"key":"lang","cmp":"ex"}]}',
    "leaf with nodes": '{"key":"lang","cmp":"ex","nodes":[{"key":"lang","cmp":"ex"}]}',
    "empty": "{}",
    "null": "null",
    "a string": '"lang=en"',
}


def _filtered(position: int, name: str, text: str) -> Scenario:
    channel = f"tags:f{position}"
    subscribe = f'{{"id":2,"subscribe":{{"channel":"{channel}","tf":{text}}}}}'
    return Scenario(
        f"tags filter: {name}",
        (*joined(), Send("a", subscribe), *(api("publish", f'{{"channel":"{channel}",{p}}}') for p in PUBLISHED)),
    )


TAGS = [_filtered(position, name, text) for position, (name, text) in enumerate(FILTERS.items())]
MORE_TAGS = [
    # A filter with a null node ends the reference's process: it cannot be recorded.
    Scenario(
        "tags filter: where not allowed",
        (*joined(), Send("a", '{"id":2,"subscribe":{"channel":"rec:tf","tf":{"key":"a","cmp":"ex"}}}')),
    ),
    Scenario(
        "tags filter: recovery",
        (
            *(api("publish", f'{{"channel":"tags:rec",{p}}}') for p in PUBLISHED),
            *joined(),
            Send("a", _recover("tags:rec", f'"offset":0,{EPOCH},"tf":{{"key":"lang","cmp":"sw","val":"en"}}', 2)),
            Send("a", command(3, "unsubscribe", channel="tags:rec")),
            Send("a", _recover("tags:rec", f'"offset":1,{EPOCH},"tf":{{"key":"lang","cmp":"eq","val":"en"}}', 4)),
        ),
    ),
]

EXPIRY = [
    Scenario(
        "recovery: what expired is gone, offset and epoch stay",
        (
            *_publish("short:e", 1, 2),
            Lapse(2.6),
            *joined(),
            Send("a", _recover("short:e", f'"offset":1,{EPOCH}', 2)),
            api("history", '{"channel":"short:e","limit":10}'),
            *_publish("short:e", 3),
        ),
    ),
]

SCENARIOS = [*CASES, *MORE, *DELTA, *TAGS, *MORE_TAGS, *EXPIRY]
