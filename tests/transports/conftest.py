"""A real uvicorn for each WebSocket implementation, in a thread of the test process."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn

IMPLEMENTATIONS = {
    "wire": {"ws": "hubbub.wire:Protocol", "http": "hubbub.wire:HttpProtocol", "loop": "uvloop"},
    "wire-asyncio": {"ws": "hubbub.wire:Protocol", "http": "h11", "loop": "asyncio"},
    "sansio": {"ws": "websockets-sansio"},
    "websockets": {"ws": "websockets"},
    "wsproto": {"ws": "wsproto"},
}


class Served:
    """A server that answers; `url` is its address without the scheme."""

    def __init__(self, app: Any, implementation: str, options: dict[str, Any]) -> None:
        self.implementation = implementation
        config = uvicorn.Config(app, **{"port": 0, "log_config": None, **IMPLEMENTATIONS[implementation], **options})
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        deadline = time.monotonic() + 15
        while not self.server.started:
            assert self.thread.is_alive(), "the server ended at its start"
            assert time.monotonic() < deadline, "the server did not start in time"
            time.sleep(0.005)
        self.port: int = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(15)
        assert not self.thread.is_alive(), "the server did not stop in time"


Serve = Callable[..., Served]


@pytest.fixture(params=list(IMPLEMENTATIONS))
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["wire", "wire-asyncio"])
def wire(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers, and stops them after the test: `serve(app, implementation, **uvicorn options)`."""
    started: list[Served] = []

    def start(app: Any, implementation: str, **options: Any) -> Served:
        started.append(Served(app, implementation, options))
        return started[-1]

    yield start
    for served in started:
        served.stop()
