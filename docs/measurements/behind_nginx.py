"""Runs docs/examples/nginx.conf before an app of the docs, on ports of this machine, and says what it saw.

    .venv/bin/python docs/measurements/behind_nginx.py

It needs nginx and openssl. Nothing outside a temporary folder is written; both servers end with the script.
"""

import asyncio
import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

EXAMPLES = Path(__file__).parents[1] / "examples"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@contextlib.contextmanager
def app(folder: Path, port: int, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """goodbyes.py on the fast path; its log goes to app.log."""
    hubbub = Path(sys.executable).with_name("hubbub")
    with (folder / "app.log").open("wb") as log:
        command = [hubbub, "run", "goodbyes:app", "--port", str(port)]
        process = subprocess.Popen(  # noqa: S603
            command, cwd=EXAMPLES, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **settings}
        )
    try:
        wait_for(port)
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def nginx(folder: Path, app_port: int, port: int, **changes: str) -> Iterator[subprocess.Popen[bytes]]:
    """nginx with the configuration of the docs, but for ports, paths and ``changes``."""
    text = (EXAMPLES / "nginx.conf").read_text()
    for old, new in {
        "listen 80;": f"listen 127.0.0.1:{free_port()};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "127.0.0.1:8000": f"127.0.0.1:{app_port}",
        "/etc/ssl/app.example.pem": str(folder / "cert.pem"),
        "/etc/ssl/app.example.key": str(folder / "key.pem"),
        "/var/log/nginx/access.log": str(folder / "access.log"),
        "worker_processes auto": "worker_processes 1",
        "worker_rlimit_nofile 40000": "worker_rlimit_nofile 1024",
        "worker_connections 20000": "worker_connections 512",
        **changes,
    }.items():
        assert old in text, f"{old!r} is not in the configuration"
        text = text.replace(old, new)
    (folder / "nginx.conf").write_text(f"daemon off; pid {folder}/nginx.pid;\n{text}")
    command = ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    process = subprocess.Popen(command)  # noqa: S603
    try:
        wait_for(port)
        yield process
    finally:
        process.terminate()
        process.wait()


async def talk(folder: Path, port: int, app_process: subprocess.Popen[bytes], proxy: subprocess.Popen[bytes]) -> None:
    tls = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    url = f"wss://localhost:{port}/ws/chat"
    # From another address than nginx connects from.
    mine = {"origin": f"https://localhost:{port}", "local_addr": ("127.0.0.2", 0)}
    async with connect(f"{url}?token=SECRET", ssl=tls, **mine) as websocket:
        await websocket.send("through nginx")
        print("a message through TLS and back:", await websocket.recv())
    try:
        async with connect(url, ssl=tls, origin="https://evil.example"):
            print("a foreign origin was accepted")
    except InvalidStatus as refusal:
        print("a foreign origin: HTTP", refusal.response.status_code)
    async with connect(url, ssl=tls) as websocket:
        proxy.send_signal(signal.SIGHUP)
        await asyncio.sleep(1)
        await websocket.send("after the reload")
        print("a connection from before `nginx -s reload`:", await websocket.recv())
    async with connect(url, ssl=tls) as websocket:
        asked = time.monotonic()
        app_process.terminate()
        with contextlib.suppress(ConnectionClosed):
            while True:
                await websocket.recv()
        print("the app was stopped; the peer saw:", websocket.close_code, websocket.close_reason)
        await asyncio.to_thread(app_process.wait)
        print(f"the app had ended after {time.monotonic() - asked:.1f} s")
    try:
        async with connect(url, ssl=tls):
            print("connected to nothing")
    except InvalidStatus as refusal:
        print("a connection while the app is away: HTTP", refusal.response.status_code)


async def stay(folder: Path, port: int, seconds: float) -> None:
    tls = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    async with connect(f"wss://localhost:{port}/ws/chat", ssl=tls, ping_interval=None) as websocket:
        started = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                await websocket.recv()
        except TimeoutError:
            print(f"    still connected after {seconds:.0f} s")
        except ConnectionClosed:
            print(f"    ended after {time.monotonic() - started:.1f} s with {websocket.close_code}")


def stall(folder: Path, port: int) -> None:
    """A peer behind nginx that does not read; a second one talks until the hub notices."""
    tls = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.connect(("127.0.0.1", port))
    with tls.wrap_socket(plain, server_hostname="localhost") as stalled:
        stalled.sendall(
            b"GET /ws/chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        stalled.recv(1024)

        async def talk_until_noticed() -> None:
            async with connect(f"wss://localhost:{port}/ws/chat", ssl=tls, max_queue=None) as websocket:
                for sent in range(1, 401):
                    await websocket.send("x" * 60_000)
                    await websocket.recv()
                    if "3008" in (folder / "app.log").read_text():
                        print(f"a peer behind nginx that does not read was cut off after {sent * 60_000:,} bytes")
                        return
                print("a peer behind nginx that does not read was not noticed")

        asyncio.run(talk_until_noticed())


def main() -> None:
    print(subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr.strip())  # noqa: S607
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
        files = "-addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem"
        subprocess.run([*make.split(), *files.split()], cwd=folder, check=True, stderr=subprocess.DEVNULL)  # noqa: S603
        app_port, port = free_port(), free_port()
        with app(folder, app_port) as process, nginx(folder, app_port, port) as proxy:
            asyncio.run(talk(folder, port, process, proxy))
            addresses = re.findall(r"INFO: +(\S+):\d+ - \"WebSocket", (folder / "app.log").read_text())
            print("the app's log names as peers:", sorted(set(addresses)))
            print(
                "tokens in the logs:", sum("SECRET" in (folder / log).read_text() for log in ("app.log", "access.log"))
            )
        with app(folder, app_port, HUBBUB_BYTE_RATE="0", HUBBUB_MESSAGE_RATE="0"), nginx(folder, app_port, port):
            stall(folder, port)
        for interval in ("1", "15"):
            short = {"proxy_read_timeout 60s;": "proxy_read_timeout 3s;"}
            print(f"proxy_read_timeout 3 s, HUBBUB_PING_INTERVAL {interval} s:")
            with app(folder, app_port, HUBBUB_PING_INTERVAL=interval), nginx(folder, app_port, port, **short):
                asyncio.run(stay(folder, port, 10))


if __name__ == "__main__":
    main()
