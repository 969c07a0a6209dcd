"""A program that uses Hubbub rightly: no checker complains."""

# pyright: strict

import asyncio
import functools
from collections.abc import Mapping
from typing import Annotated, Any, assert_type
from uuid import UUID

from fastapi import Depends, FastAPI, WebSocket
from pydantic import BaseModel

from hubbub import (
    JWT,
    Channel,
    Client,
    CommandError,
    Data,
    Forbidden,
    Goodbye,
    Grant,
    Hub,
    Identity,
    MapChannel,
    PollChannel,
    Polled,
    Position,
    SessionInfo,
    TokenUser,
    current_session,
)


class ChatMessage(BaseModel):
    text: str
    sender: str = ""


class Cursor(BaseModel):
    x: int
    y: int


jwt = JWT(secret="x" * 32)
hub = Hub(auth=jwt, message_rate=20, max_connections=500, allowed_origins=["https://app.example"], api_key="k")
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)

chat = hub.channel(
    "chat:{room}", message=ChatMessage, history=100, ttl="1h", recovery="cache", delta=True, may_publish="users"
)
news = hub.channel("news", history=10, may_subscribe="everyone", max_recovered=50)
cursors = hub.map_channel("cursors:{page}", message=Cursor, key_ttl="60s", client_key="user_id", may_remove="users")
board = hub.map_channel("board", mode="persistent", max_entries=10, presence=True, stream_ttl="5m")
prices = hub.poll_channel("prices:{market}", every="5s", secret="x" * 32, batch=10, timeout="2s", delta=True)

assert_type(chat, Channel[ChatMessage])
assert_type(news, Channel[Any])
assert_type(cursors, MapChannel[Cursor])
assert_type(board, MapChannel[Any])
assert_type(prices, PollChannel)


@hub.on_connect
async def who(token: str, hello: ChatMessage | None = None) -> Identity | None:
    return Identity(user=token, info={"name": token}) if token else None


@chat.on_subscribe
def may_enter(room: UUID, password: Annotated[str, Data()]) -> Grant | None:
    if password != "sesame":
        raise Forbidden
    return Grant(data={"room": str(room)})


@news.on_subscribe
async def anybody(session: Annotated[SessionInfo, Depends(current_session)]) -> None:
    if not session.user:
        raise CommandError("no", code=404)


@chat.on_publish
async def moderate(message: ChatMessage, session: SessionInfo) -> ChatMessage:
    return message.model_copy(update={"sender": session.user})


@news.on_publish
def keep(headline: dict[str, str]) -> None: ...


@cursors.on_publish
def checked(cursor: Cursor, key: str) -> Cursor | None:
    return None if key else cursor


@prices.on_poll
async def ask(market: str, keys: list[str]) -> Mapping[str, int]:
    return dict.fromkeys(keys, 1)


async def ask_versions(keys: list[str]) -> list[Polled]:
    return [Polled(key, data=1, version=2) for key in keys]


hub.poll_channel("other", every=1, secret="x" * 32).on_poll(functools.partial(ask_versions))


@hub.rpc("rooms.get")
async def rooms(wanted: ChatMessage) -> list[str]:
    return [wanted.text]


@hub.on_goodbye
def note(client: Client[Any], goodbye: Goodbye) -> None:
    print(client.info.user, goodbye.code)


async def publish(room: UUID) -> None:
    position = await chat.publish(ChatMessage(text="hi"), room=room, tags={"a": "b"})
    assert_type(position, Position)
    chat.publish_sync(ChatMessage(text="hi"), room="lobby", timeout=1)
    await news.publish({"anything": [1]})
    await cursors.publish("anna", Cursor(x=1, y=2), page=1)
    await hub.publish("news", "text", idempotency_key="1")
    await hub.disconnect(str(room), 4000, "bye")
    moderated = await moderate(ChatMessage(text="x"), SessionInfo("", "", None, None, "", "", 0.0))
    print(moderated.text)
    who_is_it = await who("anna")
    assert_type(who_is_it, Identity | None)


@app.websocket("/ws/{room}")
async def ws(websocket: WebSocket, room: str, user: Annotated[TokenUser, Depends(jwt.user)]) -> None:
    async with hub.connect(websocket, receive=ChatMessage, user=user.user) as client:
        assert_type(client, Client[ChatMessage])
        async for message in client:
            assert_type(message, ChatMessage)
            await chat.publish(message, room=room)


@app.websocket("/ws/raw")
async def raw(websocket: WebSocket) -> None:
    async with hub.connect(websocket) as client:
        async for text in client:
            assert_type(text, str)
            await client.send({"echo": text})


@app.websocket("/ws/bytes")
async def binary(websocket: WebSocket) -> None:
    async with hub.connect(websocket, receive="bytes") as client:
        async with asyncio.timeout(5):
            await client.send(await anext(client))
