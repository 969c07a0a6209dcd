"""A client process that prints what it hears, one message a line: something to freeze with SIGSTOP."""

import asyncio
import sys

from websockets.asyncio.client import connect


async def listen(url: str) -> None:
    async with connect(url) as websocket:
        print("joined", flush=True)
        async for message in websocket:
            print(message, flush=True)


if __name__ == "__main__":
    asyncio.run(listen(sys.argv[1]))
