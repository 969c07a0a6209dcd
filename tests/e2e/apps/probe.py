"""The chat on Hubbub, and endpoints that show what the server underneath can do."""

import asyncio
from typing import Any

from fastapi import WebSocket
from fastapi.responses import JSONResponse
from hub_chat import app, hub

from hubbub import Client, Goodbye

__all__ = ["app"]

goodbyes: list[dict[str, Any]] = []


@hub.on_goodbye
def note(client: Client[Any], goodbye: Goodbye) -> None:
    goodbyes.append({"code": goodbye.code, "reason": goodbye.reason, "by": goodbye.by})


@app.get("/goodbyes")
async def told() -> list[dict[str, Any]]:
    return goodbyes


@app.websocket("/ws/dialect")
async def dialect(websocket: WebSocket) -> None:
    async with hub.connect(websocket, subprotocol="chat.v2", headers=[(b"x-greeting", b"hello")]) as client:
        async for text in client:
            await client.send(text)


@app.websocket("/ws/denied")
async def denied(websocket: WebSocket) -> None:
    await websocket.send_denial_response(JSONResponse({"why": "no ticket"}, status_code=401))


@app.websocket("/ws/busy")
async def busy(websocket: WebSocket) -> None:
    async with hub.connect(websocket) as client:
        async for text in client:
            await asyncio.sleep(3.0)
            await client.send(f"done with {text}")
