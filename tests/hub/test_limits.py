"""Token buckets: quick for a moment, not for long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.errors import RateExceeded
from hubbub.hub.limits import RateLimit


def limit(message_rate: float = 0, byte_rate: float = 0, burst: float = 2.0) -> RateLimit:
    return RateLimit(message_rate, byte_rate, burst, now=100.0)


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
