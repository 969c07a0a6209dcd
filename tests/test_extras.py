"""Without the extras everything works but what needs them, and that says which extra to install."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.processes import Process, environment
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

DEADLINE = 30.0
BARE_PYTHON = os.environ.get("BARE_PYTHON", "")
"""An interpreter where only the package itself is installed; else ours, with the extras hidden from it."""
HIDDEN = "" if BARE_PYTHON else "import sys; sys.modules.update(dict.fromkeys({names}))\n"
EXTRAS = ("typer", "rich", "watchfiles", "google.protobuf")
APP = """
from fastapi import FastAPI
from hubbub import Hub

hub = Hub(allow_anonymous=True)
hub.channel("news", may_subscribe="everyone")
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)
"""


def python(folder: Path, program: str, hidden: tuple[str, ...] = EXTRAS) -> list[str]:
    (folder / "program.py").write_text(HIDDEN.format(names=list(hidden)) + program)
    return [BARE_PYTHON or sys.executable, "program.py"]


def run(folder: Path, program: str, hidden: tuple[str, ...] = EXTRAS) -> subprocess.CompletedProcess[str]:
    command = python(folder, program, hidden)
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=DEADLINE, check=False
    )


def test_the_package_is_imported_without_any_extra(tmp_path: Path) -> None:
    finished = run(tmp_path, "import hubbub, hubbub.wire; print([hubbub.Hub(), hubbub.wire.Protocol][1].__module__)")
    assert (finished.stdout, finished.stderr) == ("hubbub.transports.wire\n", "")


@pytest.mark.parametrize("hidden", [("typer",), ("rich",), ("typer", "rich")], ids=" and ".join)
def test_the_command_line_without_its_libraries_names_the_extra(tmp_path: Path, hidden: tuple[str, ...]) -> None:
    finished = run(tmp_path, "from hubbub.cli import main; main()", hidden)
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert finished.stderr == (
        'hubbub: the command line needs typer and rich, which are not installed: pip install "hubbub[standard]"\n'
        "hubbub: without them, run your app with: uvicorn main:app --ws hubbub.wire:Protocol\n"
    )


def test_without_protobuf_its_clients_are_told_not_to_come_back_and_json_goes_on(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(APP)
    command = python(tmp_path, "import uvicorn; uvicorn.run('main:app', port=0, ws='hubbub.wire:Protocol')")
    with Process(*command[1:], cwd=tmp_path, command=command[:1]) as process:
        address = f"ws://127.0.0.1:{process.port()}/connection/websocket"
        for _ in range(2):
            with connect(f"{address}?format=protobuf") as websocket:
                websocket.send(b"\x04\x08\x01\x22\x00")
                with pytest.raises(ConnectionClosed) as caught:
                    websocket.recv(5)
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == 3501
        with connect(address) as websocket:
            websocket.send('{"id":1,"connect":{}}')
            assert '"client"' in websocket.recv(5)
        process.wait_for('protobuf 6.31 or newer is not installed: pip install "hubbub.protobuf."')
        assert process.said.count("is not installed") == 1
        assert process.faults() == []
