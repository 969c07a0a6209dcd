"""One room for SDKs, plain WebSockets and Server-Sent Events. Run: uvicorn channel_room:app --reload"""

from typing import Annotated

from fastapi import FastAPI, Path, WebSocket
from pydantic import BaseModel, Field, ValidationError

from hubbub import Hub, Identity, SessionInfo

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)  # /connection/websocket, /connection/uni_sse and the others

room = hub.channel(
    "room:{name}",
    history=50,  # who was cut off gets what it missed
    ttl="10m",
    presence=True,
    join_leave="force",
    may_subscribe="everyone",
    may_see_presence="subscribers",
    may_read_history="subscribers",
)


class Visitor(BaseModel):
    name: str = Field(min_length=1, max_length=32)


class Message(BaseModel):
    text: str = Field(min_length=1, max_length=500)


@hub.on_connect
async def welcome(visitor: Visitor, session: SessionInfo) -> Identity:
    """A name is enough here; what is in ``info`` is what the others see beside it."""
    return Identity(user=visitor.name, info={"transport": session.transport})


@room.on_publish
async def check(message: Message) -> Message:
    return message


@app.websocket("/ws/room/{name}")
async def plain(websocket: WebSocket, name: Annotated[str, Path(pattern="^[A-Za-z0-9-]{1,32}$")]) -> None:
    """The same room without an SDK: hears every message, and says text."""
    async with hub.connect(websocket) as client:
        await client.join(room.name(name=name))
        async for text in client:
            try:
                message = Message(text=text)
            except ValidationError as error:
                await client.send({"error": error.errors()[0]["msg"]})
            else:
                await room.publish(message, name=name)
