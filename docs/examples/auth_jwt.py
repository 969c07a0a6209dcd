"""One token for all: routes, WebSockets of your own, and sessions of the SDKs."""

import os
import secrets
from typing import Annotated

from fastapi import Depends, FastAPI, Security, WebSocket

from hubbub import JWT, Hub, TokenUser

jwt = JWT(secret=os.environ.get("JWT_SECRET") or secrets.token_urlsafe())
hub = Hub(auth=jwt)
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)

news = hub.channel("news:{topic}", may_subscribe="users")
User = Annotated[TokenUser, Depends(jwt.user)]
Editor = Annotated[TokenUser, Security(jwt.user, scopes=["news"])]


@app.get("/me")
async def me(user: User) -> dict[str, str]:
    return {"user": user.user, "email": user.claims.get("email", "")}


@app.post("/news/{topic}")
async def publish(topic: str, text: str, user: Editor) -> None:  # the token's `scope` must have the word `news`
    await news.publish({"text": text, "by": user.user}, topic=topic)


@app.websocket("/ws/news/{topic}")
async def read(websocket: WebSocket, topic: str, user: User) -> None:
    async with hub.connect(websocket, user=user.user) as client:
        await client.join(news.name(topic=topic))
        await client.send({"hello": user.user})
        async for _ in client:
            pass
