"""Commands that are given an address with the wrong scheme, or a certificate that nobody has vouched for."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.processes import Process, run
from tests.tls import certificate

APP = """
from fastapi import FastAPI, WebSocket
from hubbub import Hub

hub = Hub(allow_anonymous=True, api_key="key")
hub.channel("chat", may_subscribe="everyone")
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)
app.include_router(hub.api)

@app.websocket("/ws")
async def echo(websocket: WebSocket):
    async with hub.connect(websocket) as client:
        async for text in client:
            await client.send(text)
"""
COMMANDS = {
    "connect": ("connect", "{}/ws"),
    "subscribe": ("subscribe", "{}", "chat"),
    "publish": ("publish", "{}", "chat", "hi", "--api-key", "key"),
}


def said(command: str, server: str, folder: Path, **env: str) -> tuple[int, str]:
    """The exit code of a command at this server, and its error."""
    finished = run(*(word.format(server) for word in COMMANDS[command]), cwd=folder, env=env, typed="")
    return finished.returncode, finished.stderr


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("plain")
    (folder / "main.py").write_text(APP)
    with Process("run", "main:app", "--port", "0", cwd=folder) as process:
        yield f"127.0.0.1:{process.port()}"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("tls")
    (folder / "main.py").write_text(APP)
    cert, key = certificate()
    options = ("--ssl-certfile", cert, "--ssl-keyfile", key)
    with Process("run", "main:app", "--port", "0", *options, cwd=folder) as process:
        port = process.wait_for(r"Uvicorn running on https://\S+:(\d+) ")[1]
        yield f"127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("command", "typed", "scheme"),
    [
        ("connect", "", "wss"),
        ("connect", "ws://", "wss"),
        ("connect", "http://", "wss"),
        ("subscribe", "http://", "wss"),
        ("publish", "ws://", "https"),
        ("publish", "", "https"),
    ],
)
def test_who_speaks_plainly_to_a_server_with_tls_is_told_the_scheme(
    tls: str, tmp_path: Path, command: str, typed: str, scheme: str
) -> None:
    told = f"{tls} speaks TLS: begin the address with {scheme}://\n"
    assert said(command, f"{typed}{tls}", tmp_path) == (1, told)


@pytest.mark.parametrize(
    ("command", "typed", "scheme"),
    [("connect", "wss://", "ws"), ("connect", "https://", "ws"), ("subscribe", "wss://", "ws"),
     ("publish", "https://", "http")],
)  # fmt: skip
def test_who_speaks_tls_to_a_plain_server_is_told_the_scheme(
    plain: str, tmp_path: Path, command: str, typed: str, scheme: str
) -> None:
    told = f"{plain} seems not to speak TLS: begin the address with {scheme}://\n"
    assert said(command, f"{typed}{plain}", tmp_path) == (1, told)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_certificate_that_is_not_trusted_is_told_with_the_variable_that_helps(
    tls: str, tmp_path: Path, command: str
) -> None:
    code, error = said(command, f"https://{tls}", tmp_path)
    assert code == 1
    assert error.startswith(f"the certificate of {tls} is not trusted (")
    assert "in the variable SSL_CERT_FILE\n" in error


@pytest.mark.parametrize("command", ["connect", "publish"])
def test_the_variable_names_whom_to_trust(tls: str, tmp_path: Path, command: str) -> None:
    assert said(command, f"https://{tls}", tmp_path, SSL_CERT_FILE=certificate()[0]) == (0, "")


class Proxy:
    """Speaks TLS, and answers 400 to who does not: as nginx on a port for TLS."""

    def __enter__(self) -> str:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*certificate())
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(5)
                with connection, contextlib.suppress(OSError):
                    if connection.recv(1, socket.MSG_PEEK) == b"\x16":
                        self._context.wrap_socket(connection, server_side=True).close()
                    else:
                        while b"\r\n\r\n" not in connection.recv(65536):
                            pass
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(("command", "scheme"), [("connect", "wss"), ("subscribe", "wss"), ("publish", "https")])
def test_a_proxy_that_answers_400_on_its_port_for_tls_is_told_with_the_scheme(
    tmp_path: Path, command: str, scheme: str
) -> None:
    with Proxy() as proxy:
        told = f"refused with HTTP 400: {proxy} speaks TLS: begin the address with {scheme}://\n"
        assert said(command, proxy, tmp_path) == (1, told)
