"""`hubbub run`: your app on the fast path, or a sentence that says why not."""

import contextlib
import json
import re
import signal
import socket
from pathlib import Path

import pytest
from tests.cli.processes import Process, run
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect, unix_connect

CONNECTED_BROKER = '''
from fastapi import FastAPI
from hubbub import Broker, Hub, Position

class Shared(Broker):
    """As if it connected processes."""
    async def start(self, deliver): pass
    async def stop(self): pass
    async def publish(self, channel, publication, retention, guard=None): return Position(0, "")
    async def announce(self, channel, presence): pass
    async def subscribe(self, channel): pass
    async def unsubscribe(self, channel): pass

app = FastAPI(lifespan=Hub(Shared()).lifespan)
'''

WITH_ROUTER = """
app.include_router(hub.router)
"""


def opened(port: int, target: str = "/ws", **options: str | None) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{port}{target}", open_timeout=5, close_timeout=5, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_and_on_a_stop_tells_its_clients_to_come_back(folder: Path, number: signal.Signals) -> None:
    with Process("run", "main:app", "--port", "0", cwd=folder) as process:
        with opened(process.port(), "/ws?token=secret") as websocket:
            assert websocket.recv(5) == "token: secret"
            websocket.send("hello")
            assert websocket.recv(5) == "heard hello"
            code, seconds = process.signal(number)
            with pytest.raises(ConnectionClosed):
                websocket.recv(5)
            assert websocket.close_code == 1012
        # uvicorn passes the signal on when it has tidied up; Ctrl-C it takes for a normal end.
        assert code == {signal.SIGTERM: -signal.SIGTERM, signal.SIGINT: 0}[number]
        assert seconds < 3
        assert process.faults() == []
        assert "Application shutdown complete." in process.said
        assert '"WebSocket /ws?token=***" [accepted]' in process.said
        assert "secret" not in process.said


def test_a_port_that_is_taken_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finished = run("run", "main:app", "--port", str(port), cwd=folder)
    assert finished.returncode == 2
    assert finished.stderr == (
        f"hubbub: port {port} on 127.0.0.1 is taken: stop what listens there, or choose another with --port\n"
    )
    assert finished.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "env", "sentence"),
    [
        (["nowhere:app"], {}, "there is no module 'nowhere' here ({folder}): give MODULE:APP as you would import it, "),
        (["[/markup]"], {}, "there is no module '[/markup]' here"),
        (["main:aap"], {}, "module 'main' has no 'aap': name the app, main:NAME"),
        (["broken:app"], {}, "'broken' cannot be imported: No module named 'not_installed'"),
        (
            ["far:app"],
            {},
            "no broker for 'redis://localhost': there is memory://, or give an instance of hubbub.Broker",
        ),
        (
            ["bare:app"],
            {"HUBBUB_BROKER": "nats://h"},
            "HUBBUB_BROKER: no broker for 'nats://h': there is memory://, or give",
        ),
        (["main:app", "--log-level", "loud"], {}, "there is no log level 'loud'; there are critical, error, warning"),
        (["main:app", "--log-level", "inf"], {}, "there is no log level 'inf'; did you mean 'info'? there are "),
        (
            ["main:app", "--reload", "--workers", "2"],
            {},
            "--reload runs the app in one process: leave out --workers, or --reload",
        ),
        (["main:app", "--host", "203.0.113.1"], {}, "cannot listen on 203.0.113.1:8000: "),
        (["main:app"], {"HUBBUB_MESSAGE_RATE": "fast"}, "wrong settings: HUBBUB_MESSAGE_RATE: "),
        (["main:app"], {"HUBBUB_ALLOWED_ORIGINS": "[red]"}, "'[red]' is not an origin such as 'https://app.example'"),
        (
            ["main:app", "--port", "0"],
            {"HUBBUB_MAX_CONNECTIONS": "100000000"},
            "file descriptors (ulimit -n) are not enough for 100000000 connections: raise the limit to 100000064, or "
            "set HUBBUB_MAX_CONNECTIONS to ",
        ),
        (
            ["main:app", "--workers", "4"],
            {},
            "4 workers with the memory:// broker would be 4 separate hubs: a message would reach only the clients of "
            "one. Run one worker (--workers 1): its event loop serves many thousands of clients. Several need a "
            "broker that connects processes, and Hubbub has none so far.",
        ),
    ],
)
def test_what_cannot_work_is_one_sentence_that_says_why(
    folder: Path, arguments: list[str], env: dict[str, str], sentence: str
) -> None:
    (folder / "broken.py").write_text("import not_installed\n")
    (folder / "bare.py").write_text("from hubbub import Hub\nhub = Hub()\n")
    (folder / "far.py").write_text("from hubbub import Hub\nhub = Hub('redis://localhost')\n")
    finished = run("run", *arguments, cwd=folder, env=env)
    assert finished.returncode == 2, finished.stderr
    assert finished.stderr.startswith("hubbub: ")
    assert sentence.format(folder=folder) in finished.stderr
    assert finished.stderr.count("\n") == 1, finished.stderr
    assert finished.stdout == ""


