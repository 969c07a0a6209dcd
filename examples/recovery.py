"""A ticker that misses nothing: who was cut off gets what it missed. Run: uvicorn recovery:app --reload"""

from fastapi import FastAPI
from pydantic import BaseModel

from hubbub import Hub, Position

hub = Hub(allow_anonymous=True)
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)

# With a history, recovery is on: an SDK that comes back says where it stood, and gets the rest, in order;
# or is told that it cannot have it all, if it was away for longer than the history reaches.
ticker = hub.channel("ticker:{symbol}", history=1000, ttl="10m", may_subscribe="everyone")


class Price(BaseModel):
    price: float


@app.post("/prices/{symbol}")
async def tick(symbol: str, price: Price) -> Position:
    return await ticker.publish(price, symbol=symbol)
