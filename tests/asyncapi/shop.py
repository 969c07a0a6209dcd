"""An app with one of everything that a document can tell: what the tests read, and a page to look at."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Annotated, Generic, Literal, TypeVar
from uuid import UUID

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, computed_field

from hubbub import JWT, Data, Grant, Hub, Identity, SessionInfo

ItemT = TypeVar("ItemT")


class Floor(Enum):
    """Where in the building."""

    GROUND = "ground"
    ROOF = "roof"


class Author(BaseModel):
    name: str = Field(description="As others see it.", min_length=1, max_length=40)
    since: datetime | None = None


class Line(BaseModel):
    """One line of a talk."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "Good morning", "mood": "happy"}]})

    text: str = Field(max_length=500)
    mood: Literal["happy", "sad"] = "happy"
    answers: UUID | None = Field(default=None, description="The line that this one answers.")


class Spoken(BaseModel):
    """A line, as all get it."""

    line: Line
    author: Author
    floor: Floor = Field(default=Floor.GROUND, description="Where it was said.")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def loud(self) -> bool:
        """Whether it ends in an exclamation mark."""
        return self.line.text.endswith("!")


class Page(BaseModel, Generic[ItemT]):
    """Some of many."""

    items: list[ItemT]
    more: bool = False


@dataclass
class Query:
    """What is looked for."""

    words: list[str]
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class Move(BaseModel):
    kind: Literal["move"]
    to: tuple[int, int]


class Leave(BaseModel):
    kind: Literal["leave"]


Step = Annotated[Move | Leave, Field(discriminator="kind")]
Room = Annotated[str, Field(description="Its short name.", max_length=20, examples=["lobby"])]

hub = Hub(auth=JWT(secret="a-secret-of-more-than-thirty-two-bytes"))
app = FastAPI(
    title="Corner shop",
    version="2.1.0",
    description="Everything that is said in the `corner shop`, as it is said.\n\nAsk at the counter for a token.",
    lifespan=hub.lifespan,
)

chat = hub.channel(
    "chat:{floor}:{room}", history=100, ttl="1h", presence=True, join_leave="force", may_see_presence="subscribers"
)


@chat.on_subscribe
async def enter(floor: Floor, room: Room, me: SessionInfo) -> Grant | None:
    """A room of the shop, for everyone who may be on its floor."""


@chat.on_publish
async def say(floor: Floor, line: Line, me: SessionInfo) -> Spoken:
    """Says a line to all in the room.

    The `text` is checked for manners. Raises:
        Forbidden: it has none.
    """
    return Spoken(line=line, author=Author(name=me.user), floor=floor)


hub.channel("news", history=10, may_subscribe="everyone", may_read_history="everyone")
hub.channel("files:{folder:path}", recovery=False, delta=True)
hub.channel("#{user}", personal=True)
game = hub.channel("game:{number}")


@game.on_subscribe
async def sit(number: int, seat: Annotated[Literal[1, 2], Data()]) -> None:
    """Takes a seat at the table."""


@game.on_publish
async def step(number: int, step: Step) -> Move | None:
    """One step of a player's."""


scratch = hub.channel("scratch", may_publish="subscribers", may_subscribe="users")


@hub.rpc("lines.find")
async def find(query: Query) -> Page[Line]:
    """Finds lines by their words."""
    return Page(items=[])


@hub.rpc("lines.count")
async def count() -> int:
    return 0


@hub.rpc("echo")
async def echo(data):  # type: ignore[no-untyped-def]
    return data


@hub.on_connect
async def welcome(name: str, hello: Author | None = None) -> Identity | None:
    """Guests may look around."""
    return Identity("")


app.include_router(hub.router)
