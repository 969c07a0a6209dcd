"""Who connects is in a signed token, and who may subscribe in another. Run: uvicorn jwt_auth:app --reload"""

import os
import secrets
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from hubbub import JWT, Hub

# Or public_key=…, or jwks_url=… of your identity provider. A secret made at start ends all tokens with a restart.
jwt = JWT(secret=os.environ.get("JWT_SECRET") or secrets.token_urlsafe())
hub = Hub(auth=jwt)
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)

hub.channel("team:{name}", history=50, may_publish="subscribers")  # nobody may subscribe, but with a token

PASSWORDS = {"anna": "correct horse"}  # yours are hashed, in a database
TEAMS = {"anna": {"blue"}}


def current_user(given: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]) -> str:
    known = PASSWORDS.get(given.username, "")
    if not secrets.compare_digest(known.encode(), given.password.encode()) or not known:
        raise HTTPException(401, "wrong name or password", {"WWW-Authenticate": "Basic"})
    return given.username


@app.post("/token")
async def connection_token(user: Annotated[str, Depends(current_user)]) -> str:
    """For the SDK's ``getToken``: asked again before it expires, while the connection stays up."""
    return jwt.token(user, expire_in=600, info={"name": user.title()})


@app.post("/token/team/{name}")
async def subscription_token(name: str, user: Annotated[str, Depends(current_user)]) -> str:
    """For the ``getToken`` of a subscription."""
    if name not in TEAMS.get(user, ()):
        raise HTTPException(403, "not your team")
    return jwt.subscription_token(user, f"team:{name}", expire_in=600)
