"""Notifications for one user, pushed from an HTTP route. Run: uvicorn secure_notifications:app --reload"""

import secrets
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, WebSocket, WebSocketException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from hubbub import Hub

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)


def user_of(token: str) -> str | None:
    return "authenticated_user" if secrets.compare_digest(token.encode(), b"secret-token") else None


class Notification(BaseModel):
    message: str


@app.websocket("/ws/notify")
async def notifications(websocket: WebSocket, token: str = "") -> None:
    if (user := user_of(token)) is None:
        raise WebSocketException(code=1008, reason="wrong or missing token")
    async with hub.connect(websocket, user=user) as client:
        await client.send(f"Hello, {user}! You are now connected to secure notifications.")
        await client.join(f"user:{user}")
        async for text in client:
            await client.send(f"Notification received: {text}")


@app.post("/notify", status_code=202)
async def notify(body: Notification, bearer: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> None:
    if (user := user_of(bearer.credentials)) is None:
        raise HTTPException(401, "wrong token", {"WWW-Authenticate": "Bearer"})
    await hub.publish(f"user:{user}", body.message)
