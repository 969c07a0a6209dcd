"""Ten thousand look at prices, the source is asked once. Run: uvicorn shared_prices:app --reload"""

import itertools
import os
import secrets
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field

from hubbub import Hub

hub = Hub(allow_anonymous=True)
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)

# Pages keep their signatures when they come back, so a secret that changes with a restart makes them reload.
SECRET = os.environ.get("POLL_SECRET") or secrets.token_urlsafe()
prices = hub.poll_channel("prices:{market}", every="1s", secret=SECRET, may_subscribe="everyone")

LISTED = {"paper": 12.0, "ink": 40.0, "glue": 7.5}
drift = itertools.cycle((0.99, 1.0, 1.01))


@prices.on_poll
async def ask(market: str, keys: list[str]) -> dict[str, Any]:
    """Asked for all keys that anybody looks at, together; who looks at one gets what has changed of it."""
    return {key: {"price": round(LISTED[key] * next(drift), 2)} for key in keys if key in LISTED}


class Wanted(BaseModel):
    keys: list[str] = Field(min_length=1, max_length=100)


@app.post("/prices/{market}/signature")
async def signature(market: str, wanted: Wanted) -> str:
    """The SDK's ``getSignature``: check here that this user may see these keys."""
    return prices.sign("", wanted.keys, expire_in=3600, market=market)
