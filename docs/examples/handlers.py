"""What handlers take: parameters of the pattern, the client's data, who asks, and dependencies."""

from typing import Annotated

from fastapi import Depends, FastAPI, Header
from pydantic import BaseModel, Field

from hubbub import Data, Forbidden, Hub, Identity, SessionInfo

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)
chat = hub.channel("chat:{room}", history=100)


class ChatMessage(BaseModel):
    text: str
    sender: str = ""


def language(accept_language: Annotated[str, Header()] = "en") -> str:
    return accept_language[:2]


@hub.on_connect
async def who(token: str) -> Identity | None:  # `token` is what the client showed
    return Identity(user=token) if token else None


@chat.on_subscribe
async def may_enter(room: str, password: Annotated[str, Data(), Field(max_length=40)]) -> None:
    if password != f"open {room}":  # `room` is from the name of the channel, `password` from the client
        raise Forbidden


@chat.on_publish
async def moderate(message: ChatMessage, session: SessionInfo) -> ChatMessage:  # a model needs no mark
    return message.model_copy(update={"sender": session.user})


@hub.rpc("greet")
async def greet(name: str, language: Annotated[str, Depends(language)]) -> str:
    return f"{'Hallo' if language == 'de' else 'Hello'}, {name}"
