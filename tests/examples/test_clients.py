import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import pytest
from tests.examples.conftest import EXAMPLES, Serve, load


def run(name: str, url: str) -> str:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / "clients" / f"{name}.py"), url],
        stdout=subprocess.PIPE,
        text=True,
        timeout=20,
        check=True,
    ).stdout


def test_the_echo_client_prints_what_comes_back(serve: Serve) -> None:
    port = serve(load("echo_server"))
    assert run("echo_client", f"ws://127.0.0.1:{port}/ws/echo") == "Response received: Echo: Hello, FastAPI!\n"


@pytest.mark.parametrize(
    ("server", "path", "first"),
    [
        ("stream_server", "/ws/stream", "Streaming message 1"),
        ("streaming_server_progress", "/ws/stream_progress", "Progress update: 10% complete"),
    ],
)
def test_the_stream_client_prints_the_stream_and_its_end(
    serve: Serve, hurry: Callable[[ModuleType], list[float]], server: str, path: str, first: str
) -> None:
    example = load(server)
    hurry(example)
    lines = run("stream_client", f"ws://127.0.0.1:{serve(example)}{path}").splitlines()
    assert len(lines) == 11
    assert lines[0] == f"Streamed response: {first}"
    assert lines[-1] == "Stream ended (1000)."
