"""A door for other processes: they POST, the hub publishes."""

import os
import secrets
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, HTTPException, WebSocket
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from hubbub import Hub

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)

WORKER_TOKEN = os.environ.get("WORKER_TOKEN", "worker-token")


def ensure_worker(bearer: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> None:
    if not secrets.compare_digest(bearer.credentials.encode(), WORKER_TOKEN.encode()):
        raise HTTPException(401, "wrong token", {"WWW-Authenticate": "Bearer"})


@app.post("/internal/publish/jobs/{job}", status_code=202, dependencies=[Depends(ensure_worker)])
async def publish(job: str, data: Annotated[Any, Body()]) -> None:
    await hub.publish(f"job:{job}", data)


@app.websocket("/ws/jobs/{job}")
async def watch(websocket: WebSocket, job: str) -> None:
    async with hub.connect(websocket) as client:
        await client.join(f"job:{job}")
        async for _ in client:
            pass
