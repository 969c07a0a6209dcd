"""Who is in the room: the hub keeps it, SDKs ask for it. Run: uvicorn presence:app --reload"""

from fastapi import FastAPI
from pydantic import BaseModel, Field

from hubbub import Hub, Identity, Member

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)

room = hub.channel(
    "room:{name}",
    presence=True,
    join_leave="force",  # everyone there is told who comes and leaves
    may_subscribe="users",
    may_see_presence="subscribers",
)


class Visitor(BaseModel):
    name: str = Field(min_length=1, max_length=40)


@hub.on_connect
def who(data: Visitor) -> Identity:
    """A name is enough here; what is in ``info`` is what the others see."""
    return Identity(user=data.name, info={"name": data.name})


@app.get("/rooms/{name}")
async def members(name: str) -> list[str]:
    """The same from the server's side."""
    present: dict[str, Member] = dict(await hub.presence(room.name(name=name)))
    return sorted({member.user for member in present.values()})
