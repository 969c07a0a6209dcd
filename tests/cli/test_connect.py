"""`hubbub connect`: a WebSocket in the terminal."""

import asyncio
import io
import json
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.cli.processes import Process, run

from hubbub import UsageError
from hubbub.cli.connect import _read_lines, open_url


@pytest.mark.parametrize(
    ("typed", "token", "url"),
    [
        ("ws://h:1/p", None, "ws://h:1/p"),
        ("wss://h/p?a=1&b=", None, "wss://h/p?a=1&b="),
        ("h:1/p", None, "ws://h:1/p"),
        ("127.0.0.1:8000/ws/echo", None, "ws://127.0.0.1:8000/ws/echo"),
        ("[::1]:8000/ws", None, "ws://[::1]:8000/ws"),
        ("http://h/p", None, "ws://h/p"),
        ("https://h/p", None, "wss://h/p"),
        ("h", None, "ws://h"),
        ("h/p", "a b&c", "ws://h/p?token=a+b%26c"),
        ("h/p?x=1", "t", "ws://h/p?x=1&token=t"),
        ("h/p", "", "ws://h/p?token="),
        ("h/p?next=http://x", None, "ws://h/p?next=http%3A%2F%2Fx"),
    ],
)
def test_an_address_may_be_typed_in_short(typed: str, token: str | None, url: str) -> None:
    assert open_url(typed, token) == url


@pytest.mark.parametrize(
    "typed", ["", "/ws/echo", "ftp://h/p", "ws://", "ws:///p", "ws://[::1/p", "h:port/p", "h:99999"]
)
def test_what_is_no_address_is_said_so(typed: str) -> None:
    with pytest.raises(UsageError, match=r"is no WebSocket address: try ws://127\.0\.0\.1:8000/ws/echo$"):
        open_url(typed, None)


def connect(
    port: int, folder: Path, typed: str, *options: str, target: str = "/ws", env: dict[str, str] | None = None
) -> tuple[int, list[str]]:
    """What `hubbub connect` shows when this is piped into it, and its exit code."""
    finished = run("connect", f"127.0.0.1:{port}{target}", *options, cwd=folder, env=env, typed=typed)
    if "connected" in finished.stdout:
        assert finished.stderr == ""
    else:
        assert finished.stdout == "", "what fails is no answer"
    return finished.returncode, (finished.stdout or finished.stderr).splitlines()


def conversation(port: int, folder: Path, typed: str, *options: str) -> list[str]:
    """The lines between the opening and the goodbye; the server is asked to close, so nothing waits for silence."""
    leave = '"leave"' if "--json" in options else "leave"
    code, lines = connect(port, folder, f"{typed}\n{leave}\n", "--wait", "20", *options)
    assert (code, lines[-1]) == (1, "closed: 4000 as you wish"), "a goodbye that is none of the usual is exit code 1"
    assert lines[0].startswith("connected")
    return lines[1:-1]


def test_lines_go_out_and_messages_come_in(echo: int, tmp_path: Path) -> None:
    assert connect(echo, tmp_path, "one\ntwo\n\nlast", "--wait", "0.5") == (
        0,
        [
            "connected; Ctrl-D closes",
            "< token: none",
            "< heard one",
            "< heard two",
            "< heard ",
            "< heard last",
            "closed: 1000",
        ],
    )


@pytest.mark.parametrize(("goodbye", "code"), [("1000", 0), ("1001", 0), ("1011", 1), ("4999", 1)])
def test_a_normal_goodbye_of_the_server_is_a_normal_end(echo: int, tmp_path: Path, goodbye: str, code: int) -> None:
    ended, lines = connect(echo, tmp_path, f"{goodbye}\n", "--wait", "20")
    assert (ended, lines[-1]) == (code, f"closed: {goodbye}")


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_a_line_that_is_not_utf_8_is_not_sent_and_the_next_one_is(echo: int, tmp_path: Path, errors: str) -> None:
    env = {"PYTHONIOENCODING": f"utf-8:{errors}"}
    _, lines = connect(echo, tmp_path, "broken \udcff\nwhole\nleave\n", "--wait", "20", env=env)
    assert sorted(lines[1:-1]) == ["< heard whole", "< token: none", "not sent, this is not UTF-8"]


