"""A blocking RFC 6455 client, as honest or as hostile as a test needs.

An honest peer has a thread that reads all the time, answers pings and notes when each message
came. A hostile one does not: it was made with `reads=False`, or was told to `stall()`.
Every wait has a deadline and says what it saw instead.
"""

import base64
import hashlib
import os
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import NamedTuple, Self

from tests.tls import TlsSocket

HANDSHAKE_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
SOCKET_TIMEOUT = 10.0
SMALLEST_RECEIVE_BUFFER = 2304  # what Linux makes of any smaller SO_RCVBUF


class Opcode(IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Frame(NamedTuple):
    opcode: int
    payload: bytes
    fin: bool


class Heard(NamedTuple):
    """A message and when it came (`time.monotonic()`)."""

    at: float
    data: str | bytes


@dataclass(frozen=True)
class Close:
    """How a connection ended; 1006 means that no close frame came, and `reason` then says what did."""

    code: int
    reason: str


class HandshakeRefused(Exception):
    """The server answered the upgrade with something other than 101."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__(f"the handshake was refused with {status}: {body!r}")
        self.status = status
        self.headers = headers
        self.body = body


def abridged(value: object, length: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= length else f"{text[: length - 20]}…({len(text)} characters)"


def encode_frame(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """One client frame; `masked=False` and `rsv` are for those who break the rules on purpose."""
    head = bytearray([(0x80 if fin else 0) | (rsv << 4) | opcode])
    mask_bit = 0x80 if masked else 0
    if len(payload) < 126:
        head.append(mask_bit | len(payload))
    elif len(payload) < 1 << 16:
        head += struct.pack("!BH", mask_bit | 126, len(payload))
    else:
        head += struct.pack("!BQ", mask_bit | 127, len(payload))
    if not masked:
        return bytes(head) + payload
    key = os.urandom(4)
    stretched = key * (len(payload) // 4 + 1)
    masked_payload = int.from_bytes(payload, "little") ^ int.from_bytes(stretched[: len(payload)], "little")
    return bytes(head) + key + masked_payload.to_bytes(len(payload), "little")


def decode_frame(buffer: bytearray) -> Frame | None:
    """Take one whole server frame off the front of `buffer`, or leave it as it is."""
    if len(buffer) < 2:
        return None
    size, start = buffer[1] & 0x7F, 2
    if size == 126:
        if len(buffer) < 4:
            return None
        (size,), start = struct.unpack_from("!H", buffer, 2), 4
    elif size == 127:
        if len(buffer) < 10:
            return None
        (size,), start = struct.unpack_from("!Q", buffer, 2), 10
    if len(buffer) < start + size:
        return None
    frame = Frame(buffer[0] & 0x0F, bytes(buffer[start : start + size]), bool(buffer[0] & 0x80))
    del buffer[: start + size]
    return frame


class Peer:
    """One WebSocket client connection over a socket, with TLS if it is told what to trust."""

    def __init__(
        self,
        port: int,
        path: str = "/ws/chat",
        *,
        name: str = "a peer",
        headers: Sequence[tuple[str, str]] = (),
        reads: bool = True,
        answers_pings: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name
        self.answers_pings = answers_pings
        self.heard: list[Heard] = []
        self.pings = 0
        self.closed: Close | None = None
        self.response_headers: dict[str, str] = {}
        self._buffer = bytearray()
        self._fragments: list[Frame] = []
        self._cursor = 0
        self._said_goodbye = False
        self._news = threading.Condition()
        self._reader: threading.Thread | None = None
        self._reading = False
        raw = socket.socket()
        raw.settimeout(SOCKET_TIMEOUT)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not reads:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALLEST_RECEIVE_BUFFER)
        try:
            raw.connect(("127.0.0.1", port))
            self.address: tuple[str, int] = raw.getsockname()
            self._socket = raw if tls is None else TlsSocket(raw, tls)
            self._shake_hands(port, path, headers)
        except BaseException:
            raw.close()
            raise
        if reads:
            self.resume()

    def __repr__(self) -> str:
        return f"<{self.name}, {self.closed or 'open'}, heard {len(self.heard)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drop()

    # The handshake.

    def _shake_hands(self, port: int, path: str, headers: Sequence[tuple[str, str]]) -> None:
        key = base64.b64encode(os.urandom(16))
        wanted = {
            "Host": f"127.0.0.1:{port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": key.decode(),
            "Sec-WebSocket-Version": "13",
        }
        lines = [f"GET {path} HTTP/1.1", *(f"{n}: {v}" for n, v in [*wanted.items(), *headers])]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        while b"\r\n\r\n" not in self._buffer:
            self._receive_or_fail("the head of the handshake response")
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        self._buffer = bytearray(rest)
        status_line, *header_lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in header_lines)
        self.response_headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        status = int(status_line.split()[1])
        if status != 101:
            raise HandshakeRefused(status, self.response_headers, self._rest_of_body())
        accept = base64.b64encode(hashlib.sha1(key + HANDSHAKE_GUID).digest()).decode()
        assert self.response_headers.get("sec-websocket-accept") == accept, self.response_headers

    def _receive_or_fail(self, what: str) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError(f"{self.name} expected {what}, saw the end after {bytes(self._buffer)!r}")
        self._buffer += data

    def _rest_of_body(self) -> bytes:
        size = int(self.response_headers.get("content-length", -1))
        with suppress(OSError):  # Without a length, the body ends with the connection.
            while size < 0 or len(self._buffer) < size:
                self._receive_or_fail("a response body")
        return bytes(self._buffer)

    # Reading, on the peer's own thread.

    def resume(self) -> None:
        """Start to read, or read again after `stall()`."""
        if self._reader is None:
            self._reading = True
            self._reader = threading.Thread(target=self._read, name=f"reads for {self.name}", daemon=True)
            self._reader.start()

    def stall(self) -> None:
        """Stop reading for good, with the smallest buffer the kernel allows."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALLEST_RECEIVE_BUFFER)
        self._stop_reading()

    def _stop_reading(self) -> None:
        self._reading = False
        if self._reader is not None and self._reader is not threading.current_thread():
            self._reader.join()
        self._reader = None

    def _read(self) -> None:
        while self._reading:
            frame = decode_frame(self._buffer)
            if frame is not None:
                self._take(frame)
                continue
            try:
                data = self._poll()
            except OSError as error:
                self._end(Close(1006, type(error).__name__))
                return
            if data == b"":
                self._end(Close(1006, "the stream ended without a close frame"))
                # The server hangs up first (RFC 6455, section 7.1.1); now it is the client's turn.
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
                return
            self._buffer += data or b""

    def _end(self, close: Close) -> None:
        """Note how the connection ended; the first to say so is right."""
        with self._news:
            self.closed = self.closed or close
            self._news.notify_all()

    def _poll(self) -> bytes | None:
        """What has arrived, `b""` for the end, None after a moment of silence, so that `stall()` takes hold."""
        if isinstance(self._socket, TlsSocket) and self._socket.has_decrypted():
            return self._socket.recv(1 << 18)
        readable, _, _ = select.select([self._socket], [], [], 0.05)
        return self._socket.recv(1 << 18) if readable else None

    def _take(self, frame: Frame) -> None:
        if frame.opcode == Opcode.CLOSE:
            code = struct.unpack("!H", frame.payload[:2])[0] if frame.payload else 1005
            if not self._said_goodbye:
                self._try_to_send(encode_frame(Opcode.CLOSE, frame.payload[:2]))
            self._end(Close(code, frame.payload[2:].decode()))
        elif frame.opcode == Opcode.PING:
            self.pings += 1
            if self.answers_pings:
                self._try_to_send(encode_frame(Opcode.PONG, frame.payload))
        elif frame.opcode != Opcode.PONG:
            self._fragments.append(frame)
            if frame.fin:
                data = b"".join(fragment.payload for fragment in self._fragments)
                is_text = self._fragments[0].opcode == Opcode.TEXT
                self._fragments.clear()
                with self._news:
                    self.heard.append(Heard(time.monotonic(), data.decode() if is_text else data))
                    self._news.notify_all()

    def _try_to_send(self, data: bytes) -> None:
        with suppress(OSError):  # If the server has gone, the reader is about to find out.
            self._socket.sendall(data)

    # Sending.

    def send_text(self, text: str) -> None:
        self.send_frame(Opcode.TEXT, text.encode())

    def send_binary(self, data: bytes) -> None:
        self.send_frame(Opcode.BINARY, data)

    def send_fragments(self, parts: Sequence[str]) -> None:
        """One text message in as many frames as there are parts."""
        for number, part in enumerate(parts):
            opcode = Opcode.CONTINUATION if number else Opcode.TEXT
            self.send_frame(opcode, part.encode(), fin=number == len(parts) - 1)

    def send_ping(self, payload: bytes = b"") -> None:
        self.send_frame(Opcode.PING, payload)

    def send_close(self, code: int = 1000, reason: str = "") -> None:
        self._said_goodbye = True
        self.send_frame(Opcode.CLOSE, struct.pack("!H", code) + reason.encode())

    def send_frame(self, opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, masked: bool = True) -> None:
        self.send_raw(encode_frame(opcode, payload, fin=fin, rsv=rsv, masked=masked))

    def send_raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    # Waiting.

    @property
    def texts(self) -> list[str]:
        """All text messages so far."""
        return [message.data for message in list(self.heard) if isinstance(message.data, str)]

    def expect_text(self, text: str, within: float = 5.0) -> Heard:
        """Wait for `text` among the messages after the last one that was expected."""
        found: list[int] = []

        def has_come() -> bool:
            found.extend(i for i in range(self._cursor, len(self.heard)) if self.heard[i].data == text)
            return bool(found)

        self._wait(has_come, f"{abridged(text)}", within)
        self._cursor = found[0] + 1
        return self.heard[found[0]]

    def expect_texts(self, texts: Iterable[str], within: float = 5.0) -> None:
        """Wait for all of `texts`, in this order; others may come between."""
        deadline = time.monotonic() + within
        for text in texts:
            self.expect_text(text, max(0.0, deadline - time.monotonic()))

    def hears(self, text: str, within: float) -> bool:
        """Whether `text` comes in time; for what a broken server is expected not to deliver."""
        try:
            self.expect_text(text, within)
        except AssertionError:
            return False
        return True

    def expect_close(self, within: float = 5.0) -> Close:
        """Wait for the connection to end and say how it did."""
        self._wait(lambda: self.closed is not None, "the end of the connection", within)
        assert self.closed is not None
        return self.closed

    def _wait(self, condition: Callable[[], bool], what: str, within: float) -> None:
        deadline = time.monotonic() + within
        with self._news:
            while not condition():
                remaining = deadline - time.monotonic()
                if remaining <= 0 or self.closed is not None:
                    unexpected = abridged([abridged(m.data, 60) for m in self.heard[self._cursor :][-8:]], 600)
                    raise AssertionError(
                        f"{self.name} expected {what} within {within:.1f} s, saw {unexpected}; "
                        f"the connection is {self.closed or 'open'}"
                    )
                self._news.wait(remaining)

    # Leaving.

    def leave(self, within: float = 5.0) -> Close:
        """Say goodbye and wait for the answer."""
        self.send_close()
        return self.expect_close(within)

    def reset(self) -> None:
        """Vanish with a TCP RST, as a phone that lost its network and came back does."""
        self._stop_reading()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()
        self.closed = self.closed or Close(1006, "reset by the test")

    def drop(self) -> None:
        """Close the socket, without a word, if it is still open."""
        self._stop_reading()
        self._socket.close()
        self.closed = self.closed or Close(1006, "dropped by the test")


class Guests(ExitStack):
    """The peers of one scenario on one server; all are gone when the block ends."""

    def __init__(self, port: int, path: str = "/ws/chat", *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.port = port
        self.path = path
        self.tls = tls

    def enter(
        self, name: str, *, reads: bool = True, answers_pings: bool = True, headers: Sequence[tuple[str, str]] = ()
    ) -> Peer:
        """A new peer that has joined."""
        options = {"name": name, "reads": reads, "answers_pings": answers_pings, "headers": headers, "tls": self.tls}
        return self.enter_context(Peer(self.port, self.path, **options))  # type: ignore[arg-type]