@pytest.mark.parametrize("level", ["info", "debug"])
def test_an_app_that_fails_shows_its_own_frames_and_all_at_the_debug_level(folder: Path, level: str) -> None:
    (folder / "failing.py").write_text("import inner\n")
    (folder / "inner.py").write_text("app = {}['nothing']\n")
    finished = run("run", "failing:app", "--log-level", level, cwd=folder)
    assert finished.returncode == 1
    frames = re.findall(r'^  File "(.+)", line', finished.stderr, re.M)
    if level == "info":
        assert frames == [str(folder / "failing.py"), str(folder / "inner.py")]
    else:
        assert frames[-1] == str(folder / "inner.py")
        assert any(frame.endswith("preflight.py") for frame in frames)
    assert finished.stderr.endswith("KeyError: 'nothing'\n")


def test_an_app_with_a_syntax_error_shows_the_line_and_no_frame(folder: Path) -> None:
    (folder / "failing.py").write_text("app = (\n")
    finished = run("run", "failing:app", cwd=folder)
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    assert re.fullmatch(r'  File ".*failing\.py", line 1\n.*SyntaxError: .*\n', finished.stderr, re.DOTALL)


def test_several_workers_may_share_a_broker_that_connects_them(folder: Path) -> None:
    (folder / "shared.py").write_text(CONNECTED_BROKER)
    with Process("run", "shared:app", "--workers", "2", "--port", "0", cwd=folder) as process:
        process.wait_for("Application startup complete")
        process.wait_for("Application startup complete")
        process.signal(signal.SIGTERM)
        assert process.faults() == []


def test_a_change_of_a_file_restarts_the_app(folder: Path) -> None:
    with Process("run", "main:app", "--port", "0", "--reload", cwd=folder) as process:
        process.wait_for("Application startup complete")
        main = folder / "main.py"
        main.write_text(main.read_text().replace("heard", "understood"))
        process.wait_for("Reloading")
        process.wait_for("Application startup complete")
        _, seconds = process.signal(signal.SIGINT)
        assert seconds < 5
        assert process.faults() == []


@pytest.mark.parametrize("option", [None, "--deflate"])
def test_compression_is_offered_where_it_was_asked_for(folder: Path, option: str | None) -> None:
    options = [option] if option else []
    with (
        Process("run", "main:app", "--port", "0", *options, cwd=folder) as process,
        opened(process.port()) as websocket,
    ):
        assert websocket.response is not None
        agreed = websocket.response.headers.get("Sec-WebSocket-Extensions", "")
        assert agreed.startswith("permessage-deflate") is bool(option)


def test_the_access_log_can_be_left_out(folder: Path) -> None:
    with Process("run", "main:app", "--port", "0", "--no-access-log", cwd=folder) as process:
        with opened(process.port()) as websocket:
            assert websocket.recv(5) == "token: none"
        process.signal(signal.SIGTERM)
        assert "[accepted]" not in process.said


def test_the_lines_of_the_hub_look_like_those_of_the_server(folder: Path) -> None:
    with Process("run", "main:app", "--port", "0", cwd=folder, env={"HUBBUB_MESSAGE_RATE": "1"}) as process:
        with opened(process.port()) as websocket:
            with contextlib.suppress(ConnectionClosed):
                for _ in range(5):
                    websocket.send("x")
                while True:
                    websocket.recv(5)
            assert websocket.close_code == 1008
        line = process.wait_for("messages a second").string
        assert re.match(r"WARNING:  client \S+ \(127\.0\.0\.1, /ws\): 1008 more than 1 messages a second$", line)


@pytest.mark.parametrize("arguments", [["run", "main:app"], ["serve"]], ids=" ".join)
def test_what_is_logged_before_the_start_looks_like_the_lines_of_the_server(folder: Path, arguments: list[str]) -> None:
    with Process(*arguments, "--port", "0", cwd=folder, env={"HUBBUB_MESAGE_RATE": "1"}) as process:
        process.port()
        warning = "WARNING:  HUBBUB_MESAGE_RATE is no setting; did you mean HUBBUB_MESSAGE_RATE?"
        assert [line for line in process.lines if "MESAGE" in line] == [warning]


def test_an_app_without_the_lifespan_of_its_hub_is_told_at_the_start_and_by_the_first_client(folder: Path) -> None:
    main = folder / "main.py"
    main.write_text(main.read_text().replace("FastAPI(lifespan=hub.lifespan)", "FastAPI()") + WITH_ROUTER)
    remedy = "FastAPI(lifespan=hub.lifespan)"
    with Process("run", "main:app", "--port", "0", cwd=folder) as process:
        warning = process.wait_for(r"^WARNING:  the app starts, and the hub of its routers is not running").string
        assert remedy in warning
        port = process.port()
        assert process.said.count(remedy) == 1
        connected = run("connect", f"127.0.0.1:{port}/connection/websocket", cwd=folder, typed="")
        assert connected.stderr == "refused with HTTP 500: the app failed: see the log of the server\n"
        assert remedy in process.wait_for("UsageError: the hub is not running").string
        process.signal(signal.SIGINT)
        assert process.said.count(remedy) == 2


