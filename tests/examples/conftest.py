"""The examples, each loaded afresh and served by a real uvicorn in a thread."""

import asyncio
import importlib.util
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import uvicorn

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
STOP_DEADLINE = 10.0

Serve = Callable[[ModuleType], int]


def load(name: str) -> ModuleType:
    """The example as a new module, with a hub of its own."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["hubbub.wire:Protocol", "auto"], ids=["fast path", "plain uvicorn"])
def ws(request: pytest.FixtureRequest) -> str:
    """uvicorn's option of that name: the fast path, or nothing said, as in the examples' own first line."""
    return str(request.param)


@pytest.fixture
def serve(ws: str) -> Iterator[Serve]:
    """Serve the app of an example; gives the port."""
    running: list[tuple[uvicorn.Server, threading.Thread, socket.socket]] = []

    def start(module: ModuleType) -> int:
        # It listens before the server runs, so that there is nothing to wait for.
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(module.app, ws=ws, log_config=None, timeout_graceful_shutdown=3))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        running.append((server, thread, listening))
        return int(listening.getsockname()[1])

    yield start
    for server, thread, listening in running:
        server.should_exit = True
        thread.join(STOP_DEADLINE)
        listening.close()
        assert not thread.is_alive(), f"the server did not stop within {STOP_DEADLINE} s"


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType], list[float]]:
    """Make an example's `asyncio.sleep` take no time; gives the list of how long it wanted to sleep."""

    def patch(module: ModuleType) -> list[float]:
        slept: list[float] = []

        async def sleep(seconds: float, *_: Any) -> None:
            slept.append(seconds)
            await asyncio.sleep(0)

        monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=sleep))
        return slept

    return patch
