"""The trap: all at once, a time limit for each, and a close for who exceeds it."""

import asyncio
import contextlib

from fastapi import FastAPI, WebSocket

app = FastAPI()
members: set[WebSocket] = set()


async def send_or_close(member: WebSocket, text: str) -> None:
    try:
        await asyncio.wait_for(member.send_text(text), 1)
    except Exception:
        members.discard(member)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(member.close(), 1)


async def broadcast(text: str) -> None:
    await asyncio.gather(*(send_or_close(member, text) for member in members))


@app.websocket("/ws")
async def room(websocket: WebSocket) -> None:
    await websocket.accept()
    members.add(websocket)
    try:
        async for text in websocket.iter_text():
            await broadcast(text)
    finally:
        members.discard(websocket)
