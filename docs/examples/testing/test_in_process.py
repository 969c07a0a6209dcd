"""Tests without a server: Starlette's test client, with the lifespan."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from rooms import app, hub
from starlette.websockets import WebSocketDisconnect


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(app) as client:  # entering runs the lifespan, and with it the hub
        yield client


def test_both_members_hear_what_one_says(client: TestClient) -> None:
    with client.websocket_connect("/ws/rooms/tea") as anna, client.websocket_connect("/ws/rooms/tea") as ben:
        anna.send_text("hello")
        assert anna.receive_text() == "hello"
        assert ben.receive_text() == "hello"


def test_the_route_speaks_to_the_room(client: TestClient) -> None:
    with client.websocket_connect("/ws/rooms/tea") as anna:
        anna.send_text("here")
        assert anna.receive_text() == "here"  # so anna has joined
        client.post("/rooms/tea", params={"text": "kettle's on"})
        assert anna.receive_text() == "Announcement: kettle's on"


def test_the_test_publishes_itself(client: TestClient) -> None:
    with client.websocket_connect("/ws/rooms/tea") as anna:
        anna.send_text("here")
        assert anna.receive_text() == "here"
        hub.publish_sync("chat:tea", "from the test")  # the hub runs in a thread of the client's
        assert anna.receive_text() == "from the test"


def test_binary_is_refused_with_1003(client: TestClient) -> None:
    with client.websocket_connect("/ws/rooms/tea") as anna:
        anna.send_bytes(b"\x00")
        with pytest.raises(WebSocketDisconnect) as caught:
            anna.receive_text()
    assert caught.value.code == 1003


def test_a_page_of_another_origin_is_refused(client: TestClient) -> None:
    with (
        pytest.raises(WebSocketDisconnect) as caught,
        client.websocket_connect("/ws/rooms/tea", headers={"origin": "https://evil.example"}),
    ):
        pass
    assert caught.value.code == 1008
