"""What the embedded broker remembers of a channel; what it promises by it is in the contract of brokers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub import Position, Publication
from hubbub.brokers.base import Guard
from hubbub.brokers.log import _VERSIONS, Epochs, Log, Once


def offsets(
    log: Log, since: Position | None = None, limit: int | None = None, *, now: float = 0.0, reverse: bool = False
) -> list[int]:
    kept, _ = log.read(since, limit, now, reverse=reverse)
    return [publication.offset for publication in kept]


@given(st.integers(1, 5), st.floats(1, 20), st.lists(st.floats(0, 10), max_size=15))
def test_a_log_keeps_the_newest_that_have_not_expired(size: int, ttl: float, pauses: list[float]) -> None:
    log, now, expires = Log("e"), 0.0, dict[int, float]()
    for number, pause in enumerate(pauses, 1):
        now += pause
        assert log.append(Publication("x"), size, ttl, now) == Publication("x", number, "e")
        expires[number] = now + ttl
        kept = [offset for offset in sorted(expires)[-size:] if expires[offset] > now]
        assert offsets(log, now=now) == kept
        assert log.position == Position(number, "e")
    assert offsets(log, now=now + ttl) == []


@given(st.integers(0, 8), st.integers(0, 8), st.none() | st.integers(0, 4), st.booleans())
def test_a_log_is_read_from_any_place_in_both_directions(
    count: int, since: int, limit: int | None, reverse: bool
) -> None:
    log = Log("e")
    for _ in range(count):
        log.append(Publication("x"), 100, 10.0, 0.0)
    everything = list(range(1, count + 1))
    wanted = [n for n in everything if n < since][::-1] if reverse else [n for n in everything if n > since]
    assert offsets(log, Position(since, "e"), limit, reverse=reverse) == wanted[:limit]
    assert offsets(log, None, limit, reverse=reverse) == (everything[::-1] if reverse else everything)[:limit]
    assert offsets(log, Position(since, "other"), limit, reverse=reverse) == []


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=8),
    st.integers(1, 40),
    st.none() | st.integers(0, 250),
    st.none() | st.integers(0, 50),
    st.booleans(),
)
def test_a_log_that_has_forgotten_much_is_read_like_a_new_one(
    counts: list[int], size: int, since: int | None, limit: int | None, reverse: bool
) -> None:
    log, top = Log("e"), 0
    for number, count in enumerate(counts):
        for _ in range(count):
            log.append(Publication("x"), size, 10.0, 0.0)
        top += count
        if number % 3 == 2:
            log.clear()
    kept = 0 if len(counts) % 3 == 0 else sum(counts[len(counts) // 3 * 3 :])
    everything = list(range(top - min(size, kept) + 1, top + 1))
    found = [n for n in everything if since is None or (n < since if reverse else n > since)]
    wanted = (found[::-1] if reverse else found)[:limit]
    assert offsets(log, None if since is None else Position(since, "e"), limit, reverse=reverse) == wanted
    assert len(log) == len(everything)


def test_a_log_that_is_cleared_goes_on_counting() -> None:
    log = Log("e")
    for _ in range(3):
        log.append(Publication("x"), 10, 10.0, 0.0)
    log.clear()
    assert (offsets(log), log.position) == ([], Position(3, "e"))
    assert log.append(Publication("x"), 10, 10.0, 0.0).offset == 4


@pytest.mark.parametrize("guard", [Guard("key"), Guard("", 7), Guard("key", 7, "e")])
def test_what_was_noted_is_found_again(guard: Guard) -> None:
    once = Once()
    assert once.find("room", guard, 0.0) is None
    once.note("room", guard, Position(3, "e"), 0.0)
    assert once.find("room", guard, 1.0) == Position(3, "e")
    assert once.find("other", guard, 1.0) is None


def test_keys_that_are_old_take_no_room() -> None:
    once = Once()
    for number in range(10):
        once.note("room", Guard(f"{number}"), Position(number, "e"), float(number))
    once.find("room", Guard("x"), 305.0)
    assert [key for _, key in once._done] == ["6", "7", "8", "9"]


def test_versions_of_so_many_channels_are_remembered_and_the_newest_stay() -> None:
    once = Once()
    once.note("first", Guard("", 1), Position(1, "e"), 0.0)
    once.note("second", Guard("", 1), Position(2, "e"), 0.0)
    for number in range(_VERSIONS - 2):
        once.note(f"room-{number}", Guard("", 1), Position(0, "e"), 0.0)
    once.note("first", Guard("", 2), Position(3, "e"), 0.0)  # used again, so it is not the oldest any more
    once.note("last", Guard("", 1), Position(4, "e"), 0.0)
    assert len(once._newest) == _VERSIONS
    assert once.find("first", Guard("", 2), 0.0) == Position(3, "e")
    assert once.find("last", Guard("", 1), 0.0) == Position(4, "e")
    assert once.find("second", Guard("", 1), 0.0) is None


def test_versions_of_a_channel_are_forgotten_with_it_and_keys_are_not() -> None:
    once = Once()
    for channel in ("a", "b"):
        once.note(channel, Guard("k", 5), Position(1, "e"), 0.0)
    once.forget({"a"})
    assert once.find("a", Guard("", 1), 0.0) is None
    assert once.find("b", Guard("", 1), 0.0) == Position(1, "e")
    assert once.find("a", Guard("k"), 0.0) == Position(1, "e")


def test_a_channel_that_was_forgotten_begins_with_another_epoch_and_most_others_do_not() -> None:
    epochs = Epochs()
    names = [f"room-{number}" for number in range(100)] + ["", "\ud800"]
    before = {name: epochs.of(name) for name in names}
    assert len(set(before.values())) == 1
    for _ in range(300):
        epochs.forget("room-7")
        assert epochs.of("room-7") not in before.values()
        before["room-7"] = epochs.of("room-7")
    assert sum(epochs.of(name) == epoch for name, epoch in before.items()) > 90
    assert Epochs().of("room-7") != Epochs().of("room-7"), "nothing survives a restart"
