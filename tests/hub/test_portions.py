"""How much goes into one answer."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hubbub.hub.encodings import delta_publication
from hubbub.hub.portions import portion, room, size_of_all
from hubbub.protocol.codecs import JSON, PROTOBUF, Codec
from hubbub.protocol.events import HistoryResult, Reply, SubscribeResult
from hubbub.protocol.publication import Json, Member, Publication, size_of

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
values = st.one_of(texts, st.dictionaries(texts, st.integers(), max_size=3))
documents = values.map(lambda value: Json(msgspec.json.encode(value).decode()))
datas = st.one_of(texts, documents)
members = st.builds(Member, texts, st.uuids().map(str), documents, documents)
publications = st.builds(
    Publication,
    datas,
    offset=st.integers(0, 2**64 - 1),
    epoch=st.just("0123abcdef"),
    publisher=st.one_of(st.none(), members),
    tags=st.dictionaries(texts, texts, max_size=3),
    key=texts,
    delta=st.just(True),
    removed=st.booleans(),
    version=st.integers(0, 2**64 - 1),
)


def answer(codec: Codec, messages: list[Any], data: Any) -> int:
    result = SubscribeResult(
        recoverable=True, epoch="0123abcdef", offset=2**64 - 1, recovered=True, positioned=True, was_recovering=True,
        expires=True, ttl=2**32 - 1, data=codec.data(data), publications=messages,
    )  # fmt: skip
    return size_of(codec.encode(Reply(2**32 - 1, subscribe=result)))


@given(st.lists(publications, max_size=5), documents)
def test_no_answer_is_longer_than_what_is_counted(found: list[Publication], data: Json) -> None:
    for codec in (JSON, PROTOBUF):
        most = 10_000_000
        taken = most - room(most, data)
        history = HistoryResult([codec.publication(one) for one in found], "0123abcdef", 2**64 - 1)
        assert size_of(codec.encode(Reply(2**32 - 1, history=history))) <= most - room(most) + size_of_all(found)
        in_full = [codec.publication(one) for one in found]
        assert answer(codec, in_full, data) <= taken + size_of_all(found)
        befores = (None, *found)
        in_deltas = [delta_publication(codec, *pair) for pair in zip(found, befores, strict=False)]
        assert answer(codec, in_deltas, data) <= taken + size_of_all(found, quoted=True)


def test_a_portion_is_as_much_as_fits_and_one_at_least() -> None:
    found = [Publication('"' * 500) for _ in range(5)]
    each = size_of_all(found[:1])
    assert each > 1000, "each quotation mark becomes two characters"
    assert len(portion(found, 3 * each)) == 3
    assert len(portion(found, 3 * each - 1)) == 2
    assert len(portion(found, 1)) == 1
    assert portion(found, 5 * each) is found
    assert portion([], 1) == []
    assert size_of_all(found[:1], quoted=True) > each + 1000, "who gets deltas gets all data as text"
