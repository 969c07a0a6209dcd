"""Clients and the hub, used from sync routes, which run in threads."""

from fastapi import FastAPI, WebSocket

from hubbub import Hub

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)


@app.websocket("/ws")
async def ws(websocket: WebSocket) -> None:
    async with hub.connect(websocket) as client:
        async for _ in client:
            pass


@app.post("/greet")
def greet() -> None:
    for client in list(hub.clients.values()):
        client.send_sync("hello")  # short for hub.run_sync(client.send, "hello")


@app.post("/close")
def close() -> None:
    for client in list(hub.clients.values()):
        hub.run_sync(client.close, 4000, "that is all")
