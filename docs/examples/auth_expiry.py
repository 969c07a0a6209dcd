"""A connection that ends when its token does."""

import asyncio
import contextlib
import time
from typing import Annotated

from fastapi import Depends, FastAPI, WebSocket, WebSocketException

from hubbub import Hub

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)

EXPIRES_AT = {"secret-token": time.time() + 3600}  # yours stands in the token (the exp of a JWT)


def expiry(token: str = "") -> float:
    expires_at = EXPIRES_AT.get(token, 0.0)
    if expires_at <= time.time():
        raise WebSocketException(code=1008, reason="wrong, missing or expired token")
    return expires_at


@app.websocket("/ws/prices")
async def prices(websocket: WebSocket, expires_at: Annotated[float, Depends(expiry)]) -> None:
    async with hub.connect(websocket) as client:
        await client.join("prices")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(expires_at - time.time()):
                async for _ in client:
                    pass
        await client.close(4401, "token expired")
