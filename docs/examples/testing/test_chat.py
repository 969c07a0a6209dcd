"""A test of the chat, without a server. Run: pytest test_chat.py"""

from fastapi.testclient import TestClient

from chat_server import app


def test_everyone_receives_a_message() -> None:
    with TestClient(app) as client, client.websocket_connect("/ws/chat") as anna:
        anna.send_text("first")
        assert anna.receive_text() == "Client says: first"  # so Anna has joined
        with client.websocket_connect("/ws/chat") as ben:
            ben.send_text("hello")
            for member in (anna, ben):
                assert member.receive_text() == "Client says: hello"
        assert anna.receive_text() == "A client left the chat"
