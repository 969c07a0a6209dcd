"""Where everybody points, as one shared state: the newest of each. Run: uvicorn live_cursors:app --reload"""

from fastapi import FastAPI
from pydantic import BaseModel, Field

from hubbub import Hub

hub = Hub(allow_anonymous=True)
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)

# A subscriber gets the cursors that are there, then each move. Each session has one key, its own id, and the entry
# goes when it leaves, or ten seconds after it last moved.
cursors = hub.map_channel(
    "cursors:{page}",
    key_ttl="10s",
    client_key="client_id",
    remove_on_leave=True,
    may_subscribe="everyone",
)


class Cursor(BaseModel):
    x: float = Field(ge=0, le=1)
    y: float = Field(ge=0, le=1)


@cursors.on_publish
def checked(cursor: Cursor) -> Cursor:
    return cursor


@app.get("/cursors/{page}")
async def now(page: str) -> dict[str, str]:
    """The same from the server's side."""
    return {key: str(entry.data) for key, entry in (await cursors.state(page=page)).items()}
