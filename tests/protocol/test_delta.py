"""Deltas: a client gets the same bytes from them, they are short for what is edited, and none costs too much."""

import json
import random
import time
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.protocol.fossil import Copy, apply_delta, read_delta

from hubbub.protocol.delta import make_delta

ALPHABET = b"abcdefghijklmnopqrstuvwxyz"
KITCHEN = b'{"room":"kitchen","temperature":21.5,"humidity":40,"n":1}'
KITCHEN_LATER = b'{"room":"kitchen","temperature":21.5,"humidity":41,"n":2}'
NOISE = random.Random(1).randbytes(1 << 20)


def as_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def delta_of(base: bytes, target: bytes) -> bytes:
    """The delta, which must be there, be shorter than the target, and lead a client to it."""
    delta = make_delta(base, target)
    assert delta is not None
    assert len(delta) < len(target)
    assert apply_delta(base, delta) == target
    return delta


def copies_of(base: bytes, target: bytes) -> list[Copy]:
    return [segment for segment in read_delta(delta_of(base, target)).segments if isinstance(segment, Copy)]


def literals_of(base: bytes, target: bytes) -> list[bytes]:
    return [segment for segment in read_delta(delta_of(base, target)).segments if isinstance(segment, bytes)]


def items(count: int = 60) -> list[dict[str, Any]]:
    return [{"id": 1000 + n, "name": f"item {n * n}", "status": "active", "price": 10 + n} for n in range(count)]


# --- the format -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "target", "delta"),
    [
        (ALPHABET, ALPHABET + b"!", b"R\nQ@0,1:!3z1B6K;"),
        (KITCHEN, KITCHEN_LATER, b'u\nm@0,8:1,"n":2}xJH2p;'),
        (ALPHABET, ALPHABET, b"Q\nQ@0,3z192K;"),
    ],
    ids=["append", "two edits", "no edit"],
)
def test_a_delta_is_written_as_the_protocol_shows_it(base: bytes, target: bytes, delta: bytes) -> None:
    assert make_delta(base, target) == delta
    assert apply_delta(base, delta) == target


@pytest.mark.parametrize("count", [40, 63, 64, 4095, 4096, 262_143, 262_144])
def test_numbers_have_as_many_digits_as_they_need(count: int) -> None:
    assert copies_of(NOISE[:count], NOISE[:count]) == [Copy(count, 0)]


@pytest.mark.parametrize("size", [20, 21, 22, 23])
def test_the_checksum_counts_the_last_bytes_as_a_word_filled_up_with_zeros(size: int) -> None:
    target = b"\xff" * (size - 1) + b"\x01"
    delta_of(target, target)


