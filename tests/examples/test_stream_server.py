import time
from collections.abc import Callable
from types import ModuleType

from tests.examples.conftest import Serve, load
from tests.examples.peer import Peer


def test_ten_messages_come_one_a_second_and_then_the_goodbye(
    serve: Serve, hurry: Callable[[ModuleType], list[float]]
) -> None:
    example = load("stream_server")
    slept = hurry(example)
    with Peer(serve(example), "/ws/stream") as peer:
        for number in range(1, 11):
            peer.hears(f"Streaming message {number}")
        peer.hears_goodbye(1000)
    assert slept == [1] * 10


def test_a_second_is_a_second_and_a_client_that_leaves_is_let_go_at_once(serve: Serve) -> None:
    with Peer(serve(load("stream_server")), "/ws/stream") as peer:
        peer.hears("Streaming message 1")
        started = time.monotonic()
        peer.hears("Streaming message 2")
        assert 0.9 < time.monotonic() - started < 3
        peer.leaves()
        assert time.monotonic() - started < 1.9, "it does not wait for the next message"
