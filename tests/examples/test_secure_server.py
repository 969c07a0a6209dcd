import pytest
from tests.examples.conftest import Serve, load
from tests.examples.peer import Peer, refused


def test_the_right_token_is_welcomed_and_answered(serve: Serve) -> None:
    with Peer(serve(load("secure_server")), "/ws/secure?token=secret-token") as peer:
        peer.hears("Hello, authenticated_user! Welcome to the secure WebSocket.")
        peer.says("hi")
        peer.hears("You said: hi")
        peer.leaves()


@pytest.mark.parametrize("query", ["?token=wrong", "?token=secret-toke", "?token=SECRET-TOKEN", "?token=", ""])
def test_another_token_or_none_is_refused_before_the_accept(serve: Serve, query: str) -> None:
    assert refused(serve(load("secure_server")), f"/ws/secure{query}") == 403
