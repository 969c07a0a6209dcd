from tests.examples.conftest import Serve, load
from tests.examples.peer import Peer


def test_everyone_hears_everyone_and_is_told_who_left(serve: Serve) -> None:
    port = serve(load("chat_server"))
    with Peer(port, "/ws/chat") as one, Peer(port, "/ws/chat") as two:
        # The later one speaks first: then both are in the room.
        two.says("hello")
        one.hears("Client says: hello")
        two.hears("Client says: hello")
        one.says("hi")
        one.hears("Client says: hi")
        two.hears("Client says: hi")
        two.leaves()
        one.hears("A client left the chat")
        one.leaves()
