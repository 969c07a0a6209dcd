"""Live progress of a job, from 10 % to 100 %. Run: uvicorn streaming_server_progress:app --reload"""

import asyncio

from fastapi import FastAPI, WebSocket

from hubbub import Hub

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)


@app.websocket("/ws/stream_progress")
async def progress(websocket: WebSocket) -> None:
    async with hub.connect(websocket) as client:  # a client that leaves ends the job at once
        for percent in range(10, 101, 10):
            await client.send(f"Progress update: {percent}% complete")
            await asyncio.sleep(1)
