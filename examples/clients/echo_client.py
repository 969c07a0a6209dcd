"""Says hello to the echo server and prints what comes back. Run: python echo_client.py [URL]"""

import asyncio
import sys

from websockets.asyncio.client import connect


async def main(url: str) -> None:
    async with connect(url) as websocket:
        await websocket.send("Hello, FastAPI!")
        print(f"Response received: {await websocket.recv()!s}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8000/ws/echo"))
