"""The comparer sees what a client could see, and no more."""

import pytest

from .compare import ABSENT, Difference, compare
from .explanation import Explanation, out_of_date, unexplained
from .json_text import NotJson, parse
from .normalise import transcript
from .protobuf import commands, decode, split


def _differences(recorded: str, ours: str) -> list[Difference]:
    return compare([{"messages": {"a": [recorded]}}], [{"messages": {"a": [ours]}}])


@pytest.mark.parametrize(
    ("recorded", "ours", "path"),
    [
        ('{"id":1,"publish":{}}', '{"id":2,"publish":{}}', ".id"),
        ('{"id":1,"publish":{}}', '{"id":1}', ".publish"),
        ('{"id":1}', '{"id":1,"error":null}', ".error"),
        ('{"a":1,"b":2}', '{"b":2,"a":1}', " (order of keys)"),
        ('{"a":1.0}', '{"a":1}', ".a"),
        ('{"a":"\\u00e9"}', '{"a":"é"}', ".a"),
        ('{"a":[1,2]}', '{"a":[1,3]}', ".a[1]"),
        ('{"a":[1]}', '{"a":[1,2]}', ".a"),
        ('{"a":{"b":1}}', '{"a":{"b": 1}}', ".a"),
        ('{"a":1}', "not JSON", ""),
    ],
)
def test_a_difference_is_found_where_it_is(recorded: str, ours: str, path: str) -> None:
    assert [found.path for found in _differences(recorded, ours)] == [f"step[0].messages.a[0]{path}"]


def test_what_is_equal_does_not_differ() -> None:
    assert _differences('{"a":{"b":[1, 2]}}', '{"a":{"b":[1, 2]}}') == []


def test_a_missing_message_and_a_missing_step_are_differences() -> None:
    assert [found.path for found in compare([{}, {"http": 1}], [{}])] == ["steps"]
    assert [found.path for found in compare([{"messages": {"a": ["{}"]}}], [{}])] == ["step[0].messages"]


def test_channels_may_share_an_epoch_but_one_of_theirs_is_one_of_ours() -> None:
    recorded = [{"messages": {"a": ['{"epoch":"epoch-1"}', '{"epoch":"epoch-2"}', '{"epoch":"epoch-1"}']}}]
    shared = [{"messages": {"a": ['{"epoch":"epoch-1"}', '{"epoch":"epoch-1"}', '{"epoch":"epoch-1"}']}}]
    changed = [{"messages": {"a": ['{"epoch":"epoch-1"}', '{"epoch":"epoch-1"}', '{"epoch":"epoch-2"}']}}]
    assert compare(recorded, shared) == []
    assert [found.path for found in compare(recorded, changed)] == ["step[0].messages.a[2].epoch"]


FULL = '{"push":{"channel":"c","pub":{"data":"abcdefghijklmnopqrstuvwxyz"}}}'
DELTA = '{"push":{"channel":"c","pub":{"data":"R\\nQ@0,1:!3z1B6K;","delta":true}}}'
OTHER = '{"push":{"channel":"c","pub":{"data":"R\\nP@0,2:z!3z1B6K;","delta":true}}}'


def test_deltas_that_lead_to_the_same_payload_do_not_differ() -> None:
    assert compare([{"messages": {"a": [FULL, DELTA]}}], [{"messages": {"a": [FULL, OTHER]}}]) == []


def test_a_delta_that_leads_nowhere_differs() -> None:
    (found,) = compare([{"messages": {"a": [FULL, DELTA]}}], [{"messages": {"a": [FULL, DELTA.replace("Q@0", "Q@1")]}}])
    assert found.path == "step[0].messages.a[1].push.pub.data"
    assert found.recorded == '"abcdefghijklmnopqrstuvwxyz!"'


FOUND = {"one: a": [Difference("step[1].x", "1", ABSENT)], "one: b": [Difference("step[2].x", "1", "2")]}


@pytest.mark.parametrize(
    ("explanation", "left"),
    [
        (Explanation("all", ("*",)), []),
        (Explanation("by scenario", ("one: a",)), ["one: b"]),
        (Explanation("by path", ("one: *",), ("*[2].*",)), ["one: a"]),
        (Explanation("by what was recorded", ("*",), recorded="2"), ["one: a", "one: b"]),
        (Explanation("by what is ours", ("*",), ours=ABSENT), ["one: b"]),
    ],
)
def test_an_explanation_is_for_what_fits_it(explanation: Explanation, left: list[str]) -> None:
    assert [name for name, found in FOUND.items() if unexplained([explanation], name, found)] == left


def test_every_pattern_of_an_explanation_must_fit_something() -> None:
    assert out_of_date([Explanation("good", ("one: *", "*: a"), ("*.x",))], FOUND) == []
    stale = [Explanation("old", ("one: a", "two"), ("*.x", "*.y")), Explanation("never", ("*",), ours="3")]
    assert out_of_date(stale, FOUND) == [("old", "two"), ("old", "*.y"), ("never", "*"), ("never", "*")]


def _messages(*texts: str) -> list[str]:
    return list(transcript([{"messages": {"a": list(texts)}}])[0]["messages"]["a"])


def test_ids_and_epochs_are_named_in_order_of_appearance() -> None:
    first, second = "5a0e6f0e-0000-4000-8000-000000000001", "5a0e6f0e-0000-4000-8000-000000000002"
    assert _messages(
        f'{{"client":"{second}","epoch":"abcdefgh"}}',
        f'{{"client":"{first}","epoch":"ijklmnop"}}',
        f'{{"x":"{second}"}}',
    ) == ['{"client":"uuid-1","epoch":"epoch-1"}', '{"client":"uuid-2","epoch":"epoch-2"}', '{"x":"uuid-1"}']


def test_data_of_applications_is_kept_to_the_byte() -> None:
    assert _messages('{"data":{"epoch" : "x","ttl":5}}') == ['{"data":{"epoch" : "x","ttl":5}}']


def test_maps_are_compared_without_their_order() -> None:
    assert _messages('{"tags":{"b":"1","a":"2"}}') == _messages('{"tags":{"a":"2","b":"1"}}')


def test_a_publish_reply_may_come_before_or_after_the_push() -> None:
    reply, push = '{"id":3,"publish":{}}', '{"push":{"channel":"c","pub":{"data":1}}}'
    assert _messages(reply, push) == _messages(push, reply)


def test_a_join_before_the_reply_to_the_subscribe_is_reported() -> None:
    reply, join = '{"id":2,"subscribe":{}}', '{"push":{"channel":"c","join":{"info":{"user":"","client":"x"}}}}'
    assert "early" not in transcript([{"messages": {"a": [reply, join]}}])[0]
    assert transcript([{"messages": {"a": [join, reply]}}])[0]["early"]


@pytest.mark.parametrize("text", ["", "{", '{"a"}', "[1,]x", '{"a":1}}', "nul"])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(NotJson):
        parse(text)


def test_the_protobuf_example_of_the_protocol() -> None:
    assert commands('{"id":3,"unsubscribe":{"channel":"ab"}}').hex() == "08080332040a026162"
    messages, rest = split(bytes.fromhex("0408033a0004"))
    assert [decode("Reply", message) for message in messages] == ['{"id":3,"unsubscribe":{}}']
    assert rest == b"\x04"
