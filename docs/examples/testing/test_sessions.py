"""Tests of sessions: what an SDK says is JSON, one command or reply on a line."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from typed_channels import ChatMessage, app, chat


class Session:
    """Asks, and is told; what comes while it waits for an answer is kept."""

    def __init__(self, socket: WebSocketTestSession) -> None:
        self._socket = socket
        self._asked = 0
        self._pushes: list[dict[str, Any]] = []

    def ask(self, method: str, /, **request: Any) -> dict[str, Any]:
        """The answer to a command: ``{"subscribe": …}``, or ``{"error": …}``."""
        self._asked += 1
        self._socket.send_json({"id": self._asked, method: request})
        while True:
            for reply in self._receive():
                if reply.get("id") == self._asked:
                    return reply

    def push(self) -> dict[str, Any]:
        """The next thing that it is told without asking."""
        while not self._pushes:
            self._receive()
        return self._pushes.pop(0)

    def _receive(self) -> list[dict[str, Any]]:
        replies = [json.loads(line) for line in self._socket.receive_text().splitlines()]
        self._pushes += [reply["push"] for reply in replies if "push" in reply]
        return replies


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


@contextmanager
def session(client: TestClient, user: str) -> Iterator[Session]:
    with client.websocket_connect("/connection/websocket") as socket:
        session = Session(socket)
        assert "connect" in session.ask("connect", token=f"token-of-{user}")
        yield session


def test_members_hear_what_one_says_and_who_said_it(client: TestClient) -> None:
    with session(client, "anna") as anna, session(client, "ben") as ben:
        assert "subscribe" in anna.ask("subscribe", channel="chat:lobby")
        assert "subscribe" in ben.ask("subscribe", channel="chat:lobby")
        assert "publish" in anna.ask("publish", channel="chat:lobby", data={"text": "darn tea"})
        push = ben.push()
        assert (push["channel"], push["pub"]["data"]) == ("chat:lobby", {"text": "**** tea", "sender": "anna"})


def test_what_ben_may_not_do_is_an_error_and_his_session_stays(client: TestClient) -> None:
    with session(client, "ben") as ben:
        assert ben.ask("subscribe", channel="chat:staff")["error"]["code"] == 103
        assert "text" in ben.ask("publish", channel="chat:lobby", data={"text": ""})["error"]["message"]
        assert "subscribe" in ben.ask("subscribe", channel="chat:lobby")


def test_who_is_not_known_is_refused_with_3501(client: TestClient) -> None:
    with client.websocket_connect("/connection/websocket") as socket, pytest.raises(WebSocketDisconnect) as caught:
        Session(socket).ask("connect", name="nobody")
    assert caught.value.code == 3501


def test_who_comes_back_gets_what_it_missed(client: TestClient) -> None:
    with session(client, "anna") as anna:
        left = anna.ask("subscribe", channel="chat:lobby")["subscribe"]
    chat.publish_sync(ChatMessage(text="tea is ready"), room="lobby")
    with session(client, "anna") as anna:
        position = {"recover": True, "epoch": left["epoch"], "offset": left.get("offset", 0)}
        back = anna.ask("subscribe", channel="chat:lobby", **position)["subscribe"]
    assert back["recovered"]
    assert [publication["data"]["text"] for publication in back["publications"]] == ["tea is ready"]
