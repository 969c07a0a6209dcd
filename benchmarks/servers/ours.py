"""Hubbub, written the way its tutorial says."""

from fastapi import FastAPI, WebSocket

from hubbub import Hub

hub = Hub(allow_anonymous=True)
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)
hub.channel("lobby", may_subscribe="everyone", may_publish="everyone")


@hub.rpc("echo")
async def answer(data: str) -> str:
    return data


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
