"""python-socketio as an ASGI app: an event called "msg" that goes to everybody, or back to its sender."""

import socketio

server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")
app = socketio.ASGIApp(server)


async def msg(sid: str, data: str) -> None:
    await server.emit("msg", data)


async def echo(sid: str, data: str) -> None:
    await server.emit("echo", data, to=sid)


server.on("msg", msg)
server.on("echo", echo)
