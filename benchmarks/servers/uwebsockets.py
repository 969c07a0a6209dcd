"""uWebSockets, the C++ server, through socketify: topics for the chat, a synchronous handler for the echo.

`app.run()` alternates between asyncio and libuv without ever waiting in the kernel, which burns a core while it
is busy and naps for milliseconds while it is not. Nothing here needs asyncio, so the native loop runs alone: the
fastest way there is to use this library.
"""

import sys

from socketify import App, AppListenOptions, OpCode, WebSocket


def joined(ws: WebSocket) -> None:
    ws.subscribe("lobby")


def main(host: str, port: int) -> None:
    app = App(lifespan=False)

    def chat(ws: WebSocket, message: str | bytes, opcode: OpCode) -> None:
        app.publish("lobby", message, opcode)

    def echo(ws: WebSocket, message: str | bytes, opcode: OpCode) -> None:
        ws.send(message, opcode)

    app.ws("/ws/chat", {"open": joined, "message": chat, "compression": 0})
    app.ws("/ws/echo", {"message": echo, "compression": 0})
    app.listen(AppListenOptions(port=port, host=host), lambda config: None)
    app.loop.uv_loop.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
