"""A newcomer first gets what the room still has."""

from fastapi import FastAPI, WebSocket

from hubbub import Hub

hub = Hub(history_size=50, history_ttl=3600)
app = FastAPI(lifespan=hub.lifespan)


@app.websocket("/ws/chat")
async def chat(websocket: WebSocket) -> None:
    async with hub.connect(websocket) as client:
        await client.join("chat:lobby")
        kept, _ = await hub.history("chat:lobby")
        for publication in kept:
            await client.send(publication.data)
        async for text in client:
            await hub.publish("chat:lobby", text)
