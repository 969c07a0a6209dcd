"""The same updates by polling over HTTP and by push over WebSocket: bytes, CPU time, delay.

    .venv/bin/python docs/measurements/http_vs_ws.py [--write]

A uvicorn with `hubbub run`'s protocols serves one value of 100 bytes that changes once a second. 200 clients
follow it for 10 s, on connections that stay open: by GET every second, by GET every fifth of a second, or by
a WebSocket in a channel. Counted at the clients' sockets: everything they send and receive after the start,
without TCP and IP headers. CPU time is that of the server process, from /proc (Linux only), less what the
same server takes with no client. The clients send the headers that Chromium sends with fetch().
"""

import asyncio
import os
import random
import re
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Header, Response, WebSocket

from hubbub import Hub
from machine import facts, write_between_marks

CLIENTS = 200
SECONDS = 10.0
EVERY = 1.0
PADDING = "x" * 80
HEADERS = (
    "Host: localhost\r\nConnection: keep-alive\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
    "Safari/537.36\r\n"
    'sec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: "Linux"\r\n'
    "Accept: */*\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n"
    "Referer: http://localhost/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n"
)

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)
value = f"0 0 {PADDING}"


@app.get("/value")
async def read(if_none_match: Annotated[str, Header()] = "") -> Response:
    etag = f'"{value.partition(" ")[0]}"'
    if if_none_match == etag:
        return Response(status_code=304)
    return Response(value, media_type="text/plain", headers={"etag": etag})


@app.post("/value")
async def change(number: int) -> None:
    global value
    value = f"{number:03} {time.monotonic():.6f} {PADDING}"
    await hub.publish("value", value)


@app.websocket("/ws")
async def follow(websocket: WebSocket) -> None:
    async with hub.connect(websocket) as client:
        await client.join("value")
        async for _ in client:
            pass


@dataclass
class Tally:
    """What all clients together sent, received and learned."""

    sent: int = 0
    received: int = 0
    delays: list[float] = field(default_factory=list)

    def note(self, text: str) -> None:
        _, stamp, _ = text.split(" ")
        self.delays.append(time.monotonic() - float(stamp))


async def poll(port: int, every: float, tally: Tally, end: float) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    etag = ""
    at = time.monotonic() + random.random() * every  # noqa: S311
    while at < end:
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        condition = f"If-None-Match: {etag}\r\n" if etag else ""
        request = f"GET /value HTTP/1.1\r\n{HEADERS}{condition}\r\n".encode()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        body = await reader.readexactly(int(length[1]) if length and b" 304 " not in head[:16] else 0)
        tally.sent += len(request)
        tally.received += len(head) + len(body)
        if body:
            before, etag = etag, re.search(rb"etag: (\S+)", head)[1].decode()  # type: ignore[index]
            if before:  # the first answer is where the client starts, not an update
                tally.note(body.decode())
        at += every
    writer.close()


async def listen(port: int, tally: Tally, end: float) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET /ws HTTP/1.1\r\n{HEADERS}".replace("Connection: keep-alive", "Connection: Upgrade").encode()
        + b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    try:
        async with asyncio.timeout(end - time.monotonic()):
            while True:
                first, size = await reader.readexactly(2)
                payload = await reader.readexactly(size)  # under 126 bytes: no longer length follows
                tally.received += 2 + size
                if first == 0x81:
                    tally.note(payload.decode())
                elif first == 0x89:
                    pong = bytes((0x8A, 0x80 | size, 0, 0, 0, 0)) + payload  # masked, with a mask of zeroes
                    writer.write(pong)
                    tally.sent += len(pong)
    except TimeoutError:
        pass
    writer.close()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def post(port: int, number: int) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/value?number={number}", method="POST")
    urllib.request.urlopen(request, timeout=5).close()  # noqa: S310


async def run(kind: str, every: float, port: int, pid: int) -> tuple[Tally, float]:
    """One way to follow the value; the tally, and the server's CPU seconds."""
    tally = Tally()
    post(port, 0)
    end = time.monotonic() + SECONDS + 1
    if kind == "poll":
        following = [asyncio.create_task(poll(port, every, tally, end)) for _ in range(CLIENTS)]
    elif kind == "push":
        following = [asyncio.create_task(listen(port, tally, end)) for _ in range(CLIENTS)]
    else:
        following = [asyncio.create_task(asyncio.sleep(SECONDS + 1))]
    await asyncio.sleep(1)
    before = cpu_seconds(pid)
    tally.sent = tally.received = 0
    tally.delays.clear()
    for number in range(int(SECONDS / EVERY)):
        await asyncio.to_thread(post, port, number + 1)
        await asyncio.sleep(EVERY)
    cpu = cpu_seconds(pid) - before
    await asyncio.gather(*following)
    return tally, cpu


def row(name: str, tally: Tally, cpu: float) -> str:
    updates = len(tally.delays)
    late = quantiles(tally.delays, n=100)[98]
    return (
        f"| {name} | {updates:,} | {(tally.sent + tally.received) / updates:,.0f} | {cpu / updates * 1e6:,.0f} "
        f"| {median(tally.delays) * 1000:,.1f} | {late * 1000:,.1f} |"
    )


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        protocols = {"ws": "hubbub.wire:Protocol", "http": "hubbub.wire:HttpProtocol"}
        uvicorn.run(app, port=int(sys.argv[2]), loop="uvloop", access_log=False, log_level="warning", **protocols)
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, __file__, "--serve", str(port)])  # noqa: S603
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                post(port, 0)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        _, idle = asyncio.run(run("nothing", 0, port, server.pid))
        rows = []
        ways = (("GET every 1 s", "poll", 1.0), ("GET every 0.2 s", "poll", 0.2), ("WebSocket push", "push", 0.0))
        for name, kind, every in ways:
            tally, cpu = asyncio.run(run(kind, every, port, server.pid))
            rows.append(row(name, tally, cpu - idle))
    finally:
        server.terminate()
        server.wait()
    lines = [
        "| way | updates received | bytes per update | server CPU, µs per update | delay, median ms | 99 % ms |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        f"{CLIENTS} clients, one update a second for {SECONDS:.0f} s. Measured with "
        f"`docs/measurements/http_vs_ws.py` on {facts('uvicorn', 'fastapi', 'uvloop', 'httptools')}.",
    ]
    text = "\n".join(lines)
    print(text)
    if "--write" in sys.argv:
        write_between_marks("explanation/http-or-websocket.md", "http and websocket", text)


if __name__ == "__main__":
    main()
