"""Channels and tokens in the terminal, against a real server."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.processes import Process, run

SECRET = "0123456789abcdef0123456789abcdef"
KEY = "the-api-key"
APP = f"""
from fastapi import FastAPI
from hubbub import JWT, Hub

hub = Hub(auth=JWT(secret="{SECRET}"), api_key="{KEY}")
hub.channel("chat:{{room}}", history=10, presence=True, may_subscribe="users", may_publish="users",
            may_read_history="users", may_see_presence="users")
hub.channel("team:{{name}}")
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)
app.include_router(hub.api)
"""


ANYBODY = """
from fastapi import FastAPI
from hubbub import Hub

hub = Hub(allow_anonymous=True)
hub.channel("chat:{room}", history=10, may_publish="everyone", may_read_history="everyone")
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("channels")
    (folder / "main.py").write_text(APP)
    with Process("run", "main:app", "--port", "0", cwd=folder) as process:
        yield f"http://127.0.0.1:{process.port()}"


def hubbub(folder: Path, *arguments: str, code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
    finished = run(*arguments, cwd=folder, env=env)
    assert finished.returncode == code, finished.stdout + finished.stderr
    return finished


def token(folder: Path, *arguments: str) -> str:
    return hubbub(folder, "token", "create", "--secret", SECRET, *arguments).stdout.strip()


def test_what_is_published_as_the_server_is_in_the_history_and_with_json_it_is_whole(
    server: str, tmp_path: Path
) -> None:
    published = hubbub(tmp_path, "publish", server, "chat:a", '{"text": "hi"}', "--api-key", KEY)
    assert published.stdout == "published at offset 1\n"
    hubbub(tmp_path, "publish", server, "chat:a", "plain text", HUBBUB_API_KEY=KEY)
    history = hubbub(tmp_path, "history", server, "chat:a", "--api-key", KEY)
    assert history.stdout == '1 {"text": "hi"}\n2 plain text\n'
    assert re.fullmatch(r"the newest offset is 2, in epoch '\S+'\n", history.stderr)
    answer: dict[str, Any] = json.loads(
        hubbub(tmp_path, "history", server, "chat:a", "--json", HUBBUB_API_KEY=KEY).stdout
    )
    assert [publication["data"] for publication in answer["publications"]] == [{"text": "hi"}, "plain text"]
    newest = hubbub(tmp_path, "history", server, "chat:a", "--limit", "1", "--reverse", HUBBUB_API_KEY=KEY)
    assert newest.stdout == "2 plain text\n"


def test_a_subscriber_sees_what_a_user_publishes_and_is_present(server: str, tmp_path: Path) -> None:
    anna, bob = token(tmp_path, "--user", "anna", "--info", '{"name": "Anna"}'), token(tmp_path, "--user", "bob")
    with Process("subscribe", server, "chat:b", "--token", anna, "--count", "2", cwd=tmp_path) as process:
        process.wait_for("subscribed to chat:b; Ctrl-C ends")
        present = hubbub(tmp_path, "presence", server, "chat:b", "--token", bob)
        assert re.fullmatch(r'anna \S+ {"name": "Anna"}\n', present.stdout)
        assert "presence" in json.loads(hubbub(tmp_path, "presence", server, "chat:b", "--token", bob, "--json").stdout)
        hubbub(tmp_path, "publish", server, "chat:b", '"first\\u001b[2J"', "--token", bob)
        hubbub(tmp_path, "publish", server, "chat:b", "[2]", "--token", bob)
        process.wait_for(r"^first\\x1b\[2J$")
        process.wait_for(r"^\[2\]$")
        assert process.ended() == 0
    assert hubbub(tmp_path, "presence", server, "chat:nobody", "--token", bob).stdout == "nobody is there\n"


def test_a_subscription_token_opens_its_channel(server: str, tmp_path: Path) -> None:
    anna = token(tmp_path, "--user", "anna")
    refused = hubbub(tmp_path, "subscribe", server, "team:red", "--token", anna, code=1)
    assert refused.stderr == "error 103: permission denied\n"
    opened = token(tmp_path, "--user", "anna", "--channel", "team:red")
    arguments = ["team:red", "--token", anna, "--channel-token", opened, "--json"]
    with Process("subscribe", server, *arguments, cwd=tmp_path) as process:
        process.wait_for("subscribed to team:red")
        hubbub(tmp_path, "publish", server, "team:red", "1", HUBBUB_API_KEY=KEY)
        assert json.loads(process.wait_for("^{.*}$")[0])["data"] == 1
        code, _ = process.signal(signal.SIGINT)
        assert code == 130
        assert process.faults() == []


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        *(
            (
                [command, "{server}", "chat:a", *more],
                1,
                "the server closed the connection: 3501 bad request; show a token with --token, or let anybody connect",
            )
            for command, *more in (["subscribe"], ["publish", "1"], ["history"], ["presence"])
        ),
        (
            ["publish", "{server}", "chat:a", "1", "--api-key", "x"],
            1,
            "refused with HTTP 401: the API key is wrong, or",
        ),
        (["publish", "{server}", "nowhere", "1", "--api-key", KEY], 1, "error 102: unknown channel"),
        (
            ["publish", "{server}/other", "chat:a", "1", "--api-key", KEY],
            1,
            "refused with HTTP 404: there is no HTTP API",
        ),
        (
            ["subscribe", "{server}", "chat:a", "--token", "x"],
            1,
            "the server closed the connection: 3500 invalid token; look at the token with: hubbub token check\n",
        ),
        (["subscribe", "{server}/other", "chat:a"], 1, "refused with HTTP 403: is app.include_router(hub.router) in"),
        (["subscribe", "ftp://h", "chat:a"], 2, "hubbub: 'ftp://h' is no WebSocket address"),
        (
            ["presence", "127.0.0.1:1", "chat:a", "--api-key", "x"],
            1,
            "nothing listens on 127.0.0.1:1: start the server, or",
        ),
        (
            ["subscribe", "127.0.0.1:1", "chat:a"],
            1,
            "nothing listens on 127.0.0.1:1: start the server, or check host and",
        ),
        (["connect", "127.0.0.1:1"], 1, "nothing listens on 127.0.0.1:1: start the server, or check host and port"),
        (["connect", "nowhere.invalid"], 1, "cannot find the host 'nowhere.invalid' ("),
        (["history", "http://nowhere.invalid", "a", "--api-key", "x"], 1, "cannot find the host 'nowhere.invalid' ("),
        (["token", "create"], 2, "hubbub: give the secret of the app with --secret, or in the variable JWT_SECRET"),
        (["token", "create", "--secret", SECRET, "--info", "{"], 2, "hubbub: --info is not JSON: "),
        (
            ["token", "create", "--secret", SECRET, "--expires", "soon"],
            2,
            "hubbub: --expires is 'soon'; write seconds as",
        ),
    ],
)
def test_what_fails_is_one_sentence_on_standard_error_and_an_exit_code(
    server: str, tmp_path: Path, arguments: list[str], code: int, sentence: str
) -> None:
    finished = hubbub(tmp_path, *(argument.replace("{server}", server) for argument in arguments), code=code)
    assert finished.stdout == ""
    assert finished.stderr.startswith(sentence)
    assert finished.stderr.count("\n") == 1


