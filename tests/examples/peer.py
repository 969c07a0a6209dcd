"""A WebSocket client that compares bytes: what it hears is exactly what is written here, frame by frame."""

import http.client
import json
import socket
from contextlib import closing
from types import TracebackType
from typing import Self

DEADLINE = 5.0
MASK = b"\x37\xfa\x21\x3d"


def frame(first: int, payload: bytes) -> bytes:
    """A frame as a server writes it: not masked."""
    size = len(payload)
    assert size < 0x10000
    return bytes((first, size)) + payload if size < 126 else bytes((first, 126)) + size.to_bytes(2, "big") + payload


class Peer:
    """One connection; every wait ends at a deadline."""

    def __init__(self, port: int, target: str, headers: dict[str, str] | None = None) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            *(f"{name}: {value}" for name, value in (headers or {}).items()),
        ]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self._socket.recv(1)
            assert byte, f"the server hung up after {head!r}"
            head += byte
        self.status = int(head.split(b" ", 2)[1])

    def __enter__(self) -> Self:
        assert self.status == 101
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def says(self, text: str) -> None:
        self._send(0x81, text.encode())

    def hears(self, text: str) -> None:
        self._expect(frame(0x81, text.encode()))

    def hears_goodbye(self, code: int, reason: str = "") -> None:
        """The server closes; nothing comes behind its close frame."""
        self._expect(frame(0x88, code.to_bytes(2, "big") + reason.encode()))
        self._send(0x88, code.to_bytes(2, "big"))
        assert self._socket.recv(1) == b""

    def leaves(self) -> None:
        """Closes, and hears nothing but the answer to that."""
        self._send(0x88, (1000).to_bytes(2, "big"))
        self._expect(frame(0x88, (1000).to_bytes(2, "big")))
        assert self._socket.recv(1) == b""

    def close(self) -> None:
        self._socket.close()

    def _send(self, first: int, payload: bytes) -> None:
        assert len(payload) < 126
        masked = bytes(byte ^ MASK[index & 3] for index, byte in enumerate(payload))
        self._socket.sendall(bytes((first, 0x80 | len(payload))) + MASK + masked)

    def _expect(self, expected: bytes) -> None:
        heard = b""
        while len(heard) < len(expected):
            try:
                more = self._socket.recv(len(expected) - len(heard))
            except TimeoutError:
                raise AssertionError(f"expected {expected!r} within {DEADLINE} s, heard {heard!r}") from None
            assert more, f"expected {expected!r}, heard {heard!r} and the end"
            heard += more
        assert heard == expected


def refused(port: int, target: str) -> int:
    """The status with which the server refuses to open a WebSocket."""
    peer = Peer(port, target)
    peer.close()
    return peer.status


def post(port: int, target: str, body: object, headers: dict[str, str]) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)) as connection:
        connection.request("POST", target, json.dumps(body), {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        return response.status, response.read()
