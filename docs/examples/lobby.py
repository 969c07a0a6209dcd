"""A room for the Centrifuge SDK, and the page that enters it. Run: hubbub run lobby:app --reload"""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from hubbub import Hub, Identity

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)

room = hub.channel(
    "room:{name}",
    presence=True,
    join_leave="force",
    may_subscribe="users",
    may_publish="subscribers",
    may_see_presence="subscribers",
)


class Visitor(BaseModel):
    name: str = Field(min_length=1, max_length=40)


@hub.on_connect
def identify(visitor: Visitor) -> Identity:
    """A name is enough here; yours checks a password or a token."""
    return Identity(user=visitor.name)


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("lobby.html"))


@app.get("/rooms/{name}")
async def members(name: str) -> list[str]:
    present = await hub.presence(room.name(name=name))
    return sorted({member.user for member in present.values()})
