"""Publishing from an async route, a sync route, background tasks and a thread."""

import threading

from fastapi import BackgroundTasks, FastAPI, WebSocket

from hubbub import Hub

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)


@app.websocket("/ws/orders")
async def orders(websocket: WebSocket) -> None:
    async with hub.connect(websocket) as client:
        await client.join("orders")
        async for _ in client:
            pass


@app.post("/async")
async def from_an_async_route(order: str) -> None:
    await hub.publish("orders", {"new": order})


@app.post("/sync")
def from_a_sync_route(order: str) -> None:
    hub.publish_sync("orders", {"new": order})


@app.post("/later", status_code=202)
async def from_a_background_task(order: str, tasks: BackgroundTasks) -> None:
    tasks.add_task(hub.publish, "orders", {"new": order})


@app.post("/thread", status_code=202)
async def from_a_thread(order: str) -> None:
    threading.Thread(target=hub.publish_sync, args=("orders", {"new": order})).start()
