"""What a WebSocket tutorial teaches: a list of sockets, and a loop that awaits each of them in turn."""

from fastapi import FastAPI, WebSocket, WebSocketDisconnect


class Room:
    """The members of the one room."""

    def __init__(self) -> None:
        self.members: list[WebSocket] = []

    async def enter(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self.members.append(websocket)

    def leave(self, websocket: WebSocket) -> None:
        self.members.remove(websocket)

    async def say(self, text: str) -> None:
        for member in self.members:
            await member.send_text(text)


app = FastAPI()
room = Room()


@app.websocket("/ws/chat")
async def chat(websocket: WebSocket) -> None:
    await room.enter(websocket)
    try:
        while True:
            await room.say(await websocket.receive_text())
    except WebSocketDisconnect:
        room.leave(websocket)
        await room.say("somebody left")


@app.websocket("/ws/echo")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        pass
