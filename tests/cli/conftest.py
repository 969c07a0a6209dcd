"""A folder with an app in it, and a server for those who connect."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .processes import Process

APP = """
import asyncio
from fastapi import FastAPI, WebSocket
from hubbub import Hub

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)

@app.websocket("/ws")
async def echo(websocket: WebSocket):
    async with hub.connect(websocket, subprotocol=(websocket.scope["subprotocols"] or [None])[0]) as client:
        await client.send("token: " + websocket.query_params.get("token", "none"))
        async for text in client:
            if text in ("leave", '"leave"'):
                await client.close(4000, "as you wish")
            elif text.isdigit() and len(text) == 4:
                await client.close(int(text))
            elif text == "slow":
                for number in range(4):
                    await client.send(f"slow {number}")
                    await asyncio.sleep(0.4)
            elif text == "who":
                await client.send(dict(websocket.headers))
            elif text == '"json"':
                await client.send({"a": [1, "ü"]})
            elif text == '"json with controls"':
                await client.send({"a": [1, "ü \\x9b"]})
            elif text == "bytes":
                await client.send(bytes(range(100)))
            else:
                await client.send(f"heard {text}")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with `main.py` in it, a small app."""
    (tmp_path / "main.py").write_text(APP)
    return tmp_path


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server that runs the small app for everyone who connects."""
    folder = tmp_path_factory.mktemp("echo")
    (folder / "main.py").write_text(APP)
    with Process("run", "main:app", "--port", "0", cwd=folder) as process:
        yield process.port()
