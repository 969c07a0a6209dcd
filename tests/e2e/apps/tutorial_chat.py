"""The chat that WebSocket tutorials teach: a list of sockets and a loop that awaits each send.

It is here to be shown failing. Structure and behaviour are the usual ones and are left alone;
only `/state` is added, so that a test can look at the list from outside.
"""

import asyncio
import os

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


class ConnectionManager:
    """Who is connected, in the order in which they came."""

    def __init__(self) -> None:
        self.connections: list[WebSocket] = []

    async def connect(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self.connections.append(websocket)

    def disconnect(self, websocket: WebSocket) -> None:
        self.connections.remove(websocket)

    async def broadcast(self, text: str) -> None:
        for websocket in self.connections:
            await websocket.send_text(text)


manager = ConnectionManager()


@app.websocket("/ws/chat")
async def chat(websocket: WebSocket) -> None:
    await manager.connect(websocket)
    try:
        while True:
            text = await websocket.receive_text()
            await manager.broadcast(f"Client says: {text}")
    except WebSocketDisconnect:
        manager.disconnect(websocket)
        await manager.broadcast("A client left the chat")


@app.get("/state")
async def state() -> dict[str, int]:
    with open("/proc/self/statm") as statm:
        resident_pages = int(statm.read().split()[1])
    return {
        "clients": len(manager.connections),
        "tasks": len(asyncio.all_tasks()),
        "rss": resident_pages * os.sysconf("SC_PAGE_SIZE"),
    }
