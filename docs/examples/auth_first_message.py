"""The token as the first message: for browsers, with the token in no address and no log."""

import asyncio
import secrets
from typing import Any

from fastapi import FastAPI, WebSocket

from hubbub import Hub

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)

TOKENS = {"secret-token": "anna"}
SECONDS_TO_SAY_WHO = 5.0


def user_of(hello: Any) -> str | None:
    token = hello.get("token") if isinstance(hello, dict) else None
    if isinstance(token, str):
        for known, user in TOKENS.items():
            if secrets.compare_digest(token.encode(), known.encode()):
                return user
    return None


@app.websocket("/ws/private")
async def private(websocket: WebSocket) -> None:
    async with hub.connect(websocket, receive="json") as client:
        try:
            async with asyncio.timeout(SECONDS_TO_SAY_WHO):
                hello = await anext(client, None)
        except TimeoutError:
            hello = None
        user = user_of(hello)
        if user is None:
            await client.close(4401, "say who you are")
            return
        await client.join(f"user:{user}")  # nothing private before this line
        await client.send({"hello": user})
        async for message in client:
            await hub.publish(f"user:{user}", message)
