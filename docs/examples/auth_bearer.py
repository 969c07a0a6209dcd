"""A bearer token in the Authorization header: for clients that are programs."""

import os
import secrets
from typing import Annotated

from fastapi import Depends, FastAPI, Header, WebSocket, WebSocketException

from hubbub import Hub

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)

API_TOKEN = os.environ.get("API_TOKEN", "secret-token")


def bearer(authorization: Annotated[str, Header()] = "") -> str:
    """The name of the caller; the same dependency serves HTTP routes and WebSockets."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not secrets.compare_digest(token.encode(), API_TOKEN.encode()):
        raise WebSocketException(code=1008, reason="wrong or missing token")
    return "robot"


@app.websocket("/ws/feed")
async def feed(websocket: WebSocket, user: Annotated[str, Depends(bearer)]) -> None:
    async with hub.connect(websocket, user=user) as client:
        await client.join("feed")
        async for text in client:
            await hub.publish("feed", f"{user}: {text}")
