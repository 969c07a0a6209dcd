"""What waits for one peer comes out as it went in, in pieces, and large batches are not copied whole."""

from hypothesis import given
from hypothesis import strategies as st

from hubbub.transports.outbox import Outbox


@given(
    st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=300)), max_size=20),
    st.lists(st.integers(1, 500), min_size=1, max_size=20),
)
def test_bytes_come_out_in_order_in_pieces_of_at_most_the_size_asked_for(
    puts: list[tuple[bool, bytes]], sizes: list[int]
) -> None:
    outbox = Outbox()
    for copied, data in puts:
        (outbox.put_copied if copied else outbox.put)(data)
    expected = b"".join(data for _, data in puts)
    assert outbox.size == len(expected)
    taken = b""
    while outbox.size:
        most = sizes[len(taken) % len(sizes)]
        before = outbox.size
        piece = outbox.take(most)
        assert 0 < len(piece) <= most
        assert outbox.size == before - len(piece)
        taken += piece
    assert taken == expected


def test_small_batches_come_out_together_and_a_large_one_is_not_copied() -> None:
    outbox = Outbox()
    large = bytes(10_000_000)
    for data in (b"a", b"b", large, b"c"):
        outbox.put(data)
    assert outbox.take(100) == b"ab"
    view = outbox.take(1000)
    assert isinstance(view, memoryview)
    assert view.obj is large
    outbox.clear()
    assert outbox.size == 0


def test_what_is_copied_holds_no_more_than_what_is_left() -> None:
    outbox = Outbox()
    large = bytes(5_000_000)
    outbox.put_copied(large)
    assert outbox.size == len(large)
    piece = outbox.take(10_000_000)
    assert bytes(piece) == large
    outbox.put_copied(large)
    view = outbox.take(1000)
    assert isinstance(view, memoryview)
    assert view.obj is not large
    assert view.nbytes == 1000
    assert isinstance(view.obj, bytes)
    assert len(view.obj) < 2_000_000
