"""The session cookie of a web page: for browsers, on the origin of the page."""

import secrets
from typing import Annotated

from fastapi import Cookie, FastAPI, Response, WebSocket, WebSocketException

from hubbub import Hub

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)

SESSIONS: dict[str, str] = {}  # yours are in a database or a cache


@app.post("/login")
async def login(user: str, response: Response) -> None:
    # Yours checks a password first.
    session = secrets.token_urlsafe(32)
    SESSIONS[session] = user
    response.set_cookie("session", session, httponly=True, secure=True, samesite="lax")


@app.websocket("/ws/inbox")
async def inbox(websocket: WebSocket, session: Annotated[str, Cookie()] = "") -> None:
    user = SESSIONS.get(session)
    if user is None:
        raise WebSocketException(code=1008, reason="not logged in")
    async with hub.connect(websocket, user=user) as client:
        await client.join(f"user:{user}")
        await client.send(f"Hello, {user}")
        async for _ in client:
            pass
