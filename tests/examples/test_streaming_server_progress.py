from collections.abc import Callable
from types import ModuleType

from tests.examples.conftest import Serve, load
from tests.examples.peer import Peer


def test_progress_comes_in_ten_steps_and_then_the_goodbye(
    serve: Serve, hurry: Callable[[ModuleType], list[float]]
) -> None:
    example = load("streaming_server_progress")
    slept = hurry(example)
    with Peer(serve(example), "/ws/stream_progress") as peer:
        for percent in (10, 20, 30, 40, 50, 60, 70, 80, 90, 100):
            peer.hears(f"Progress update: {percent}% complete")
        peer.hears_goodbye(1000)
    assert slept == [1] * 10
