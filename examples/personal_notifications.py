"""Each user is subscribed to a channel of their own on connect. Run: uvicorn personal_notifications:app --reload"""

import os
import secrets

from fastapi import FastAPI
from pydantic import BaseModel

from hubbub import JWT, Hub

jwt = JWT(secret=os.environ.get("JWT_SECRET") or secrets.token_urlsafe())
hub = Hub(auth=jwt)
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)

inbox = hub.channel("#{user}", personal=True, history=20, ttl="7d", may_read_history="subscribers")


class Notification(BaseModel):
    text: str


@app.post("/login/{user}")
async def login(user: str) -> str:
    """Check a password here. The SDK connects with the returned token, and is subscribed to ``#user`` at once."""
    return jwt.token(user, expire_in=3600)


@app.post("/notify/{user}", status_code=202)
async def notify(user: str, notification: Notification) -> None:
    """Reaches all connected devices of the user. A device whose connection broke receives it when its SDK reconnects.

    A device that starts anew, such as a page that was reloaded, is sent nothing old: it asks for the history.
    """
    await inbox.publish(notification, user=user)
