"""A small app as users write it: typed handlers, tokens from routes, and a plain WebSocket in a Centrifuge channel."""

import asyncio
from pathlib import Path
from typing import Annotated

from fastapi import Body, FastAPI, HTTPException, WebSocket
from fastapi.responses import FileResponse, PlainTextResponse
from pydantic import BaseModel, Field

from hubbub import JWT, Hub
from hubbub.errors import Forbidden
from hubbub.hub.dependencies import SessionInfo

HERE = Path(__file__).parent
PACKAGES = HERE.parents[1] / "web" / "node_modules"
PAGE_FILES = {
    "page.html": HERE / "page.html",
    "driver.mjs": HERE / "driver.mjs",
    "centrifuge.js": PACKAGES / "centrifuge" / "dist" / "centrifuge.js",
    "centrifuge.protobuf.js": PACKAGES / "centrifuge" / "dist" / "centrifuge.protobuf.js",
}

POLL_SECRET = "only for the keys of these tests"
auth = JWT(secret="only for these tests, and long enough")
hub = Hub(auth=auth)
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)

hub.channel(
    "chat:{room}",
    history=1000,
    presence=True,
    join_leave="force",
    may_subscribe="users",
    may_publish="subscribers",
    may_see_presence="subscribers",
    may_read_history="subscribers",
)
hub.channel("short:{room}", history=2, may_subscribe="users")
hub.channel("paid:{room}", history=10)
hub.channel("news:{topic}", history=10)
hub.channel("#{user}", personal=True, history=10)
orders = hub.channel("orders:{room}", may_subscribe="users")
hub.map_channel(
    "board:{name}", mode="persistent", may_subscribe="users", may_publish="subscribers", may_remove="subscribers"
)
prices = hub.poll_channel("prices:{market}", every="50ms", secret=POLL_SECRET, may_subscribe="users")


# What clients say.


class Order(BaseModel):
    dish: str
    portions: int = Field(default=1, ge=1)


class Placed(Order):
    room: str
    by: str


@orders.on_publish
async def place(order: Order, room: str, session: SessionInfo) -> Placed:
    if order.dish == "fugu":
        raise Forbidden("not here")
    return Placed(**order.model_dump(), room=room, by=session.user)


class Bill(BaseModel):
    total: int


@hub.rpc("bill")
async def bill(prices: dict[str, Annotated[int, Field(ge=0)]], session: SessionInfo) -> Bill:
    if session.user == "eve":
        raise HTTPException(404, "no such guest")
    return Bill(total=sum(prices.values()))


# What a login hands out.


@app.get("/token", response_class=PlainTextResponse)
async def token(user: str, expire_in: float = 3600.0) -> str:
    return auth.token(user, expire_in=expire_in, info={"name": user.title()})


stale: set[str] = set()


@app.get("/stale-token", response_class=PlainTextResponse)
async def stale_token(user: str) -> str:
    """A token that has expired, and from the second time on a good one."""
    expire_in = 3600.0 if user in stale else -10.0
    stale.add(user)
    return auth.token(user, expire_in=expire_in)


@app.get("/subscription-token", response_class=PlainTextResponse)
async def subscription_token(user: str, channel: str, expire_in: float = 3600.0) -> str:
    return auth.subscription_token(user, channel, expire_in=expire_in)


@app.get("/signature", response_class=PlainTextResponse)
async def signature(user: str, market: str, keys: str) -> str:
    return prices.sign(user, keys.split(","), expire_in=3600, market=market)


# What is asked for once for all.


priced: dict[str, dict[str, int]] = {}
"""By market and key."""


@prices.on_poll
async def ask(market: str, keys: list[str]) -> dict[str, int]:
    return {key: price for key, price in priced.get(market, {}).items() if key in keys}


@app.post("/price")
async def set_price(market: str, key: str, price: int) -> None:
    priced.setdefault(market, {})[key] = price


# What the server does by itself.


@app.post("/publish")
async def publish(channel: str, data: Annotated[object, Body()]) -> int:
    return (await hub.publish(channel, data)).offset


@app.post("/subscribe")
async def subscribe(user: str, channel: str) -> None:
    await hub.subscribe(user, channel)


@app.post("/unsubscribe")
async def unsubscribe(user: str, channel: str) -> None:
    await hub.unsubscribe(user, channel)


@app.post("/disconnect")
async def disconnect(user: str, code: int = 3503, reason: str = "") -> None:
    await hub.disconnect(user, code, reason)


counters: dict[str, tuple[asyncio.Task[int], asyncio.Event]] = {}


@app.post("/count/start")
async def start_counting(channel: str) -> None:
    """Publishes 1, 2, 3, … until it is stopped."""
    enough = asyncio.Event()

    async def count() -> int:
        number = 0
        while not enough.is_set():
            number += 1
            await hub.publish(channel, number)
            await asyncio.sleep(0.003)
        return number

    counters[channel] = (asyncio.create_task(count()), enough)


@app.post("/count/stop")
async def stop_counting(channel: str) -> int:
    """The last number that was published."""
    counter, enough = counters.pop(channel)
    enough.set()
    return await counter


@app.websocket("/ws/{room}")
async def plain(websocket: WebSocket, room: str) -> None:
    async with hub.connect(websocket) as client:
        await client.join(f"chat:{room}")
        await client.send("joined")
        async for text in client:
            await hub.publish(f"chat:{room}", text)


# What the tests need.


@app.get("/state")
async def state() -> dict[str, int]:
    return {"clients": len(hub.clients), "tasks": len(asyncio.all_tasks()), "rss": 0}


@app.get("/sdk/{name}")
async def page_file(name: str) -> FileResponse:
    file = PAGE_FILES.get(name)
    if file is None or not file.is_file():
        raise HTTPException(404)
    return FileResponse(file)
