"""One member of a room stops reading: what the others get, what stays behind, and how long a stop takes.

    .venv/bin/python docs/measurements/stalled_reader.py [--write]

The three apps of docs/explanation/slow-readers.md, each on a uvicorn of its own. B sends 100 messages of
60 kB, one every 20 ms; C reads; S has joined and never reads. After 15 s, another member that does not read
is sent 45 messages more, and the server gets SIGTERM. Linux only (it looks into /proc).
"""

import asyncio
import base64
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from machine import facts, write_between_marks

EXAMPLES = Path(__file__).parents[1] / "examples"
RUNS = (
    ("naive", "slow_naive", "auto"),
    ("time limit and close", "slow_timeout", "auto"),
    ("Hubbub, plain uvicorn", "slow_right", "auto"),
    ("Hubbub, fast path", "slow_right", "hubbub.wire:Protocol"),
)
MESSAGES = 100
SIZE = 60_000
SPACING = 0.02
WATCH = 15.0
STOP_LIMIT = 15.0


class Seen(NamedTuple):
    heard: int
    worst: float
    freed_after: float | None
    stop: float | None

    def row(self, name: str) -> str:
        freed = f"after {self.freed_after:.1f} s" if self.freed_after is not None else f"not in {WATCH:.0f} s"
        stop = f"{self.stop:.1f} s" if self.stop is not None else f"not in {STOP_LIMIT:.0f} s"
        worst = f"{self.worst * 1000:.0f} ms" if self.heard else "–"
        return f"| {name} | {self.heard} of {MESSAGES} | {worst} | {freed} | {stop} |"


def serve(module: str, ws: str, port: int) -> None:
    sys.path.insert(0, str(EXAMPLES))
    # Pings of 5 + 5 s, so that every server has the time to notice by them.
    uvicorn.run(f"{module}:app", port=port, ws=ws, ws_ping_interval=5, ws_ping_timeout=5, log_level="critical")


def open_stalled(port: int) -> socket.socket:
    """A member that has taken the handshake's answer and reads no more."""
    stalled = socket.socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.connect(("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    stalled.sendall(
        f"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    stalled.recv(1024)
    return stalled


def held(port: int, peer: int) -> bool:
    """Whether the server still has its end of the connection open."""
    ends = (f"0100007F:{port:04X}", f"0100007F:{peer:04X}")
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if (fields[1], fields[2]) == ends:
            return fields[9] != "0"
    return False


async def listen(websocket: ClientConnection, delays: list[float]) -> None:
    try:
        async for message in websocket:
            delays.append(time.monotonic() - float(str(message).partition(" ")[0]))
    except ConnectionClosed:
        pass


async def speak(websocket: ClientConnection, messages: int, spacing: float) -> None:
    padding = "x" * SIZE
    try:
        for _ in range(messages):
            await websocket.send(f"{time.monotonic()} {padding}")
            await asyncio.sleep(spacing)
    except ConnectionClosed:
        pass


async def watch(port: int, stalled: socket.socket) -> tuple[list[float], float | None]:
    """What C heard, each with its delay, and after how many seconds the stalled peer was gone."""
    url = f"ws://127.0.0.1:{port}/ws"
    peer = stalled.getsockname()[1]
    delays: list[float] = []
    listener = await connect(url, ping_interval=None)
    speaker = await connect(url, ping_interval=None)
    speaking = asyncio.create_task(speak(speaker, MESSAGES, SPACING))
    listening = [asyncio.create_task(listen(listener, delays)), asyncio.create_task(listen(speaker, []))]
    started = time.monotonic()
    freed: float | None = None
    while time.monotonic() - started < WATCH and (freed is None or not speaking.done()):
        await asyncio.sleep(0.1)
        if freed is None and not held(port, peer):
            freed = time.monotonic() - started
    await asyncio.sleep(0.5)
    for task in (speaking, *listening):
        task.cancel()
    return delays, freed


async def fill(port: int) -> None:
    """Sends as much as the kernel takes for a member that does not read, and something more."""
    async with connect(f"ws://127.0.0.1:{port}/ws", ping_interval=None) as speaker:
        listening = asyncio.create_task(listen(speaker, []))
        await asyncio.wait([asyncio.create_task(speak(speaker, 45, 0.005))], timeout=2)
        await asyncio.sleep(0.3)
        listening.cancel()
        speaker.transport.abort()


def wait_until_it_answers(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json", timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def measure(module: str, ws: str) -> Seen:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {**os.environ, "HUBBUB_BYTE_RATE": "0", "HUBBUB_MESSAGE_RATE": "0"}
    server = subprocess.Popen([sys.executable, __file__, "--serve", module, ws, str(port)], env=environ)  # noqa: S603
    try:
        wait_until_it_answers(port)
        with open_stalled(port) as stalled:
            delays, freed = asyncio.run(watch(port, stalled))
            with open_stalled(port):
                asyncio.run(fill(port))
                asked = time.monotonic()
                server.send_signal(signal.SIGTERM)
                try:
                    server.wait(STOP_LIMIT)
                    stop = time.monotonic() - asked
                except subprocess.TimeoutExpired:
                    stop = None
    finally:
        server.kill()
        server.wait()
    return Seen(len(delays), max(delays, default=0.0), freed, stop)


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    lines = [
        "| room | C heard | C waited at most | S's connection freed | stop with SIGTERM |",
        "|---|---|---|---|---|",
        *(measure(module, ws).row(name) for name, module, ws in RUNS),
        "",
        f"Measured with `docs/measurements/stalled_reader.py` on {facts('uvicorn', 'fastapi', 'uvloop')}.",
    ]
    text = "\n".join(lines)
    print(text)
    if "--write" in sys.argv:
        write_between_marks("explanation/slow-readers.md", "stalled reader", text)


if __name__ == "__main__":
    main()
