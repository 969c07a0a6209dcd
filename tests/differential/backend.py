"""The application behind the shared polls: answers every refresh with what the scenario set, and keeps the requests."""

import asyncio
import contextlib

EMPTY = '{"result":{}}'


class PollBackend:
    """An HTTP server of a few lines."""

    def __init__(self) -> None:
        self.body = EMPTY
        self.requests: list[tuple[str, str]] = []
        self.changed = asyncio.Event()
        self.server: asyncio.Server | None = None

    async def start(self, port: int) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", port)

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = next((line.split(":")[1] for line in head.split("\r\n") if line.startswith("content-length")), "0")
                self._note((await reader.readexactly(int(length))).decode())
                body = self.body.encode()
                fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(b"HTTP/1.1 200 OK\r\n" + fields.encode() + body)
                await writer.drain()

    def _note(self, request: str) -> None:
        self.requests.append((request, self.body))
        self.changed.set()

    async def request(self, channel: str, seconds: float) -> str | None:
        """The next request that names the channel, or none in that time."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    for position, (request, _) in enumerate(self.requests):
                        if f'"{channel}"' in request:
                            del self.requests[: position + 1]
                            return request
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            return None
