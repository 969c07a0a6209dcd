"""What receivers are sent for the events of a channel: made once for all who are sent the same."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from centrifuge.fossil import apply_delta
from hypothesis import example, given
from hypothesis import strategies as st
from tests.hub.fakes import FakeTransport, TupleFraming

from hubbub import Member, Position, Publication
from hubbub.errors import WrongProtocol
from hubbub.hub.encodings import (
    HOLD,
    Ahead,
    Encoding,
    Filtered,
    FilteredMap,
    Held,
    deltas,
    frame,
    map_deltas,
    plain,
    pushes,
)
from hubbub.protocol.codecs import JSON, PROTOBUF, UNIDIRECTIONAL, Codec
from hubbub.protocol.commands import FilterNode
from hubbub.protocol.filters import Filter
from hubbub.protocol.publication import NO_DATA, Event, Json, Payload, Presence

ANNA = Member("anna", "c1")
LONG = "x" * 60


def said(encoding: Encoding, *events: Event, before: Publication | None = None) -> list[dict[str, Any]]:
    """The pushes that receivers of an encoding for JSON are sent."""
    batch = encoding.join("room", events, before)
    lines = [line for message in batch or () for line in message.split("\n")]
    return [json.loads(line)["push"] for line in lines]


def text(number: int) -> Json:
    return Json(json.dumps({"text": LONG, "n": number}))


def kept(number: int, *, delta: bool = True, **more: Any) -> Publication:
    return Publication(text(number), number, "epoch", delta=delta, **more)


# Clients of hub.connect


def test_plain_clients_get_the_data_of_publications_alone() -> None:
    encoding = plain(TupleFraming())
    events: Sequence[Event] = [
        Publication("text"),
        Presence(ANNA, joined=True),
        Publication(b"\xff", 3, "epoch", ANNA),
        Publication(NO_DATA, key="k", removed=True),
        Publication(Json("1")),
    ]
    assert encoding.join("room", events, None) == ("text", b"\xff", "1")
    assert encoding.join("room", [Presence(ANNA, joined=False)], None) is None


def test_a_batch_is_pushed_to_all_receivers_of_its_encoding_and_none_disturbs_another() -> None:
    class Broken(FakeTransport):
        def push(self, batch: tuple[Payload, ...]) -> None:
            raise OSError("broken pipe")

    receivers = [FakeTransport(), Broken(), FakeTransport()]
    plain(TupleFraming()).push_all(("one",), receivers)
    assert [receiver.received for receiver in receivers] == [["one"], [], ["one"]]
    assert [receiver.aborted for receiver in receivers] == [False, True, False]


# Sessions


def test_sessions_get_pushes_of_one_message() -> None:
    encoding = pushes(TupleFraming(), JSON, presence=True)
    events: list[Event] = [
        Publication(Json('{"a": 1}'), 2, "epoch", ANNA, {"lang": "en"}),
        Presence(ANNA, joined=True),
        Presence(ANNA, joined=False),
    ]
    (message,) = encoding.join("room", events, None)
    assert message.split("\n") == [
        '{"push":{"channel":"room","pub":{"data":{"a": 1},"info":{"user":"anna","client":"c1"},"offset":2,'
        '"tags":{"lang":"en"}}}}',
        '{"push":{"channel":"room","join":{"info":{"user":"anna","client":"c1"}}}}',
        '{"push":{"channel":"room","leave":{"info":{"user":"anna","client":"c1"}}}}',
    ]


def test_who_comes_and_leaves_is_told_to_those_alone_who_want_to_know() -> None:
    encoding = pushes(TupleFraming(), JSON, presence=False)
    assert encoding.join("room", [Presence(ANNA, joined=True)], None) is None
    assert [list(push) for push in said(encoding, Presence(ANNA, joined=True), Publication(Json("1")))] == [
        ["channel", "pub"]
    ]


def test_the_first_publication_of_a_stream_tells_its_epoch() -> None:
    encoding = pushes(TupleFraming(), JSON, presence=False)
    first, second = said(encoding, kept(1), kept(2))
    assert first["pub"]["epoch"] == "epoch"
    assert "epoch" not in second["pub"]


@pytest.mark.parametrize(
    ("codec", "message"),
    [
        (JSON, '{"push":{"channel":"room","pub":{"data":1}}}'),
        (UNIDIRECTIONAL, '{"channel":"room","pub":{"data":1}}'),
        (PROTOBUF, bytes.fromhex("0d220b 1204726f6f6d 2203 220131")),
    ],
)
def test_each_encoding_of_the_protocol_has_its_own_form(codec: Codec, message: Payload) -> None:
    assert pushes(TupleFraming(), codec, presence=False).join("room", [Publication(Json("1"))], None) == (message,)


def test_what_an_encoding_cannot_carry_ends_its_receivers() -> None:
    with pytest.raises(WrongProtocol):
        pushes(TupleFraming(), JSON, presence=False).join("room", [Publication(b"\xff")], None)
    assert pushes(TupleFraming(), PROTOBUF, presence=False).join("room", [Publication(b"\xff")], None)


def test_equal_encodings_are_one() -> None:
    framing = TupleFraming()
    assert plain(framing) is plain(framing)
    assert pushes(framing, JSON, presence=True) is pushes(framing, JSON, presence=True)
    assert deltas(framing, JSON, presence=True, fresh=True) is deltas(framing, JSON, presence=True, fresh=True)
    different = {
        plain(framing),
        plain(TupleFraming()),
        pushes(framing, JSON, presence=True),
        pushes(framing, JSON, presence=False),
        pushes(framing, PROTOBUF, presence=True),
        deltas(framing, JSON, presence=True, fresh=True),
        deltas(framing, JSON, presence=True, fresh=False),
        map_deltas(framing, JSON, presence=True),
    }
    assert len(different) == 8


# Deltas


def read(push: dict[str, Any], base: str | None) -> str:
    """The payload as an SDK reads it."""
    data = push["pub"]["data"]
    if not push["pub"].get("delta"):
        return str(data)
    assert base is not None, "a delta without anything to apply it to"
    return bytes(apply_delta(base.encode(), data.encode())).decode()


def test_a_fresh_receiver_gets_the_first_in_full_and_then_what_differs() -> None:
    fresh = deltas(TupleFraming(), JSON, presence=False, fresh=True)
    one, two, three = said(fresh, kept(1), kept(2), kept(3), before=kept(0))
    assert [push["pub"].get("delta", False) for push in (one, two, three)] == [False, True, True]
    assert one["pub"]["data"] == text(1), "as a string that holds the text"
    assert read(two, text(1)) == text(2)
    assert read(three, text(2)) == text(3)


def test_a_receiver_that_has_the_one_before_gets_what_differs_from_it() -> None:
    chained = deltas(TupleFraming(), JSON, presence=False, fresh=True).after([kept(1)])
    assert chained.after([kept(2)]) is chained
    assert chained.needs_before
    (push,) = said(chained, kept(2), before=kept(1))
    assert push["pub"]["delta"] is True
    assert read(push, text(1)) == text(2)
    (push,) = said(chained, kept(2))
    assert "delta" not in push["pub"], "without one before, in full"
    assert push["pub"]["data"] == text(2)


def test_presence_does_not_count_as_one_before() -> None:
    chained = deltas(TupleFraming(), JSON, presence=True, fresh=False)
    pub, join, other = said(chained, kept(1), Presence(ANNA, joined=True), kept(2))
    assert list(join) == ["channel", "join"]
    assert pub["pub"]["data"] == text(1)
    assert read(other, text(1)) == text(2)


def test_what_is_not_to_be_a_delta_or_would_be_longer_is_sent_in_full() -> None:
    chained = deltas(TupleFraming(), JSON, presence=False, fresh=False)
    (push,) = said(chained, kept(2, delta=False), before=kept(1))
    assert push["pub"] == {"data": text(2), "offset": 2}
    short = Publication(Json("2"), 2, "epoch", delta=True)
    (push,) = said(chained, short, before=kept(1))
    assert push["pub"] == {"data": "2", "offset": 2}
    (push,) = said(chained, kept(2), before=Publication(NO_DATA, 1, "epoch"))
    assert push["pub"]["data"] == text(2), "no data is nothing to differ from"


def test_a_delta_that_cuts_a_character_in_two_is_sent_in_full_in_json_and_as_bytes_in_protobuf() -> None:
    before = Publication(Json(f'"{LONG}é"'), 1, "epoch", delta=True)
    after = Publication(Json(f'"{LONG}è"'), 2, "epoch", delta=True)
    (push,) = said(deltas(TupleFraming(), JSON, presence=False, fresh=False), after, before=before)
    assert read(push, str(before.data)) == after.data
    (message,) = deltas(TupleFraming(), PROTOBUF, presence=False, fresh=False).join("room", [after], before)
    assert len(message) < 60


@given(st.lists(st.text(max_size=80), min_size=1, max_size=6), st.integers(1, 5))
def test_whoever_comes_when_can_always_read_what_it_is_sent(texts: list[str], size: int) -> None:
    published = [Publication(Json(json.dumps(one)), number, "e", delta=True) for number, one in enumerate(texts, 1)]
    for come in range(len(published)):
        encoding: Encoding = deltas(TupleFraming(), JSON, presence=False, fresh=True)
        base = None
        for at in range(come, len(published), size):
            events = published[at : at + size]
            for push, publication in zip(
                said(encoding, *events, before=published[at - 1] if at else None), events, strict=True
            ):
                base = read(push, base)
                assert base == publication.data
            encoding = encoding.after(events)


def test_entries_of_a_map_differ_from_what_they_were_before() -> None:
    encoding = map_deltas(TupleFraming(), JSON, presence=False)
    other = Publication(text(7), 7, "epoch", key="b", delta=True)
    (push,) = said(encoding, kept(9, key="a", before=kept(3, key="a")), before=other)
    assert read(push, text(3)) == text(9)
    (push,) = said(encoding, kept(9, key="a"), before=other)
    assert push["pub"] == {"data": text(9), "offset": 9, "key": "a"}


# Filters


def tagged(key: str, value: str) -> Filter:
    return Filter.parse(FilterNode(key=key, cmp="eq", val=value))


def test_who_filters_gets_what_matches_and_who_comes_and_leaves() -> None:
    encoding = Filtered(pushes(TupleFraming(), JSON, presence=True), tagged("lang", "en"))
    english, german = Publication(Json("1"), tags={"lang": "en"}), Publication(Json("2"), tags={"lang": "de"})
    heard = said(encoding, german, english, Presence(ANNA, joined=True), Publication(Json("3")))
    assert [list(push)[1] for push in heard] == ["pub", "join"]
    assert heard[0]["pub"]["data"] == 1
    assert encoding.join("room", [german], None) is None


class Counting(Filter):
    """Matches everything, and counts how often it is hashed."""

    hashed = 0

    def __hash__(self) -> int:
        self.hashed += 1
        return 0

    def matches(self, tags: Any) -> bool:
        return True


def test_a_filter_is_hashed_once_however_often_its_encoding_is_looked_for() -> None:
    wanted = Counting()
    encoding = Filtered(pushes(TupleFraming(), JSON, presence=False), wanted)
    for _ in range(3):
        assert encoding in {encoding}
        assert Ahead(encoding, Position(1, "e")) in {Ahead(encoding, Position(1, "e"))}
    assert wanted.hashed == 1


def test_a_filter_costs_more_than_a_push_wherever_its_receivers_stand() -> None:
    encoding = pushes(TupleFraming(), JSON, presence=False)
    filtered = Filtered(encoding, Counting())
    assert encoding.cost < filtered.cost == Ahead(filtered, Position(1, "e")).cost


def test_equal_filters_of_one_encoding_are_one_and_share_their_batches() -> None:
    framing = TupleFraming()
    encoding, other = pushes(framing, JSON, presence=True), pushes(framing, JSON, presence=False)
    one, same = Filtered(encoding, tagged("lang", "en")), Filtered(encoding, tagged("lang", "en"))
    assert one == same
    assert hash(one) == hash(same)
    assert one.framing is framing
    assert one not in (
        Filtered(encoding, tagged("lang", "de")),
        Filtered(other, tagged("lang", "en")),
        FilteredMap(encoding, tagged("lang", "en")),
        encoding,
    )


def test_an_entry_that_does_not_match_any_more_is_removed_for_those_who_saw_it() -> None:
    encoding = FilteredMap(pushes(TupleFraming(), JSON, presence=False), tagged("lang", "en"))
    seen = Publication(Json("1"), 1, "e", tags={"lang": "en"}, key="k")
    changed = Publication(Json("2"), 2, "e", tags={"lang": "de"}, key="k", before=seen)
    again = Publication(Json("3"), 3, "e", tags={"lang": "de"}, key="k", before=changed)
    new = Publication(Json("4"), 4, "e", tags={"lang": "de"}, key="new")
    heard = said(encoding, seen, changed, again, new)
    assert [push["pub"] for push in heard] == [
        {"data": 1, "offset": 1, "tags": {"lang": "en"}, "key": "k", "epoch": "e"},
        {"key": "k", "removed": True, "offset": 2},
    ]


# Sessions that have read further than was delivered


def test_who_is_ahead_gets_what_is_new_to_it_and_all_that_is_not_counted() -> None:
    ahead = Ahead(pushes(TupleFraming(), JSON, presence=True), Position(3, "epoch"))
    uncounted, other = Publication(Json("0")), kept(1)._replace(epoch="other")
    heard = said(ahead, kept(2), uncounted, kept(3), Presence(ANNA, joined=True), kept(4), other)
    assert [list(push)[1] for push in heard] == ["pub", "join", "pub", "pub"]
    assert [push["pub"].get("offset", 0) for push in heard if "pub" in push] == [0, 4, 1]
    assert ahead.join("room", [kept(2), kept(3)], None) is None


def test_who_is_ahead_has_what_it_read_as_a_base_for_deltas() -> None:
    chained = deltas(TupleFraming(), JSON, presence=False, fresh=False)
    ahead = Ahead(chained, Position(3, "epoch"))
    assert ahead.needs_before
    assert ahead.framing is chained.framing
    (push,) = said(ahead, kept(2), Presence(ANNA, joined=True), kept(3), kept(4))
    assert read(push, text(3)) == text(4)
    (push,) = said(ahead, Presence(ANNA, joined=True), kept(4), before=kept(3))
    assert read(push, text(3)) == text(4)


def test_who_is_ahead_is_like_the_others_when_what_it_read_has_come() -> None:
    fresh = deltas(TupleFraming(), JSON, presence=True, fresh=True)
    chained = fresh.after([kept(1)])
    ahead = Ahead(fresh, Position(3, "epoch"))
    for events in ([], [kept(2)], [Presence(ANNA, joined=True)], [Publication(Json("1"))]):
        assert ahead.after(events) is ahead
    assert ahead.after([kept(2), kept(3)]) is fresh
    assert ahead.after([kept(3), kept(4)]) is chained
    assert ahead.after([kept(1)._replace(epoch="other")]) is chained


def test_who_is_ahead_by_the_same_shares_its_batches() -> None:
    framing = TupleFraming()
    encoding, other = pushes(framing, JSON, presence=True), pushes(framing, JSON, presence=False)
    one, same = Ahead(encoding, Position(3, "e")), Ahead(encoding, Position(3, "e"))
    assert one == same
    assert hash(one) == hash(same)
    assert one not in (Ahead(other, Position(3, "e")), Ahead(encoding, Position(4, "e")), encoding)


# Sessions that are about to join


def test_what_is_held_are_the_events_themselves() -> None:
    one, other = Held(), Held()
    events = [Publication("x"), Presence(ANNA, joined=True)]
    batch = HOLD.join("room", events, None)
    HOLD.push_all(batch, [one, other])
    HOLD.push_all(batch, [one])
    assert list(one) == [*events, *events]
    assert list(other) == events
    assert Held() not in [Held()], "two are two, even with the same in them"
    assert len({one, other, one}) == 2


# Messages


@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=12))
@example([1, 1, 1, 1, 1, 1, 1, 32_755])
def test_messages_are_joined_up_to_a_size_that_clients_take_and_in_order(sizes: list[int]) -> None:
    messages: list[Payload] = [chr(97 + number) * size for number, size in enumerate(sizes)]
    batch = frame(TupleFraming(), JSON, messages)
    assert "\n".join(batch).split("\n") == messages
    for joined in batch:
        assert len(joined) <= 32 * 1024 or "\n" not in joined, "only one that is larger by itself"
    for one, other in pairwise(batch):
        assert len(f"{one}\n{other}") > 32 * 1024, "two would have been one"


def test_the_size_of_a_message_is_that_on_the_wire() -> None:
    messages: list[Payload] = ["é" * 10_000, "é" * 10_000]
    assert len(frame(TupleFraming(), JSON, messages)) == 2
    assert len(frame(TupleFraming(), JSON, ["e" * 10_000] * 2)) == 1
    assert frame(TupleFraming(), PROTOBUF, [b"a" * 20_000, b"b" * 20_000]) == (b"a" * 20_000, b"b" * 20_000)
