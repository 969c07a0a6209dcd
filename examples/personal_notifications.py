"""Each user has a channel of its own, from the connect on. Run: uvicorn personal_notifications:app --reload"""

import os
import secrets

from fastapi import FastAPI
from pydantic import BaseModel

from hubbub import JWT, Hub

jwt = JWT(secret=os.environ.get("JWT_SECRET") or secrets.token_urlsafe())
hub = Hub(auth=jwt)
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)

inbox = hub.channel("#{user}", personal=True, history=20, ttl="7d")


class Notification(BaseModel):
    text: str


@app.post("/login/{user}")
async def login(user: str) -> str:
    """Check a password here. The SDK connects with what this returns, and is in ``#user`` at once."""
    return jwt.token(user, expire_in=3600)


@app.post("/notify/{user}", status_code=202)
async def notify(user: str, notification: Notification) -> None:
    """Reaches every device of the user; one that is away gets it when it comes back."""
    await inbox.publish(notification, user=user)
