from tests.examples.conftest import Serve, load
from tests.examples.peer import Peer


def test_everyone_hears_everyone_and_is_told_who_left(serve: Serve) -> None:
    port = serve(load("chat_server_additional"))
    with Peer(port, "/ws/chat_additional") as one, Peer(port, "/ws/chat_additional") as two:
        # The later one speaks first: then both are in the room.
        two.says("hello")
        one.hears("(Additional) Client says: hello")
        two.hears("(Additional) Client says: hello")
        one.says("hi")
        one.hears("(Additional) Client says: hi")
        two.hears("(Additional) Client says: hi")
        two.leaves()
        one.hears("(Additional) A client left the chat.")
        one.leaves()
