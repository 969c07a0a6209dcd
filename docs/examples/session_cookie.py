"""Who has logged in with a cookie may connect: the handshake's headers are there for dependencies."""

from typing import Annotated

from fastapi import Cookie, FastAPI

from hubbub import Hub, Identity

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)

hub.channel("news", may_subscribe="users")

LOGINS = {"c0ffee": "anna"}  # what your login route has stored, by the value of its cookie


@hub.on_connect
def who(login: Annotated[str, Cookie()] = "") -> Identity | None:
    user = LOGINS.get(login)
    return None if user is None else Identity(user=user, info={"name": user.title()})