def test_it_waits_for_silence_before_it_closes(echo: int, tmp_path: Path) -> None:
    _, lines = connect(echo, tmp_path, "slow", "--wait", "0.8")
    assert lines[2:] == ["< slow 0", "< slow 1", "< slow 2", "< slow 3", "closed: 1000"]


def test_messages_are_shown_as_they_are(echo: int, tmp_path: Path) -> None:
    texts = ["[red]not markup[/red] [/]", ":warning: no emoji :smile:", "ünï", "x" * 500, "http://a.example/b?c=[d]"]
    lines = conversation(echo, tmp_path, "\n".join(texts))
    assert lines[1:] == [f"< heard {text}" for text in texts]


def test_a_message_cannot_control_the_terminal(echo: int, tmp_path: Path) -> None:
    shown = "\n".join(conversation(echo, tmp_path, "a\x1b]0;title\x07b\x1b[2Jc\x9bd\x7fe\tf"))
    assert not any((ord(letter) < 32 and letter not in "\n\t") or 127 <= ord(letter) < 160 for letter in shown)
    assert "]0;title" in shown, "it is shown, and does nothing"


def test_bytes_are_shown_by_their_number_and_in_hex(echo: int, tmp_path: Path) -> None:
    assert conversation(echo, tmp_path, "bytes")[1] == "100 bytes: " + bytes(range(64)).hex(" ") + " …"


def test_a_token_is_sent(echo: int, tmp_path: Path) -> None:
    assert conversation(echo, tmp_path, "hi", "--token", "s&cret") == ["< token: s&cret", "< heard hi"]


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (["--token", "a.b-c_d.e="], "Bearer a.b-c_d.e="),
        (["--token", "mine", "--header", "authorization: Basic x"], "Basic x"),
        (["--token", "s&cret"], None),
        ([], None),
    ],
)
def test_a_token_is_sent_as_a_bearer_too_unless_that_header_is_given_or_cannot_hold_it(
    echo: int, tmp_path: Path, options: list[str], sent: str | None
) -> None:
    _, shown = conversation(echo, tmp_path, "who", *options)
    assert json.loads(shown.removeprefix("< ")).get("authorization") == sent


def test_headers_and_subprotocols_are_sent(echo: int, tmp_path: Path) -> None:
    options = ["--header", "X-One: 1", "--header", "X-Two:2", "--subprotocol", "chat.v2", "--subprotocol", "chat.v1"]
    _, lines = connect(echo, tmp_path, "who\nleave\n", *options)
    assert lines[0] == "connected, speaking chat.v2; Ctrl-D closes"
    headers = json.loads(lines[2].removeprefix("< "))
    assert (headers["x-one"], headers["x-two"]) == ("1", "2")
    assert headers["sec-websocket-protocol"].replace(" ", "") == "chat.v2,chat.v1"


