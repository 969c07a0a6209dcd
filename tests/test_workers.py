"""A hub without a shared broker refuses to run in several workers, however their number was set."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.e2e.servers import free_port

DEADLINE = 30.0
APP = """
import contextlib
from fastapi import FastAPI
from hubbub import Hub

hub = Hub()

@contextlib.asynccontextmanager
async def lifespan(app):
    async with hub.lifespan(app):
        print("the hub runs", flush=True)
        yield

app = FastAPI(lifespan=lifespan)
"""
REFUSED = re.compile(r"UsageError: (\d) workers with the memory:// broker would be \d separate hubs.*$", re.MULTILINE)
STARTED = re.compile("the hub runs")


@dataclass(frozen=True)
class Way:
    """One way to start a server, with files beside the app and variables."""

    name: str
    arguments: list[str]
    files: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)


UVICORN = ["-m", "uvicorn", "main:app", "--port", "{port}"]
GUNICORN = ["-m", "gunicorn", "main:app", "-k", "uvicorn_worker.UvicornWorker", "-b", "127.0.0.1:{port}"]
GUNICORN_ASGI = ["-m", "gunicorn", "main:app", "-k", "asgi", "-b", "127.0.0.1:{port}"]
HYPERCORN = ["-m", "hypercorn", "main:app", "-b", "127.0.0.1:{port}"]
GRANIAN = ["-m", "granian", "--interface", "asgi", "--port", "{port}", "main:app"]


def program(text: str) -> dict[str, str]:
    return {"serve.py": f"import sys\nport = int(sys.argv[1])\nif __name__ == '__main__':\n    {text}\n"}


PROGRAM = ["serve.py", "{port}"]
UVICORN_IN_CODE = program("import uvicorn; uvicorn.run('main:app', port=port, workers=2)")
GRANIAN_IN_CODE = program(
    "import granian; granian.Granian('main:app', port=port, interface='asgi', workers=2, websockets=True).serve()"
)
GRANIAN_SPAWNED = program(
    "import multiprocessing, granian; multiprocessing.set_start_method('spawn'); "
    "granian.Granian('main:app', port=port, interface='asgi', workers=2).serve()"
)
HYPERCORN_IN_CODE = program(
    "from hypercorn.config import Config; from hypercorn.run import run; "
    "run(Config.from_mapping(application_path='main:app', workers=2, bind=f'127.0.0.1:{port}'))"
)
ONE_OF_UVICORN_IN_CODE = program(
    "import asyncio, uvicorn; asyncio.run(uvicorn.Server(uvicorn.Config('main:app', port=port)).serve())"
)
ONE_OF_HYPERCORN_IN_CODE = program(
    "import asyncio, warnings, main; from hypercorn.config import Config; from hypercorn.asyncio import serve; "
    "asyncio.run(serve(main.app, Config.from_mapping(workers=2, bind=f'127.0.0.1:{port}')))"
)

SEVERAL = [
    Way("uvicorn, option", [*UVICORN, "--workers", "2"]),
    Way("uvicorn, WEB_CONCURRENCY", UVICORN, env={"WEB_CONCURRENCY": "2"}),
    Way("uvicorn, UVICORN_WORKERS", UVICORN, env={"UVICORN_WORKERS": "2"}),
    Way("uvicorn, in code", PROGRAM, UVICORN_IN_CODE),
    Way("gunicorn, option", [*GUNICORN, "-w", "2"]),
    Way("gunicorn, preloaded", [*GUNICORN, "-w2", "--preload"]),
    Way("gunicorn, gunicorn.conf.py", GUNICORN, {"gunicorn.conf.py": "workers = 2\n"}),
    Way("gunicorn, -c", [*GUNICORN, "-c", "other.py"], {"other.py": "import os\nworkers = 1 + len('1')\n"}),
    Way("gunicorn, GUNICORN_CMD_ARGS", GUNICORN, env={"GUNICORN_CMD_ARGS": "--workers=2"}),
    Way("gunicorn, WEB_CONCURRENCY", GUNICORN, env={"WEB_CONCURRENCY": "2"}),
    Way("gunicorn, its own ASGI worker", GUNICORN_ASGI, {"gunicorn.conf.py": "workers = 2\n"}),
    Way("hypercorn, option", [*HYPERCORN, "-w", "2"]),
    Way("hypercorn, uvloop", [*HYPERCORN, "-w", "2", "-k", "uvloop"]),
    Way("hypercorn, TOML", [*HYPERCORN, "-c", "h.toml"], {"h.toml": "workers = 2\n"}),
    Way("hypercorn, Python", [*HYPERCORN, "-c", "file:h.py"], {"h.py": "workers = 2\n"}),
    Way("hypercorn, in code", PROGRAM, HYPERCORN_IN_CODE),
    Way("granian, option", [*GRANIAN, "--workers", "2"]),
    Way("granian, GRANIAN_WORKERS", GRANIAN, env={"GRANIAN_WORKERS": "2"}),
    Way("granian, in code", PROGRAM, GRANIAN_IN_CODE),
    Way("granian, spawned", PROGRAM, GRANIAN_SPAWNED),
]

ONE = [
    Way("uvicorn", UVICORN),
    Way("uvicorn, --reload", [*UVICORN, "--reload"], env={"WEB_CONCURRENCY": "2"}),
    Way("uvicorn, one server in code", PROGRAM, ONE_OF_UVICORN_IN_CODE, {"WEB_CONCURRENCY": "2"}),
    Way("gunicorn", [*GUNICORN, "-w", "1"], {"gunicorn.conf.py": "workers = 2\n"}, {"WEB_CONCURRENCY": "2"}),
    Way("gunicorn, its own ASGI worker", GUNICORN_ASGI),
    Way("hypercorn", [*HYPERCORN, "-w", "1"]),
    Way("hypercorn, one server in code", PROGRAM, ONE_OF_HYPERCORN_IN_CODE),
    Way("granian", [*GRANIAN, "--workers", "1"], env={"WEB_CONCURRENCY": "2"}),
    Way("a program with an option of its own", [*PROGRAM, "--workers", "4"], ONE_OF_UVICORN_IN_CODE),
]


class Running:
    """A server in a process group of its own, and what it has said."""

    def __init__(self, way: Way, folder: Path) -> None:
        for name, text in {"main.py": APP, **way.files}.items():
            (folder / name).write_text(text)
        self.log_path = folder / "log"
        clean = {name: value for name, value in os.environ.items() if not re.search("WORKERS|CONCURRENCY|ARGS", name)}
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *(word.format(port=free_port()) for word in way.arguments)],
                cwd=folder,
                env={**clean, **way.env, "PYTHONPATH": str(folder), "HOME": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def wait_for(self, pattern: re.Pattern[str]) -> re.Match[str]:
        deadline = time.monotonic() + DEADLINE
        while (found := pattern.search(self.log)) is None:
            assert time.monotonic() < deadline, f"no {pattern.pattern!r} in {DEADLINE} s; it said:\n{self.log}"
            assert self.process.poll() is None or pattern.search(self.log), f"it ended, and said:\n{self.log}"
            time.sleep(0.05)
        return found


@contextlib.contextmanager
def running(way: Way, folder: Path) -> Iterator[Running]:
    server = Running(way, folder)
    try:
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait(DEADLINE)


@pytest.mark.parametrize("way", SEVERAL, ids=lambda way: way.name)
def test_several_workers_are_refused_with_the_remedy(way: Way, tmp_path: Path) -> None:
    with running(way, tmp_path) as server:
        refusal = server.wait_for(REFUSED)
    assert refusal[1] == "2"
    server_name = way.name.partition(",")[0]
    remedy = {
        "uvicorn": "--workers 1, or WEB_CONCURRENCY=1",
        "gunicorn": "workers = 1 in gunicorn.conf.py, -w 1, or WEB_CONCURRENCY=1",
        "hypercorn": "workers = 1 in its configuration, or -w 1",
        "granian": "--workers 1, or GRANIAN_WORKERS=1",
    }[server_name]
    assert f"Run one worker ({remedy}): " in refusal[0]
    assert refusal[0].endswith("Several need a broker that connects processes, and Hubbub has none so far.")


@pytest.mark.parametrize("way", ONE, ids=lambda way: way.name)
def test_one_worker_runs_whatever_else_is_set(way: Way, tmp_path: Path) -> None:
    with running(way, tmp_path) as server:
        server.wait_for(STARTED)
        assert not REFUSED.search(server.log)


def test_a_worker_that_a_signal_adds_is_refused(tmp_path: Path) -> None:
    with running(Way("gunicorn", GUNICORN), tmp_path) as server:
        server.wait_for(STARTED)
        server.process.send_signal(signal.SIGTTIN)
        assert server.wait_for(REFUSED)[1] == "2"
