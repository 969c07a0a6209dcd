"""The websockets library without a framework, its own `broadcast`, on uvloop."""

import contextlib
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

members: set[ServerConnection] = set()


async def chat(connection: ServerConnection) -> None:
    members.add(connection)
    try:
        async for message in connection:
            broadcast(members, message)
    finally:
        members.discard(connection)


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def route(connection: ServerConnection) -> None:
    request = connection.request
    handler = echo if request is not None and request.path == "/ws/echo" else chat
    with contextlib.suppress(ConnectionClosed):
        await handler(connection)


async def main(host: str, port: int) -> None:
    async with serve(route, host, port, compression=None, backlog=2048) as server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