def test_with_a_configuration_of_logging_what_is_logged_before_the_start_has_its_form(folder: Path) -> None:
    config = {
        "version": 1,
        "formatters": {"own": {"format": "%(levelname)s|%(name)s|%(message)s"}},
        "handlers": {"own": {"class": "logging.StreamHandler", "formatter": "own"}},
        "loggers": {name: {"handlers": ["own"], "level": "INFO"} for name in ("uvicorn", "hubbub")},
    }
    (folder / "log.json").write_text(json.dumps(config))
    options = ("--port", "0", "--log-config", "log.json")
    with Process("run", "main:app", *options, cwd=folder, env={"HUBBUB_MESAGE_RATE": "1"}) as process:
        process.wait_for(r"^WARNING\|hubbub\|HUBBUB_MESAGE_RATE is no setting")
        process.port()


# Where it listens, and what it reads


def test_it_listens_on_a_unix_socket(folder: Path) -> None:
    path = folder / "hubbub.sock"
    with Process("run", "main:app", "--uds", str(path), cwd=folder) as process:
        process.wait_for("Uvicorn running on unix socket")
        with unix_connect(str(path), uri="ws://localhost/ws", open_timeout=5) as websocket:
            assert websocket.recv(5) == "token: none"
        taken = run("run", "main:app", "--uds", str(path), cwd=folder)
        assert taken.stderr == f"hubbub: a server listens on '{path}': stop it, or choose another with --uds\n"


def test_it_listens_on_an_open_file_descriptor(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number = listening.fileno()
        with Process("run", "main:app", "--fd", str(number), cwd=folder, files=[number]) as process:
            process.wait_for("Uvicorn running on socket")
            with opened(listening.getsockname()[1]) as websocket:
                assert websocket.recv(5) == "token: none"


def test_it_imports_from_another_folder_with_variables_of_a_file_and_calls_a_factory(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (folder / "made.py").write_text("def create():\n    from main import app\n    return app\n")
    (folder / "variables").write_text("HUBBUB_MESSAGE_RATE=1\n")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    options = ["--app-dir", str(folder), "--env-file", str(folder / "variables"), "--factory", "--port", "0"]
    with Process("run", "made:create", *options, cwd=elsewhere) as process:
        with opened(process.port()) as websocket, contextlib.suppress(ConnectionClosed):
            for _ in range(9):
                websocket.send("x")
            while True:
                websocket.recv(5)
        process.wait_for("1008 more than 1 messages a second")
        assert "--factory" not in process.said, "uvicorn has nothing to warn of"


def test_the_configuration_of_the_log_may_be_a_file(folder: Path) -> None:
    (folder / "log.json").write_text(
        '{"version": 1, "disable_existing_loggers": false,'
        ' "formatters": {"f": {"format": "mine %(name)s: %(message)s"}},'
        ' "handlers": {"h": {"class": "logging.StreamHandler", "formatter": "f"}},'
        ' "root": {"level": "INFO", "handlers": ["h"]}}'
    )
    with Process("run", "main:app", "--port", "0", "--log-config", "log.json", cwd=folder) as process:
        process.wait_for("^mine uvicorn.error: Application startup complete")


def test_the_version_is_told(tmp_path: Path) -> None:
    finished = run("--version", cwd=tmp_path)
    assert re.fullmatch(r"hubbub \d+\.\d+\S* \(Python 3\.\d+\S*, fastapi \S+, uvicorn \S+\)\n", finished.stdout)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--uds", "a", "--fd", "3"], "--uds and --fd both say where to listen: leave out one of them"),
        (["--uds", "main.py"], "'main.py' is there already, and is no Unix socket: remove it, or change --uds"),
        (["--uds", "nowhere/a"], "there is no folder 'nowhere' for the Unix socket: create it, or change --uds"),
        (["--fd", "99"], "file descriptor 99 is no open socket: --fd takes one that the parent process has passed on"),
        (["--ssl-keyfile", "main.py"], "TLS needs a certificate: give --ssl-certfile too"),
        (["--ssl-certfile", "main.py"], "the TLS certificate 'main.py' does not load ("),
    ],
)
def test_where_it_cannot_listen_is_told_before_the_start(folder: Path, options: list[str], sentence: str) -> None:
    finished = run("run", "main:app", *options, cwd=folder)
    assert finished.returncode == 2, finished.stdout + finished.stderr
    assert finished.stderr.startswith(f"hubbub: {sentence}")