def test_json_is_checked_on_the_way_out(echo: int, tmp_path: Path) -> None:
    lines = conversation(echo, tmp_path, '{broken\n[1, "two"]', "--json")
    assert sorted(lines) == [
        '< heard [1, "two"]',
        "< token: none",
        "not sent, this is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ]


def test_json_is_printed_readably_on_the_way_in(echo: int, tmp_path: Path) -> None:
    readable = ["{", '  "a": [', "    1,", '    "ü"', "  ]", "}"]
    lines = conversation(echo, tmp_path, '"json"', "--json")
    assert lines == ["< token: none", *readable]
    lines = conversation(echo, tmp_path, '"json with controls"', "--json")
    assert '    "\\u00fc \\u009b"' in lines, "what could control the terminal is shown by its number"


def test_a_goodbye_in_the_middle_of_what_is_sent_is_shown_and_not_a_fault(echo: int, tmp_path: Path) -> None:
    code, lines = connect(echo, tmp_path, "".join(f"message {number}\n" for number in range(5000)))
    assert lines[-1] == "closed: 1008 more than 100 messages a second"
    assert code == 1


def test_what_is_typed_after_the_end_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    monkeypatch.setattr("sys.stdin", io.StringIO("one\ntwo\n"))
    _read_lines(loop, asyncio.Queue(), threading.Semaphore(2))
    assert sys.stdin.readline() == "two\n", "the rest is left alone"


def test_lines_are_read_only_a_little_ahead_of_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read() -> tuple[list[str | None], str]:
        lines: asyncio.Queue[str | None] = asyncio.Queue()
        ahead = threading.Semaphore(3)
        typed = io.StringIO("".join(f"{number}\n" for number in range(9)))
        monkeypatch.setattr("sys.stdin", typed)
        reading = asyncio.create_task(asyncio.to_thread(_read_lines, asyncio.get_running_loop(), lines, ahead))
        first = [await lines.get() for _ in range(3)]
        await asyncio.sleep(0.1)
        assert lines.empty()
        ahead.release(7)
        await reading
        return first, "".join(str(lines.get_nowait()) for _ in range(lines.qsize()))

    assert asyncio.run(read()) == (["0", "1", "2"], "345678None")


@pytest.mark.parametrize(
    ("target", "line"),
    [
        (
            "/refused",
            "refused with HTTP 403: unknown path, wrong or missing token, or foreign origin",
        ),
        ("/docs", "refused with HTTP "),
    ],
)
def test_a_refusal_is_shown_with_what_it_may_be(echo: int, tmp_path: Path, target: str, line: str) -> None:
    code, lines = connect(echo, tmp_path, "", target=target)
    assert code == 1
    assert len(lines) == 1
    assert lines[0].startswith(line)


def test_a_server_that_speaks_no_websocket_is_said_so(tmp_path: Path) -> None:
    class PlainHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

    with ThreadingHTTPServer(("127.0.0.1", 0), PlainHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code, lines = connect(server.server_port, tmp_path, "")
        server.shutdown()
    assert (code, lines) == (1, ["refused with HTTP 501"])


def test_a_redirect_to_a_page_is_told_without_its_query(tmp_path: Path) -> None:
    class Redirecting(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(301)
            self.send_header("Location", "https://app.example/ws?token=secret")
            self.send_header("Content-Length", "0")
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Redirecting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        code, lines = connect(port, tmp_path, "")
        server.shutdown()
    assert (code, lines) == (1, [f"127.0.0.1:{port} redirects to https://app.example/ws: give that address"])


def test_a_server_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    code, lines = connect(port, tmp_path, "")
    assert code == 1
    assert len(lines) == 1
    assert lines == [f"nothing listens on 127.0.0.1:{port}: start the server, or check host and port"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["ftp://h"], "'ftp://h' is no WebSocket address"),
        (["h/p", "--header", "no colon"], "'no colon' is no header: write it as 'Name: value'"),
    ],
)
def test_a_wrong_use_is_one_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    finished = run("connect", *arguments, cwd=tmp_path, typed="")
    assert finished.returncode == 2
    assert finished.stderr.startswith(f"hubbub: {sentence}")
    assert finished.stderr.count("\n") == 1


def test_ctrl_c_ends_it_without_a_fault(echo: int, tmp_path: Path) -> None:
    with Process("connect", f"127.0.0.1:{echo}/ws", "--wait", "60", cwd=tmp_path) as process:
        process.wait_for("token: none")
        code, seconds = process.signal(signal.SIGINT)
        assert code == 130
        assert seconds < 3
        assert process.faults() == []
