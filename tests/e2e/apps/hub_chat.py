"""The same chat on Hubbub, line for line, with the same `/state` for a test to look at."""

import asyncio
import os

from fastapi import FastAPI, WebSocket

from hubbub import Hub

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)


@app.websocket("/ws/chat")
async def chat(websocket: WebSocket) -> None:
    async with hub.connect(websocket) as client:
        await client.join("lobby")
        async for text in client:
            await hub.publish("lobby", f"Client says: {text}")
    await hub.publish("lobby", "A client left the chat")


@app.get("/state")
async def state() -> dict[str, int]:
    with open("/proc/self/statm") as statm:
        resident_pages = int(statm.read().split()[1])
    return {
        "clients": len(hub.clients),
        "tasks": len(asyncio.all_tasks()),
        "rss": resident_pages * os.sysconf("SC_PAGE_SIZE"),
    }
