"""What a peer puts into an address stays harmless in the log of every server, at every log level."""

import base64
import json
import re
import socket
import time
from urllib.parse import quote

import pytest

from .capabilities import KINDS
from .conftest import Serve
from .servers import Server

SECRET = "very-s3cret-value"
FORGED = "INFO:     10.0.0.1:1 - admin logged in"
ESCAPE = "\x1b[2J"
DEADLINE = 10.0
HYPERCORN = '%(h)s "%(R)s" %(q)s %({authorization}i)s %({x-none}i)s'
GRANIAN = '%(addr)s "%(method)s %(path)s" %(query_string)s %(header{authorization})s'
VERBOSE = {
    "hypercorn": ("--workers", "0", "--log-level", "debug", "--access-logformat", HYPERCORN),
    "granian": ("--log-level", "debug", "--access-log-fmt", GRANIAN),
}
TARGETS = [
    f"/ws/chat?token={SECRET}",
    f"/ws/chat?next={quote(f'https://app.example/?token={SECRET}', safe='')}",
    f"/ws/chat?token[]={SECRET}",
    f"/ws/chat?access%5Ftoken={SECRET}",
    f"/ws/chat?data={quote(json.dumps({'token': SECRET}))}",
    f"/nowhere?a=1&password={SECRET}",
    f"/nowhere%0A{quote(FORGED)}",
    f"/ws/chat%0D%0A{quote(FORGED)}",
    f"/ws/chat{quote(ESCAPE)}",
    f"/ws/chat?{quote(ESCAPE)}=%0A{quote(FORGED)}",
]


def ask(port: int, target: str, *headers: str) -> None:
    """One request, and its answer's first line."""
    key = base64.b64encode(bytes(16)).decode()
    upgrade = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
    lines = [f"GET {target} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {SECRET}", f"Cookie: id={SECRET}"]
    lines += (upgrade if target.startswith("/ws") else ["Connection: close"]) + list(headers)
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        assert connection.recv(1024).startswith(b"HTTP/1.1 ")


def wait_until_logged(server: Server, times: int) -> str:
    deadline = time.monotonic() + DEADLINE
    while (log := server.log()).count("/the-end") < times:
        assert time.monotonic() < deadline, f"the last request is not in the log:\n{log}"
        time.sleep(0.05)
    return log


@pytest.mark.parametrize("kind", KINDS)
def test_no_request_puts_a_secret_or_a_line_of_its_own_into_the_log(serve: Serve, kind: str) -> None:
    server = serve(kind, "hub_chat:app", options=VERBOSE.get(kind, ("--log-level", "trace")))
    for target in TARGETS:
        ask(server.port, target)
        ask(server.port, target, "Origin: https://evil.example")
    ask(server.port, "/the-end")
    log = wait_until_logged(server, 1)
    assert re.search(r"/nowhere(\\n|%0A)", log), "the requests are in the log"
    assert re.search(r"token\[\]=\*\*\*", log), "and so are their queries"
    assert [line for line in log.splitlines() if SECRET in line] == []
    assert [line for line in log.splitlines() if line.startswith("INFO:     10.0.0.1:1")] == []
    assert ESCAPE not in log
