"""An app with a lifespan of its own enters that of the hub there."""

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI, WebSocket

from hubbub import Hub

hub = Hub()


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    # Open what handlers need before the hub starts: it closes after the last goodbye.
    async with hub.lifespan(app):
        yield


app = FastAPI(lifespan=lifespan)


@app.websocket("/ws/echo")
async def echo(websocket: WebSocket) -> None:
    async with hub.connect(websocket) as client:
        async for text in client:
            await client.send(text)
