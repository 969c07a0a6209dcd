"""Told once for each client that has gone: how, and who ended it."""

import logging
from typing import Any

from fastapi import FastAPI, WebSocket

from hubbub import Client, Goodbye, Hub

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)
log = logging.getLogger("uvicorn.error")


@hub.on_goodbye
async def note(client: Client[Any], goodbye: Goodbye) -> None:
    log.info("%s left: %d %s, by %s", client.info.id, goodbye.code, goodbye.reason, goodbye.by)
    await hub.publish("chat:lobby", "Somebody left")


@app.websocket("/ws/chat")
async def chat(websocket: WebSocket) -> None:
    async with hub.connect(websocket) as client:
        await client.join("chat:lobby")
        async for text in client:
            await hub.publish("chat:lobby", text)
