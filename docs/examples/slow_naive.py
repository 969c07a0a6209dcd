"""Naive: a loop that awaits every member in turn."""

from fastapi import FastAPI, WebSocket

app = FastAPI()
members: set[WebSocket] = set()


async def broadcast(text: str) -> None:
    for member in tuple(members):
        await member.send_text(text)


@app.websocket("/ws")
async def room(websocket: WebSocket) -> None:
    await websocket.accept()
    members.add(websocket)
    try:
        async for text in websocket.iter_text():
            await broadcast(text)
    finally:
        members.discard(websocket)