def test_without_a_token_and_a_key_a_server_that_lets_anybody_connect_answers(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(ANYBODY)
    with Process("run", "main:app", "--port", "0", cwd=tmp_path) as process:
        server = f"http://127.0.0.1:{process.port()}"
        assert hubbub(tmp_path, "publish", server, "chat:a", "hi").stdout == "published\n"
        assert hubbub(tmp_path, "history", server, "chat:a").stdout == "1 hi\n"
        refused = hubbub(tmp_path, "presence", server, "chat:a", code=1)
        assert refused.stderr == "error 108: not available\n"


def test_a_limit_below_all_is_refused(tmp_path: Path) -> None:
    finished = hubbub(tmp_path, "history", "127.0.0.1:1", "chat:a", "--limit", "-5", code=2)
    assert "'--limit': Input should be greater than or equal to -1" in finished.stderr


def test_what_is_no_token_at_all_is_said_so(tmp_path: Path) -> None:
    checked = hubbub(tmp_path, "token", "check", "abc", "--secret", SECRET, code=1)
    reason = "this is no JWT, which has three parts with dots between them"
    assert checked.stderr == f"a connection token is refused: {reason}\n"


def test_a_token_is_checked_as_the_app_would(tmp_path: Path) -> None:
    made = json.loads(hubbub(tmp_path, "token", "create", "--user", "42", "--json", JWT_SECRET=SECRET).stdout)["token"]
    good = hubbub(tmp_path, "token", "check", made, "--secret", SECRET)
    assert re.fullmatch(r"good for user 42, until \d{4}-.* \(\d+ s\)\n", good.stdout)
    told = json.loads(hubbub(tmp_path, "token", "check", made, "--secret", SECRET, "--json").stdout)
    assert (told["valid"], told["user"]) == (True, "42")
    other = hubbub(tmp_path, "token", "check", made, "--secret", SECRET[::-1], "--json", code=1)
    assert json.loads(other.stdout)["valid"] is False
    forever = token(tmp_path, "--user", "42", "--channel", "team:red", "--expires", "never")
    checked = hubbub(tmp_path, "token", "check", forever, "--secret", SECRET, "--channel", "team:red", "--user", "42")
    assert checked.stdout == "good for channel team:red, without an end\n"
    wrong = hubbub(tmp_path, "token", "check", forever, "--secret", SECRET, "--channel", "team:blue", code=1)
    assert wrong.stderr == "a subscription token is refused: it is for another channel, user or client\n"
