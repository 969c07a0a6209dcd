"""Publishing to a declared channel, from an async route and a sync one."""

from fastapi import FastAPI
from pydantic import BaseModel

from hubbub import Hub

hub = Hub(allow_anonymous=True)
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)

chat = hub.channel("chat:{room}", history=100, may_subscribe="everyone")


class Message(BaseModel):
    text: str


@app.post("/async/{room}")
async def from_an_async_route(room: str, message: Message) -> int:
    position = await chat.publish(message, room=room, tags={"kind": "announcement"})
    return position.offset


@app.post("/sync/{room}")
def from_a_sync_route(room: str, message: Message) -> int:
    return chat.publish_sync(message, room=room).offset
