"""A TCP proxy between clients and a server, that does to connections what networks do."""

import asyncio

from .background import Background

HEAD_END = b"\r\n\r\n"
REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Proxy:
    """Relays to ``target``, a port, which may change.

    Args:
        refuses_upgrades: answers 403 to each request for a WebSocket, as some proxies do.
    """

    def __init__(self, background: Background, target: int, *, refuses_upgrades: bool = False) -> None:
        self.target = target
        self.refused = 0
        self._background = background
        self._refuses_upgrades = refuses_upgrades
        self._relays: dict[asyncio.Task[None], _Relay] = {}
        self._server = background.run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cut(self) -> int:
        """Breaks off every connection in the middle of the next thing that the server says; gives how many."""
        return self._background.run(self._cut())

    async def _cut(self) -> int:
        for relay in self._relays.values():
            relay.torn = True
        await asyncio.wait(list(self._relays), timeout=5.0)
        return len(relays)

    def close(self) -> None:
        self._background.run(self._close())

    async def _close(self) -> None:
        self._server.close()
        for task in list(self._relays):
            task.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None: ...
