"""A streaming response: ten messages, one a second. Run: uvicorn stream_server:app --reload"""

import asyncio

from fastapi import FastAPI, WebSocket

from hubbub import Hub

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)


@app.websocket("/ws/stream")
async def stream(websocket: WebSocket) -> None:
    async with hub.connect(websocket) as client:  # a client that leaves ends the stream at once
        for number in range(1, 11):
            await client.send(f"Streaming message {number}")
            await asyncio.sleep(1)
