"""The files of the docs that speak the Centrifuge protocol, run as their pages say."""

import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
import uvicorn
from fastapi import FastAPI
from tests.docs.test_examples import EXAMPLES, load
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from hubbub import JWT, Hub

DEADLINE = 5.0
SECRET = "a secret that only the tests know of, really"


@pytest.fixture
def serve() -> Iterator[Callable[[FastAPI], int]]:
    """Serves an app; gives the port."""
    running: list[tuple[uvicorn.Server, threading.Thread, socket.socket]] = []

    def start(app: FastAPI) -> int:
        listening = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(app, ws="hubbub.wire:Protocol", log_config=None, timeout_graceful_shutdown=3)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        running.append((server, thread, listening))
        return int(listening.getsockname()[1])

    yield start
    for server, thread, listening in running:
        server.should_exit = True
        thread.join(10)
        listening.close()


def test_who_has_logged_in_may_connect_and_nobody_else(serve: Callable[[FastAPI], int]) -> None:
    url = f"ws://127.0.0.1:{serve(load('session_cookie').app)}/connection/websocket"
    for cookie, welcome in (("login=c0ffee", True), ("login=other", False), ("", False)):
        with connect(url, additional_headers={"Cookie": cookie}) as session:
            session.send('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"news"}}')
            if welcome:
                assert "connect" in json.loads(str(session.recv(timeout=DEADLINE)).split("\n")[0])
            else:
                with pytest.raises(ConnectionClosed, match="3501"):
                    session.recv(timeout=DEADLINE)


def test_a_declared_channel_is_published_to_from_routes_of_both_kinds(serve: Callable[[FastAPI], int]) -> None:
    port = serve(load("publish_channel").app)
    with connect(f"ws://127.0.0.1:{port}/connection/websocket") as session:
        session.send('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"chat:tea"}}')
        replies = ""
        while replies.count('"id"') < 2:
            replies += str(session.recv(timeout=DEADLINE))
        for offset, route in enumerate(("async", "sync"), start=1):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
            headers = {"content-type": "application/json"}
            connection.request("POST", f"/{route}/tea", json.dumps({"text": route}), headers)
            assert connection.getresponse().read() == str(offset).encode()
            connection.close()
            pushed = json.loads(session.recv(timeout=DEADLINE))["push"]
            assert (pushed["channel"], pushed["pub"]["data"]) == ("chat:tea", {"text": route})


def test_one_token_is_good_for_routes_websockets_and_sessions(serve: Callable[[FastAPI], int]) -> None:
    module = load("auth_jwt")
    port = serve(module.app)

    def ask(method: str, path: str, token: str = "") -> tuple[int, str, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        connection.request(method, path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, answer.headers.get("WWW-Authenticate", ""), body

    reader = module.jwt.token("anna", email="anna@example.com")
    editor = module.jwt.token("bob", scope="news")
    assert ask("GET", "/me", reader) == (200, "", '{"user":"anna","email":"anna@example.com"}')
    assert ask("GET", "/me")[:2] == (401, "Bearer")
    assert ask("GET", "/me", "no.good.token")[1].startswith('Bearer error="invalid_token"')
    assert ask("POST", "/news/tea?text=hi", reader)[0] == 403
    with pytest.raises(InvalidStatus, match="403"), connect(f"ws://127.0.0.1:{port}/ws/news/tea"):
        pass
    headers = {"Authorization": f"Bearer {reader}"}
    url = f"ws://127.0.0.1:{port}"
    with (
        connect(f"{url}/ws/news/tea", additional_headers=headers) as plain,
        connect(f"{url}/connection/websocket") as session,
    ):
        session.send(json.dumps({"id": 1, "connect": {"token": reader}}))
        assert "connect" in json.loads(session.recv(timeout=DEADLINE))
        session.send('{"id":2,"subscribe":{"channel":"news:tea"}}')
        assert "subscribe" in json.loads(session.recv(timeout=DEADLINE))
        assert json.loads(plain.recv(timeout=DEADLINE)) == {"hello": "anna"}, "it has joined"
        assert ask("POST", "/news/tea?text=hi", editor)[0] == 200
        assert json.loads(plain.recv(timeout=DEADLINE)) == {"text": "hi", "by": "bob"}
        assert json.loads(session.recv(timeout=DEADLINE))["push"]["pub"]["data"] == {"text": "hi", "by": "bob"}


def test_handlers_take_what_their_page_says(serve: Callable[[FastAPI], int]) -> None:
    url = f"ws://127.0.0.1:{serve(load('handlers').app)}/connection/websocket"
    with connect(url, additional_headers={"Accept-Language": "de-CH"}) as session:

        def ask(**command: object) -> dict[str, object]:
            session.send(json.dumps({"id": 1, **command}))
            while "id" not in (reply := json.loads(session.recv(timeout=DEADLINE))):
                heard.append(reply["push"]["pub"]["data"])
            return dict(reply)

        heard: list[object] = []
        assert "connect" in ask(connect={"token": "anna"})
        assert ask(subscribe={"channel": "chat:tea", "data": "open up"})["error"] == {
            "code": 103,
            "message": "permission denied",
        }
        assert "subscribe" in ask(subscribe={"channel": "chat:tea", "data": "open tea"})
        assert "publish" in ask(publish={"channel": "chat:tea", "data": {"text": "hi", "sender": "root"}})
        assert ask(rpc={"method": "greet", "data": "Anna"})["rpc"] == {"data": "Hallo, Anna"}
        assert heard == [{"text": "hi", "sender": "anna"}]


def test_the_python_sdk_enters_a_room_and_hears_itself(serve: Callable[[FastAPI], int]) -> None:
    jwt = JWT(secret=SECRET)
    hub = Hub(auth=jwt)
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router)
    hub.channel("room:{name}", may_subscribe="users", may_publish="subscribers")
    url = f"ws://127.0.0.1:{serve(app)}/connection/websocket"
    command = [sys.executable, str(EXAMPLES / "sdk_python.py"), url, jwt.token("anna")]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    assert finished.stdout == "{'text': 'hello'}\n"
