"""`hubbub serve`: the example apps and the page, in one server."""

import contextlib
import signal
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from tests.cli.processes import Process, run
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

FIRST_WORDS = [
    ("/ws/echo", "hi", ["Echo: hi"]),
    ("/ws/chat", "hi", ["Client says: hi"]),
    ("/ws/chat_additional", "hi", ["(Additional) Client says: hi"]),
    (
        "/ws/secure?token=secret-token",
        "hi",
        ["Hello, authenticated_user! Welcome to the secure WebSocket.", "You said: hi"],
    ),
    (
        "/ws/notify?token=secret-token",
        "hi",
        [
            "Hello, authenticated_user! You are now connected to secure notifications.",
            "Notification received: hi",
        ],
    ),
    ("/ws/stream", "hi", ["Streaming message 1"]),
    ("/ws/stream_progress", "hi", ["Progress update: 10% complete"]),
]


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, int]]:
    with Process("serve", "--port", "0", cwd=tmp_path_factory.mktemp("serve")) as process:
        yield process, process.port()


@pytest.mark.parametrize(("target", "said", "heard"), FIRST_WORDS, ids=lambda value: str(value).split("?")[0])
def test_every_system_is_there(serving: tuple[Process, int], target: str, said: str, heard: list[str]) -> None:
    with connect(f"ws://127.0.0.1:{serving[1]}{target}", open_timeout=5, close_timeout=5) as websocket:
        websocket.send(said)
        assert [websocket.recv(5) for _ in heard] == heard


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/", "text/html"),
        ("/playground/playground.js", "text/javascript"),
        ("/playground/playground.css", "text/css"),
        ("/playground/favicon.svg", "image/svg+xml"),
    ],
)
def test_the_page_and_its_parts_are_there(serving: tuple[Process, int], path: str, content: str) -> None:
    connection = HTTPConnection("127.0.0.1", serving[1], timeout=5)
    connection.request("GET", path)
    response = connection.getresponse()
    assert (response.status, response.headers.get_content_type()) == (200, content)
    assert len(response.read()) > 100
    connection.close()


def test_what_is_no_part_of_the_page_is_not_served(serving: tuple[Process, int]) -> None:
    connection = HTTPConnection("127.0.0.1", serving[1], timeout=5)
    for path in ("/playground/site.py", "/playground/..%2fsite.py", "/playground/"):
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status in (404, 422)
        response.read()
    connection.close()


def test_a_page_of_another_origin_is_refused(serving: tuple[Process, int]) -> None:
    with (
        pytest.raises(InvalidStatus) as caught,
        connect(
            f"ws://127.0.0.1:{serving[1]}/ws/echo",
            origin="https://evil.example",
            open_timeout=5,  # type: ignore[arg-type]
        ),
    ):
        pass
    assert caught.value.response.status_code == 403


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_at_once_and_without_a_fault(tmp_path: Path, number: signal.Signals) -> None:
    with Process("serve", "--port", "0", cwd=tmp_path) as process:
        port = process.port()
        with (
            connect(f"ws://127.0.0.1:{port}/ws/stream", open_timeout=5) as streaming,
            connect(f"ws://127.0.0.1:{port}/ws/chat", open_timeout=5) as chatting,
        ):
            assert streaming.recv(5) == "Streaming message 1"
            _, seconds = process.signal(number)
            assert seconds < 3
            for websocket in (streaming, chatting):
                with contextlib.suppress(ConnectionClosed):
                    while True:
                        websocket.recv(5)
                assert websocket.close_code == 1012
        assert process.faults() == []


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        finished = run("serve", "--port", str(taken.getsockname()[1]), cwd=tmp_path)
    assert finished.returncode == 2
    assert "is taken: stop what listens there, or choose another with --port" in finished.stderr
