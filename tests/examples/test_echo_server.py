from tests.examples.conftest import Serve, load
from tests.examples.peer import Peer


def test_what_a_client_sends_comes_back(serve: Serve) -> None:
    with Peer(serve(load("echo_server")), "/ws/echo") as peer:
        for text in ("Hello, FastAPI!", "", "ünï \U0001f600", "x" * 100):
            peer.says(text)
            peer.hears(f"Echo: {text}")
        peer.leaves()
