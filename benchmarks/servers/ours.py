"""Hubbub, written the way its tutorial says."""

from fastapi import FastAPI, WebSocket

from hubbub import Hub

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)


@app.websocket("/ws/chat")
async def chat(websocket: WebSocket) -> None:
    async with hub.connect(websocket) as client:
        await client.join("lobby")
        async for text in client:
            await hub.publish("lobby", text)


@app.websocket("/ws/echo")
async def echo(websocket: WebSocket) -> None:
    async with hub.connect(websocket) as client:
        async for text in client:
            await client.send(text)
