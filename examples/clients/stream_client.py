"""Prints a stream as it comes, and how it ended. Run: python stream_client.py [URL]"""

import asyncio
import sys

from websockets.asyncio.client import connect


async def main(url: str) -> None:
    async with connect(url) as websocket:
        async for message in websocket:
            print(f"Streamed response: {message!s}", flush=True)
    print(f"Stream ended ({websocket.close_code}).")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8000/ws/stream"))
