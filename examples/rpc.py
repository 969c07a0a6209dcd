"""Questions and answers over the connection that is there anyway. Run: uvicorn rpc:app --reload"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from pydantic import BaseModel

from hubbub import CommandError, Hub

hub = Hub(allow_anonymous=True)
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)


class Room(BaseModel):
    name: str
    topic: str


class Wanted(BaseModel):
    name: str


async def database() -> AsyncIterator[dict[str, Room]]:
    """Opened for one call, and closed after it."""
    yield {"lobby": Room(name="lobby", topic="anything"), "staff": Room(name="staff", topic="work")}


Database = Annotated[dict[str, Room], Depends(database)]


@hub.rpc("rooms.list")
async def rooms(db: Database) -> list[Room]:
    return list(db.values())


@hub.rpc("rooms.get")
async def room(wanted: Wanted, db: Database) -> Room:
    if wanted.name not in db:
        raise CommandError("no such room", code=404)
    return db[wanted.name]
