"""The application behind the shared polls: answers every refresh with what the scenario set, and keeps the requests."""

import asyncio
import contextlib

EMPTY = '{"result":{}}'


class PollBackend:
    """An HTTP server of a few lines."""

    def __init__(self) -> None:
        self.body = EMPTY
        self.requests: list[str] = []
        self.changed = asyncio.Event()
        self.server: asyncio.Server | None = None
        self.serving: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def start(self, port: int) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", port)

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        for writer in self.serving.values():
            writer.close()
        await asyncio.gather(*(task for task in self.serving if task), return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving[asyncio.current_task()] = writer
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = next(
                    (line.split(":")[1] for line in head.split("\r\n") if line.startswith("content-length")), "0"
                )
                self._note((await reader.readexactly(int(length))).decode())
                body = self.body.encode()
                fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(b"HTTP/1.1 200 OK\r\n" + fields.encode() + body)
                await writer.drain()

    def _note(self, request: str) -> None:
        self.requests.append(request)
        self.changed.set()

    async def request(self, text: str, seconds: float) -> str | None:
        """The first request, of those not yet taken, that has the text; or none in that time."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    for position, request in enumerate(self.requests):
                        if text in request:
                            del self.requests[: position + 1]
                            return request
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            return None
