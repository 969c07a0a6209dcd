"""Our server under the configurations of the reference: started once for each, and fresh."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from .record import BACKEND_PORT, configuration, free_port

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def backend_port() -> int:
    """Where the tests serve the backend of shared polls."""
    return free_port()


@pytest.fixture(scope="session")
def hubbub_url(backend_port: int) -> Iterator[Callable[[str], str]]:
    """Gives the base URL of our server for a configuration, started fresh at the first call for each.

    A server must be fresh, since epochs, offsets and histories of the channels are part of what is compared.
    """
    urls: dict[str, str] = {}
    servers: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as folder:

        def start(name: str) -> str:
            if name not in urls:
                file = Path(folder) / f"{name}.json"
                file.write_text(configuration(name).read_text().replace(f":{BACKEND_PORT}/", f":{backend_port}/"))
                port = free_port()
                servers.append(launch(file, port))
                urls[name] = f"http://127.0.0.1:{port}"
            return urls[name]

        yield start
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait(10)


def launch(file: Path, port: int) -> subprocess.Popen[bytes]:
    """Our server with a configuration, when it answers."""
    command = [sys.executable, "-m", "uvicorn", "--factory", "tests.differential.ours:app", "--port", str(port)]
    options = ["--ws", "hubbub.wire:Protocol", "--log-level", "warning"]
    environment = {**os.environ, "HUBBUB_DIFFERENTIAL": str(file)}
    server = subprocess.Popen([*command, *options], cwd=ROOT, env=environment)
    with httpx.Client(transport=httpx.HTTPTransport(retries=9), trust_env=False) as client:
        client.get(f"http://127.0.0.1:{port}/openapi.json")
    return server
