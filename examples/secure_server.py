"""A socket behind a token: a wrong one is refused before the accept. Run: uvicorn secure_server:app --reload"""

import secrets
from typing import Annotated

from fastapi import Depends, FastAPI, WebSocket, WebSocketException

from hubbub import Hub

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)

TOKENS = {"secret-token": "authenticated_user"}  # yours come from a database, or are signed (JWT)


def current_user(token: str = "") -> str:
    """The user of a token. The comparison takes the same time for every wrong one."""
    for known, user in TOKENS.items():
        if secrets.compare_digest(token.encode(), known.encode()):
            return user
    raise WebSocketException(code=1008, reason="wrong or missing token")


@app.websocket("/ws/secure")
async def secure(websocket: WebSocket, user: Annotated[str, Depends(current_user)]) -> None:
    async with hub.connect(websocket, user=user) as client:
        await client.send(f"Hello, {user}! Welcome to the secure WebSocket.")
        async for text in client:
            await client.send(f"You said: {text}")
