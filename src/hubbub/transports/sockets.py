"""What is set on the sockets of connections."""

import asyncio
import contextlib
import socket


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
