"""What the kernel knows of a connection, and what it can be told past the event loop."""

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
from collections.abc import Iterator
from typing import Any

_ACKNOWLEDGED = 120
"""Where ``struct tcp_info`` of Linux has the bytes that the other side has acknowledged (tcpi_bytes_acked)."""


def send_at_once(transport: asyncio.BaseTransport) -> None:
    """Turns Nagle's algorithm off, so that a second small message does not wait 40 ms for the first one's receipt.

    Event loops do so where they made the listening socket. Not where it was given to them: ``--fd`` and systemd's
    socket activation, ``--reload``, ``Server.serve(sockets=[...])``.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None:
        # Whether it is TCP, the socket itself knows alone: uvicorn calls what comes by --fd a Unix socket.
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def acknowledged(transport: Any) -> int:
    """Bytes that the other side's kernel has taken since the connection began; 0 where nobody says so."""
    with _borrowed(transport) as sock:
        if sock is not None and hasattr(socket, "TCP_INFO"):
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKNOWLEDGED + 8)
            if len(info) == _ACKNOWLEDGED + 8:
                return int(struct.unpack_from("=Q", info, _ACKNOWLEDGED)[0])
    return 0


def unacknowledged(transport: Any) -> int:
    """Bytes that our kernel still has for the other side; 0 where nobody says so."""
    with _borrowed(transport) as sock:
        if sock is not None:
            return int(struct.unpack("=i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0])
    return 0


def limit_silence(transport: Any, seconds: float) -> None:
    """Makes the kernel end a connection whose other side acknowledges nothing of what it is sent for so long.

    0 leaves it to the kernel again.
    """
    with _borrowed(transport) as sock:
        if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))


def drop(transport: Any) -> None:
    """Ends a connection at once, and for the other side even if a forked child of ours still has the socket open."""
    if transport is None:
        return
    with _borrowed(transport) as sock:
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)
    transport.abort()


@contextlib.contextmanager
def _borrowed(transport: Any) -> Iterator[Any]:
    """The socket itself, for one question: those that event loops show cost a system call or forbid most of it.

    A question that this kind of socket does not answer, or that comes after its end, is passed over.
    """
    shown = transport.get_extra_info("socket") if transport is not None else None
    if shown is None or (descriptor := shown.fileno()) < 0:
        yield None
        return
    sock = socket.SocketType(shown.family, shown.type, shown.proto, descriptor)
    try:
        with contextlib.suppress(OSError):
            yield sock
    finally:
        sock.detach()
