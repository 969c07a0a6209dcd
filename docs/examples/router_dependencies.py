"""Only admins call the HTTP API, and only known users open sessions: by dependencies of routers."""

from fastapi import Depends, FastAPI, HTTPException
from fastapi.requests import HTTPConnection

from hubbub import Hub

hub = Hub(api_key="a key for the HTTP API", allow_anonymous=True)
app = FastAPI(lifespan=hub.lifespan)


def known_user(connection: HTTPConnection) -> None:
    if "session" not in connection.cookies:
        raise HTTPException(401)


def admin(connection: HTTPConnection) -> None:
    if connection.headers.get("x-role") != "admin":
        raise HTTPException(403)


app.include_router(hub.router, dependencies=[Depends(known_user)])
app.include_router(hub.api, dependencies=[Depends(admin)])
