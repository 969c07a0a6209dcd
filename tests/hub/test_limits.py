"""Token buckets: quick for a moment, not for long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.errors import RateExceeded
from hubbub.hub.limits import RateLimit, Rates


def limit(
    message_rate: float = 0, byte_rate: float = 0, burst: float = 2.0, *, stalled: float = 0, **more: float
) -> RateLimit:
    rates = Rates(lambda now: stalled, messages=message_rate, bytes=byte_rate, burst=burst, **more)
    return RateLimit(rates, now=100.0)


def test_a_burst_may_use_so_many_seconds_worth_at_once_and_not_one_message_more() -> None:
    bucket = limit(message_rate=10, burst=2.0)
    assert bucket.spend(20, 0, 100.0) is None
    fault = bucket.spend(1, 0, 100.0)
    assert isinstance(fault, RateExceeded)
    assert fault.reason == "more than 10 messages a second"


def test_the_bucket_fills_with_time_at_the_rate() -> None:
    bucket = limit(message_rate=10, burst=1.0)
    assert bucket.spend(10, 0, 100.0) is None
    assert bucket.spend(5, 0, 100.5) is None
    assert bucket.spend(1, 0, 100.5) is not None


def test_a_long_silence_does_not_fill_the_bucket_beyond_the_burst() -> None:
    bucket = limit(message_rate=10, burst=2.0)
    assert bucket.spend(20, 0, 10_000.0) is None
    assert bucket.spend(1, 0, 10_000.0) is not None


def test_bytes_are_counted_apart_from_messages() -> None:
    bucket = limit(message_rate=1000, byte_rate=100, burst=2.0)
    assert bucket.spend(1, 200, 100.0) is None
    fault = bucket.spend(1, 1, 100.0)
    assert isinstance(fault, RateExceeded)
    assert fault.reason == "more than 100 bytes a second"
    bucket = limit(message_rate=1000, byte_rate=100, burst=2.0)
    assert bucket.spend(1, 200, 100.0) is None
    assert bucket.spend(1, 100, 101.0) is None, "bytes come back with time as well"
    assert bucket.spend(1, 1, 101.0) is not None


def test_a_rate_of_zero_is_no_limit() -> None:
    bucket = limit()
    assert bucket.spend(10**9, 10**12, 100.0) is None
    only_bytes = limit(byte_rate=10)
    assert only_bytes.spend(10**9, 20, 100.0) is None
    only_messages = limit(message_rate=10)
    assert only_messages.spend(20, 10**12, 100.0) is None


def test_a_rate_below_one_a_second_admits_the_first_message() -> None:
    bucket = limit(message_rate=0.1, burst=2.0)
    assert bucket.spend(1, 0, 100.0) is None
    assert bucket.spend(1, 0, 105.0) is not None
    bucket = limit(message_rate=0.1, burst=2.0)
    assert bucket.spend(1, 0, 100.0) is None
    assert bucket.spend(1, 0, 110.0) is None, "and one every ten seconds"
    bucket = limit(message_rate=0.1, burst=2.0)
    assert bucket.spend(2, 0, 1000.0) is not None, "but not two at once, however long the silence was"


def test_a_burst_of_messages_is_as_large_as_it_has_to_be_at_least() -> None:
    bucket = limit(message_rate=10, burst=2.0, least=50)
    assert bucket.spend(50, 0, 100.0) is None
    assert bucket.spend(10, 0, 101.0) is None, "the rate stays what it is"
    assert bucket.spend(1, 0, 101.0) is not None
    assert limit(message_rate=100, burst=2.0, least=50).spend(200, 0, 100.0) is None


def test_what_came_while_nobody_was_read_is_not_charged() -> None:
    bucket = limit(message_rate=10, byte_rate=100, burst=2.0, stalled=6.0)
    assert bucket.spend(1, 1, 100.0) is None
    assert bucket.spend(80, 800, 106.5) is None, "6.5 seconds of both rates and the burst"
    assert bucket.spend(1, 0, 106.5) is not None
    bucket = limit(byte_rate=100, burst=2.0, stalled=6.0)
    assert bucket.spend(0, 801, 200.0) is not None, "and no more, however long it was silent"


def test_work_is_owed_until_time_has_paid_for_it() -> None:
    bucket = limit(work=10, burst=2.0)
    assert bucket.has_work_left(100.0)
    bucket.charge(19, 100.0)
    assert bucket.has_work_left(100.0)
    bucket.charge(21, 100.0)
    assert not bucket.has_work_left(100.0)
    assert not bucket.has_work_left(102.0)
    assert bucket.has_work_left(102.1)
    bucket.charge(0, 200.0)
    bucket.charge(19, 200.0)
    assert bucket.has_work_left(200.0), "silence saves nothing up beyond the burst"
    bucket.charge(1, 200.0)
    assert not bucket.has_work_left(200.0)
    unlimited = limit(message_rate=1)
    unlimited.charge(10**9, 100.0)
    assert unlimited.has_work_left(100.0)


@pytest.mark.parametrize("rate", [0.5, 1, 7, 100, 5000])
def test_who_keeps_to_the_rate_is_never_refused(rate: float) -> None:
    bucket = limit(message_rate=rate, byte_rate=rate * 10)
    for number in range(2000):
        assert bucket.spend(1, 10, 100.0 + number / rate) is None


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 30)), max_size=60))
def test_over_any_stretch_of_time_no_more_passes_than_burst_and_rate_allow(bursts: list[tuple[float, int]]) -> None:
    bucket = limit(message_rate=10, burst=2.0)
    now = start = 100.0
    passed = 0
    for pause, messages in bursts:
        now += pause
        if bucket.spend(messages, 0, now) is not None:
            return  # the client is disconnected with the first fault
        passed += messages
        assert passed <= 10 * 2.0 + 10 * (now - start) + 1e-6
