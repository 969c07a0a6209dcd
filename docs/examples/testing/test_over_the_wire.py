"""Tests through a real server, on the fast path, as in production."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from rooms import app
from websockets.asyncio.client import ClientConnection, connect

DEADLINE = 5.0


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, ws="hubbub.wire:Protocol", log_level="warning", timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        deadline = time.monotonic() + DEADLINE
        while not server.started:
            assert thread.is_alive(), "the server ended while it started"
            assert time.monotonic() < deadline, "the server did not start in time"
            time.sleep(0.01)
        yield f"ws://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(DEADLINE)


async def heard(websocket: ClientConnection) -> str | bytes:
    async with asyncio.timeout(DEADLINE):
        return await websocket.recv()


def test_rooms_are_apart(address: str) -> None:
    async def scenario() -> None:
        async with connect(f"{address}/ws/rooms/tea") as anna, connect(f"{address}/ws/rooms/coffee") as ben:
            await anna.send("tea?")
            assert await heard(anna) == "tea?"
            await ben.send("coffee?")
            assert await heard(ben) == "coffee?", "and not what was said over tea"

    asyncio.run(scenario())


def test_a_message_over_the_limit_closes_with_1009(address: str) -> None:
    async def scenario() -> None:
        async with connect(f"{address}/ws/rooms/tea") as anna:
            await anna.send("x" * 65_537)
            async with asyncio.timeout(DEADLINE):
                await anna.wait_closed()
            assert anna.close_code == 1009

    asyncio.run(scenario())
