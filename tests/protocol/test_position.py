"""What a session that comes back is owed, from what the history still has."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub import Position, Publication
from hubbub.protocol.position import Recovery, recover_cache, recover_stream

TOP = Position(7, "now")
LOST = Recovery(False)


def publications(*offsets: int) -> list[Publication]:
    return [Publication(f"{offset}", offset, "now") for offset in offsets]


# All that was missed


@pytest.mark.parametrize("epoch", ["now", ""])
def test_what_follows_without_a_gap_up_to_the_top_is_recovered(epoch: str) -> None:
    missed = publications(6, 7)
    assert recover_stream(Position(5, epoch), missed, TOP, 300) == Recovery(True, missed)


@pytest.mark.parametrize("epoch", ["now", ""])
def test_who_stands_at_the_top_has_missed_nothing(epoch: str) -> None:
    assert recover_stream(Position(7, epoch), [], TOP, 300) == Recovery(True, ())


def test_a_channel_in_which_nothing_was_ever_published_is_recovered_from_its_start() -> None:
    assert recover_stream(Position(0, ""), [], Position(0, "now"), 300).recovered


@pytest.mark.parametrize(
    ("since", "missed", "why"),
    [
        (Position(5, "before"), publications(6, 7), "the history was lost, and the offsets are of another one"),
        (Position(7, "before"), [], "the same offset in another epoch is another place"),
        (Position(5, "now"), publications(7), "the first was trimmed"),
        (Position(5, "now"), publications(6), "the last is not the newest"),
        (Position(5, "now"), [], "all has expired"),
        (Position(9, "now"), [], "nobody can have seen what was not yet published"),
        (Position(0, ""), publications(6, 7), "the stream began earlier"),
    ],
)
def test_what_may_be_incomplete_is_not_recovered(since: Position, missed: list[Publication], why: str) -> None:
    assert recover_stream(since, missed, TOP, 300) == LOST, why


def test_more_than_the_limit_is_not_recovered() -> None:
    missed = publications(*range(1, 8))
    assert recover_stream(Position(0, "now"), missed, TOP, 7).recovered
    assert recover_stream(Position(0, "now"), missed, TOP, 6) == LOST


class Stream(NamedTuple):
    """A stream that had ``top`` publications and still has those after ``gone``, and where a client stood."""

    top: int
    gone: int
    stood: int


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    top = draw(st.integers(0, 12))
    return Stream(top, draw(st.integers(0, top)), draw(st.integers(0, 14)))


@given(streams(), st.integers(0, 12))
def test_recovered_means_that_the_client_gets_exactly_what_it_has_not_seen(stream: Stream, limit: int) -> None:
    kept = publications(*range(stream.gone + 1, stream.top + 1))
    after = [one for one in kept if one.offset > stream.stood][: limit + 1]
    recovered, missed = recover_stream(Position(stream.stood, "now"), after, Position(stream.top, "now"), limit)
    unseen = list(range(stream.stood + 1, stream.top + 1))
    if recovered:
        assert [one.offset for one in missed] == unseen
        assert stream.stood <= stream.top
    else:
        assert stream.stood > stream.top or stream.stood < stream.gone or len(unseen) > limit


# The newest alone


def test_the_newest_is_for_everyone_who_has_not_seen_it() -> None:
    newest = publications(7)
    for since in (Position(6, "now"), Position(0, ""), Position(7, "before"), Position(99, "now")):
        assert recover_cache(since, newest, TOP) == Recovery(True, newest)
        assert recover_cache(since, publications(7, 6), TOP) == Recovery(True, newest), "the newest alone"


def test_who_has_seen_the_newest_gets_nothing_and_is_recovered_though_it_has_expired() -> None:
    assert recover_cache(TOP, publications(7), TOP) == Recovery(True, ())
    assert recover_cache(TOP, [], TOP) == Recovery(True, ())


def test_a_newest_that_has_expired_or_never_was_is_not_recovered() -> None:
    assert recover_cache(Position(6, "now"), [], TOP) == LOST
    assert recover_cache(Position(6, "now"), publications(6), TOP) == LOST, "what is kept is not the newest"
    empty = Position(0, "now")
    assert recover_cache(empty, [], empty) == LOST, "there is nothing to have seen"
