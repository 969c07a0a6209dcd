"""Echo: what a client sends comes back. Run: uvicorn echo_server:app --reload"""

from fastapi import FastAPI, WebSocket

from hubbub import Hub

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)


@app.websocket("/ws/echo")
async def echo(websocket: WebSocket) -> None:
    async with hub.connect(websocket) as client:
        async for text in client:
            await client.send(f"Echo: {text}")
