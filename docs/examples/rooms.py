"""Rooms by name, and an HTTP route that speaks to one of them."""

from fastapi import FastAPI, WebSocket

from hubbub import Hub

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)


@app.websocket("/ws/rooms/{room}")
async def chat(websocket: WebSocket, room: str) -> None:
    channel = f"chat:{room}"
    async with hub.connect(websocket) as client:
        await client.join(channel)
        async for text in client:
            await hub.publish(channel, text)


@app.post("/rooms/{room}", status_code=202)
async def announce(room: str, text: str) -> None:
    await hub.publish(f"chat:{room}", f"Announcement: {text}")
