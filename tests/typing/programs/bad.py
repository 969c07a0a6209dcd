"""A program that uses Hubbub wrongly: each checker complains of each line with a mark, and of no other."""

from fastapi import FastAPI, WebSocket
from pydantic import BaseModel

from hubbub import Channel, Grant, Hub, Identity, Polled, SessionInfo


class ChatMessage(BaseModel):
    text: str


class Other(BaseModel):
    text: str


hub = Hub(mesage_rate=3)  # error
hub = Hub(message_rate="fast")  # error
hub = Hub(auth="secret")  # error
app = FastAPI(lifespan=hub.lifespan)

chat = hub.channel("chat:{room}", message=ChatMessage, history=3)
hub.channel("a", histroy=3)  # error
hub.channel("b", may_subscribe="anybody")  # error
hub.channel("c", recovery="all")  # error
hub.channel("d", history="100")  # error
hub.channel("e", message=ChatMessage, tagsfilter=True)  # error
hub.channel("f", message="ChatMessage")  # error
hub.map_channel("g", mode="eternal")  # error
hub.map_channel("h", history=3)  # error
hub.poll_channel("i", every=1, secret="x" * 32, bach=3)  # error
hub.poll_channel("j", every=1)  # error
others: Channel[Other] = chat  # error


@hub.on_connect  # error
def who(token: str) -> str:
    return token


@hub.on_connect  # error
async def who_else(token: str) -> bool:
    return bool(token)


@chat.on_subscribe  # error
async def may_enter(room: str) -> bool:
    return room == "lobby"


@chat.on_subscribe  # error
def may_enter_too(room: str) -> Identity | None:
    return None


@chat.on_publish  # error
async def moderate(message: ChatMessage) -> bool:
    return True


@chat.on_publish  # error
def moderate_too(message: ChatMessage) -> Other:
    return Other(text=message.text)


@hub.poll_channel("prices", every=1, secret="x" * 32).on_poll  # error
async def ask(keys: list[str]) -> int:
    return len(keys)


@hub.poll_channel("prices", every=1, secret="x" * 32).on_poll  # error
async def ask_too(keys: list[str]) -> list[Grant]:
    return []


@hub.rpc  # error
async def rooms() -> list[str]:
    return []


async def publish(session: SessionInfo) -> None:
    await chat.publish({"text": "hi"}, room="lobby")  # error
    await chat.publish(Other(text="hi"), room="lobby")  # error
    chat.publish_sync("hi", room="lobby")  # error
    await hub.publish(5, "hi")  # error
    await hub.publish("c", "hi", tag={"a": "b"})  # error
    await hub.disconnect(42)  # error
    Identity(user=42)  # error
    Polled(1, 2)  # error
    session.user = "root"  # error


@app.websocket("/ws")
async def ws(websocket: WebSocket) -> None:
    async with hub.connect(websocket, receive="xml") as client:  # error
        await client.send("x")
    async with hub.connect(websocket, receive=ChatMessage, user=5) as typed:  # error
        await typed.send("x")
    async with hub.connect(websocket, receive=ChatMessage) as client_of_messages:
        async for message in client_of_messages:
            print(message.txt)  # error
            await client_of_messages.join(5)  # error
