"""A real uvicorn for each WebSocket implementation, in a thread of the test process; the fast path over TLS as well."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from tests.tls import TlsSocket, certificate, trust

WIRE = {
    "wire": {"ws": "hubbub.wire:Protocol", "http": "hubbub.wire:HttpProtocol", "loop": "uvloop"},
    "wire-asyncio": {"ws": "hubbub.wire:Protocol", "http": "h11", "loop": "asyncio"},
}
TLS = "-tls"
IMPLEMENTATIONS = {
    **WIRE,
    **{f"{name}{TLS}": options for name, options in WIRE.items()},
    "sansio": {"ws": "websockets-sansio"},
    "websockets": {"ws": "websockets"},
    "wsproto": {"ws": "wsproto"},
}


class Served:
    """A server that answers; `ws` and `http` are its address, by the scheme that it is asked in."""

    def __init__(self, app: Any, implementation: str, options: dict[str, Any]) -> None:
        self.implementation = implementation
        self.encrypted = implementation.endswith(TLS)
        if self.encrypted:
            options = dict(zip(("ssl_certfile", "ssl_keyfile"), certificate(), strict=True)) | options
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
        self.ws = f"{'wss' if self.encrypted else 'ws'}://127.0.0.1:{self.port}"
        self.http = f"{'https' if self.encrypted else 'http'}://127.0.0.1:{self.port}"

    def dial(self, *, receive_buffer: int = 0) -> Any:
        """A socket that is connected, for peers that do what no client library would."""
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(5)
        raw.connect(("127.0.0.1", self.port))
        return TlsSocket(raw, trust()) if self.encrypted else raw

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(15)
        assert not self.thread.is_alive(), "the server did not stop in time"


Serve = Callable[..., Served]


@pytest.fixture(params=list(IMPLEMENTATIONS))
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[name for name in IMPLEMENTATIONS if name.startswith("wire")])
def wire(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts servers, and stops them after the test: `serve(app, implementation, **uvicorn options)`."""
    monkeypatch.setenv("SSL_CERT_FILE", certificate()[0])  # what client libraries trust
    started: list[Served] = []

    def start(app: Any, implementation: str, **options: Any) -> Served:
        started.append(Served(app, implementation, options))
        return started[-1]

    yield start
    for served in started:
        served.stop()
