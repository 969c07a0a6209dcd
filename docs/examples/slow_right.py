"""Right: publish waits for nobody, and who falls too far behind is cut off."""

from fastapi import FastAPI, WebSocket

from hubbub import Hub

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)


@app.websocket("/ws")
async def room(websocket: WebSocket) -> None:
    async with hub.connect(websocket) as client:
        await client.join("room")
        async for text in client:
            await hub.publish("room", text)