@pytest.mark.parametrize(
    ("damaged", "fault"),
    [
        (b"", "no size"),
        (b"R", "no size"),
        (b"\nQ@0,1:!3z1B6K;", "no size"),
        (b"R\n", "no segment at 2"),
        (b"R\nQ@0;1:!3z1B6K;", "no segment at 2"),
        (b"R\nQ@0,1:!", "no segment at 9"),
        (b"R\nQ@0,1:!-3z1B6K;", "no segment at 9"),
        (b"R\nQ@0,2:!", "cut off"),
        (b"R\nQ@1,1:!3z1B6K;", "not in the base"),
        (b"S\nQ@0,1:!3z1B6K;", "27 bytes instead of 28"),
        (b"R\nQ@0,1:?3z1B6K;", "wrong checksum"),
        (b"R\nQ@0,1:!3z1B6K;;", "data after the end"),
    ],
)
def test_the_client_of_these_tests_takes_no_damaged_delta(damaged: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        apply_delta(ALPHABET, damaged)


# --- what a client gets -----------------------------------------------------------------------------


@given(st.binary(max_size=300), st.binary(max_size=300))
@example(b"", b"")
def test_a_client_gets_the_same_bytes_whatever_was_published(base: bytes, target: bytes) -> None:
    delta = make_delta(base, target)
    assert delta is None or (len(delta) < len(target) and apply_delta(base, delta) == target)


@st.composite
def edited(draw: st.DrawFn, content: st.SearchStrategy[bytes]) -> tuple[bytes, bytes]:
    """A base of several pieces, and a target that has them in another order, some twice, some changed."""
    pieces = draw(st.lists(content, min_size=1, max_size=6))
    order = draw(st.lists(st.one_of(st.sampled_from(pieces), content), max_size=8))
    return b"".join(pieces), b"".join(order)


@given(edited(st.one_of(st.binary(max_size=60), st.text("ab", max_size=60).map(str.encode))))
def test_a_client_gets_the_same_bytes_after_any_edits(payloads: tuple[bytes, bytes]) -> None:
    base, target = payloads
    delta = make_delta(base, target)
    assert delta is None or (len(delta) < len(target) and apply_delta(base, delta) == target)


@given(edited(st.text("aéè€😀😁", max_size=40).map(str.encode)))
def test_the_delta_of_texts_is_text(payloads: tuple[bytes, bytes]) -> None:
    base, target = payloads
    delta = make_delta(base, target)
    if delta is not None:
        assert delta.decode().encode() == delta
        assert apply_delta(base, delta) == target


@pytest.mark.parametrize(("old", "new"), [("é", "è"), ("ж", "з"), ("€", "₭"), ("😀", "😁"), ("é", "ũ"), ("😀", "🚀")])
def test_a_changed_letter_is_sent_whole(old: str, new: str) -> None:
    around = "Γειά σου, κόσμε. " * 2
    base, target = f"{around}{old}{around}".encode(), f"{around}{new}{around}".encode()
    assert literals_of(base, target) == [new.encode()]


def test_bytes_that_are_no_characters_are_copied_all_the_same() -> None:
    within = b"\x80" * 500
    assert literals_of(b"<" + within + b">", b"(" + within + b")") == [b"(\x80\x80\x80", b")"]
    assert len(delta_of(within, within + b"." + within + b".")) < 50


@pytest.mark.parametrize(
    ("base", "target"),
    [
        (b"", b""),
        (ALPHABET, b""),
        (ALPHABET, b"a"),
        (b"", ALPHABET),
        (b"a", ALPHABET),
        (ALPHABET, ALPHABET[::-1]),
        (ALPHABET[:13], ALPHABET[:13]),  # 13 bytes as well
        (NOISE[:500], NOISE[500:1000]),
    ],
)
def test_there_is_no_delta_that_would_not_be_shorter(base: bytes, target: bytes) -> None:
    assert make_delta(base, target) is None


def test_the_shortest_payload_that_has_a_delta_is_14_bytes() -> None:
    assert delta_of(ALPHABET[:14], ALPHABET[:14]) == b"E\nE@0,2TdJOt;"


# --- how short it is --------------------------------------------------------------------------------


def test_edits_at_both_ends_are_two_literals_around_one_copy() -> None:
    payload = "a" * 500
    base, target = as_json({"counter": 1, "payload": payload}), as_json({"counter": 2, "payload": payload[:-1] + "b"})
    assert literals_of(base, target) == [b"2", b'b"}']
    assert len(delta_of(base, target)) < 30


def test_a_counter_may_grow_by_a_digit() -> None:
    rest = NOISE[:400].hex()
    base, target = as_json({"n": 9, "text": rest, "m": 99}), as_json({"n": 10, "text": rest, "m": 100})
    assert literals_of(base, target) == [as_json({"n": 10})[:-1], b"100}"]


def test_three_edits_in_a_list_are_four_copies() -> None:
    later = items()
    later[3]["price"] = 99
    later[30]["status"] = "sold"
    later[57]["name"] = "something else"
    base, target = as_json(items()), as_json(later)
    assert len(copies_of(base, target)) == 4
    assert len(delta_of(base, target)) < 70


def test_where_values_keep_their_length_a_copy_goes_on_beside_the_one_before() -> None:
    base = as_json([{"status": "active", "price": 500} for _ in range(40)])
    target = as_json([{"status": "active", "price": 611 + n} for n in range(40)])
    segments = read_delta(delta_of(base, target)).segments
    lengths = [segment.size if isinstance(segment, Copy) else len(segment) for segment in segments]
    places = accumulate(lengths, initial=0)
    offsets = [(at, segment.offset) for at, segment in zip(places, segments, strict=False) if isinstance(segment, Copy)]
    assert len(offsets) == 40
    assert all(at == offset for at, offset in offsets), "all items are alike, and another one was copied"


def test_what_was_moved_is_found() -> None:
    first, second = NOISE[:3000], NOISE[3000:8000]
    assert copies_of(first + second, second + first) == [Copy(5000, 3000), Copy(3000, 0)]


@pytest.mark.parametrize("offset", range(16))
def test_a_stretch_of_31_bytes_is_found_wherever_it_is(offset: int) -> None:
    noise = NOISE.hex().encode()
    stretch, tail = noise[:31], noise[50:100]
    base = noise[100 : 150 + offset] + stretch + noise[200:240] + tail
    target = noise[300:320] + stretch + noise[400:460] + tail
    assert copies_of(base, target) == [Copy(31, 50 + offset), Copy(50, len(base) - 50)]


def test_a_block_at_the_very_end_is_found() -> None:
    noise = NOISE.hex().encode()
    assert copies_of(noise[:64], noise[100:120] + noise[:16]) == [Copy(16, 0)]


def test_a_copy_ends_where_the_last_one_begins() -> None:
    noise = NOISE.hex().encode()
    stretch, tail = noise[:50], noise[50:100]
    base, target = b"a" + stretch + tail + b"b" + tail, b"c" + stretch + tail
    assert copies_of(base, target) == [Copy(50, 1), Copy(50, len(base) - 50)]


@pytest.mark.parametrize("place", [0, 30, 60], ids=["first", "between", "last"])
def test_an_item_that_is_added_is_made_of_its_neighbours(place: int) -> None:
    later = items()
    later.insert(place, {"id": 2000, "name": "new", "status": "active", "price": 5})
    base, target = as_json(items()), as_json(later)
    assert sum(map(len, literals_of(base, target))) < len(as_json(later[place])) * 0.7


# --- what it costs ----------------------------------------------------------------------------------

SIZE = 1 << 19
SAME = b"a" * SIZE
BLOCKS = [NOISE[at : at + 16] for at in range(0, SIZE, 16)]


@pytest.mark.parametrize(
    ("base", "target"),
    [
        (NOISE[:SIZE], NOISE[SIZE:]),
        (SAME, SAME),
        (SAME, (b"a" * 16 + b"b") * (SIZE // 17)),
        (SAME, (b"a" * 15 + b"b") * (SIZE // 16)),
        ((b"a" * 16 + b"b") * (SIZE // 17), b"b" + SAME),
        ((b"a" * 99 + b"b") * (SIZE // 100), (b"a" * 98 + b"b") * (SIZE // 99)),
        (b"".join(BLOCKS), b"".join(BLOCKS[::-1])),
        (b"\x80" * SIZE, b"a" + b"\x80" * SIZE + b"a"),
        (b"ab" * (SIZE // 2), b"ba" * (SIZE // 2)),
        (b"", SAME),
    ],
    ids=["noise", "same", "17", "16", "of 17", "99 of 100", "blocks", "no characters", "pairs", "no base"],
)
def test_the_time_for_hostile_payloads_grows_no_faster_than_they_do(base: bytes, target: bytes) -> None:
    started = time.process_time()
    delta = make_delta(base, target)
    took = time.process_time() - started
    # At most 0.1 s when nothing else runs and nothing is traced; each byte against each block would take minutes.
    assert took < 3, f"{took:.1f} s for {SIZE} bytes"
    assert delta is None or apply_delta(base, delta) == target
