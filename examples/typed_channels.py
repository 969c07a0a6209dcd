"""Messages are models, and functions decide who may what. Run: uvicorn typed_channels:app --reload"""

from typing import Annotated

from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field

from hubbub import Forbidden, Hub, Identity, SessionInfo, current_session

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)

MEMBERS = {"lobby": {"anna", "ben"}, "staff": {"anna"}}


class ChatMessage(BaseModel):
    text: str = Field(min_length=1, max_length=500)
    sender: str = ""


chat = hub.channel("chat:{room}", message=ChatMessage, history=100, ttl="1h")


@hub.on_connect
def who(token: str) -> Identity | None:
    """Look the token up here; who is not known is refused. Or give the hub ``auth=JWT(…)`` instead."""
    return Identity(user=token.removeprefix("token-of-")) if token.startswith("token-of-") else None


async def current_user(session: Annotated[SessionInfo, Depends(current_session)]) -> str:
    return session.user


@chat.on_subscribe
async def may_enter(room: str, user: Annotated[str, Depends(current_user)]) -> None:
    if user not in MEMBERS.get(room, ()):
        raise Forbidden


@chat.on_publish
async def moderate(room: str, message: ChatMessage, user: Annotated[str, Depends(current_user)]) -> ChatMessage:
    """Invalid data never gets here: the client is told which field is wrong, and stays connected."""
    await may_enter(room, user)
    return ChatMessage(text=message.text.replace("darn", "****"), sender=user)
