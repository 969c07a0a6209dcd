"""A chat for web pages, which receive what they missed while they were offline. Run: hubbub run page_chat:app"""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from hubbub import Hub

hub = Hub(allow_anonymous=True)  # for your own users: auth=JWT(secret=…)
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)  # WebSocket, HTTP streaming, Server-Sent Events, and the JavaScript SDK

chat = hub.channel("chat:{room}", history=100, ttl="1h", may_subscribe="everyone")


class Message(BaseModel):
    text: str = Field(min_length=1, max_length=500)


@chat.on_publish
async def check(room: str, message: Message) -> Message:
    """Called for each message of a client, already validated. Raise Forbidden to refuse it."""
    return message


@app.post("/announce/{room}")
async def announce(room: str, message: Message) -> None:
    await chat.publish(message, room=room)  # from any route


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page_chat.html"))
