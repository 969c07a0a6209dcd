"""A chat for your own users, each with a token. Run: hubbub run users_chat:app"""

import os
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, WebSocket
from fastapi.responses import FileResponse

from hubbub import JWT, Hub, TokenUser

jwt = JWT(secret=os.environ["JWT_SECRET"])  # or public_key=…, or jwks_url=… of your identity provider
hub = Hub(auth=jwt)
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)
app.include_router(hub.api)  # for programs that have the key in HUBBUB_API_KEY; without a key, nobody may call it

User = Annotated[TokenUser, Depends(jwt.user)]  # reads the header `Authorization: Bearer …`

chat = hub.channel(
    "chat:{room}",
    history=100,
    ttl="1h",
    presence=True,
    may_subscribe="users",
    may_publish="users",
    may_read_history="users",
    may_see_presence="users",
)


@app.get("/me")
async def me(user: User) -> str:
    return user.user


@app.websocket("/ws/chat")
async def plain(websocket: WebSocket, user: User) -> None:
    async with hub.connect(websocket, user=user.user) as client:
        await client.join("chat:lobby")
        async for text in client:
            await chat.publish({"text": f"{user.user}: {text}"}, room="lobby")


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page_chat.html"))
