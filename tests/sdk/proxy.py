"""A TCP proxy between clients and a server, that does to connections what networks do."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .background import Background

HEAD_END = b"\r\n\r\n"
REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
LAST_WORDS = 0.1
"""Seconds for the server to begin to say something that can be cut in two."""


class Proxy:
    """Relays to ``target``, a port of this machine, which may change.

    Args:
        refuses_upgrades: answers 403 to requests for a WebSocket, as some proxies do.
    """

    def __init__(self, background: Background, target: int, *, refuses_upgrades: bool = False) -> None:
        self.target = target
        self._out_of_order = False
        self._background = background
        self._refuses_upgrades = refuses_upgrades
        self._connections: dict[asyncio.Task[Any], _Connection] = {}
        self._server = background.run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        port = self._server.sockets[0].getsockname()[1]
        self.address = f"127.0.0.1:{port}"

    def cut(self) -> None:
        """Breaks every connection off, in the middle of what the server is saying there if it is."""
        self._background.run(self._cut())

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Breaks every connection off, and lets none through for the length of the block."""
        self._out_of_order = True
        self.cut()
        try:
            yield
        finally:
            self._out_of_order = False

    def close(self) -> None:
        self._background.run(self._close())

    async def _cut(self) -> None:
        tasks = list(self._connections)
        for connection in self._connections.values():
            connection.torn = True
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_WORDS, return_when=asyncio.FIRST_COMPLETED)
            await _cancel(tasks)

    async def _close(self) -> None:
        self._server.close()
        await _cancel(list(self._connections))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = self._connections[task] = _Connection(reader, writer)
        # A peer that resets is what this is for; a server that is not there answers with a closed connection.
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._handle(connection)
        writer.transport.abort() if connection.torn else writer.close()
        del self._connections[task]

    async def _handle(self, connection: "_Connection") -> None:
        if self._out_of_order:
            return
        head = b""
        if self._refuses_upgrades:
            head = await connection.reader.readuntil(HEAD_END)
            if b"upgrade: websocket" in head.lower():
                connection.writer.write(REFUSAL)
                return
        await connection.relay(self.target, head)


class _Connection:
    """What one client is connected by."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.torn = False

    async def relay(self, target: int, head: bytes) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", target)
        try:
            server_writer.write(head)
            await _until_first(self._up(server_writer), self._down(server_reader))
        finally:
            server_writer.transport.abort()

    async def _up(self, server: asyncio.StreamWriter) -> None:
        while data := await self.reader.read(65536):
            server.write(data)
            await server.drain()

    async def _down(self, server: asyncio.StreamReader) -> None:
        while data := await server.read(65536):
            self.writer.write(data[: len(data) // 2] if self.torn else data)
            if self.torn:
                return
            await self.writer.drain()


async def _until_first(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Runs them until one has ended."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _cancel(tasks)


async def _cancel(tasks: "list[asyncio.Task[Any]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
