"""Whether FastAPI tells the hub's endpoints of all dependencies that an app declares: how it does is not public API.

Here a fault must not pass in silence. An app that guards its routers would be open.
"""

import functools
from typing import Any

import fastapi
from fastapi import APIRouter, Depends, FastAPI
from starlette.requests import HTTPConnection
from starlette.types import Message

from hubbub.canaries import ensure, fault_of
from hubbub.errors import UsageError


async def router_dependencies() -> None:
    """Asks one endpoint for requests and one for WebSockets, with a dependency at each place that can declare one.

    Raises:
        Exception: a dependency did not run before the endpoint.
    """
    from hubbub.transports.doors import Door, DoorRoute

    said: list[str] = []

    def dependency(place: str) -> Any:
        def say(connection: HTTPConnection) -> None:
            said.append(place)

        return Depends(say)

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        said.append("endpoint")

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None: ...

    inner, outer = APIRouter(), APIRouter(dependencies=[dependency("router")])
    for kind in ("http", "websocket"):
        path = f"/{kind}"
        inner.routes.append(DoorRoute(path, Door(endpoint, kind, path), methods=("GET",), response_model=None))
    outer.include_router(inner, dependencies=[dependency("inclusion in a router")])
    app = FastAPI(dependencies=[dependency("app")], openapi_url=None)
    app.include_router(outer, prefix="/at", dependencies=[dependency("inclusion in the app")])
    for kind in ("http", "websocket"):
        said.clear()
        await app(_scope(kind), receive, send)
        ensure(said[-1:] == ["endpoint"], f"an endpoint of type {kind} is reached")
        for place in ("app", "inclusion in the app", "router", "inclusion in a router"):
            ensure(place in said, f"a dependency of the {place} runs for type {kind}")


def _scope(kind: str) -> dict[str, Any]:
    return {
        "type": kind,
        "method": "GET",
        "path": f"/at/{kind}",
        "headers": [],
        "query_string": b"",
        "subprotocols": [],
    }


@functools.cache
def _fault() -> str:
    return fault_of(router_dependencies)


def ensure_dependencies_run() -> None:
    """Refuses to make endpoints where this FastAPI would leave out what guards them.

    Raises:
        UsageError: the canary does not pass.
    """
    if fault := _fault():
        raise UsageError(
            f"the hub's routers do not fit FastAPI {fastapi.__version__} ({fault}), so dependencies that guard them "
            "would not run. Install an older FastAPI, or a newer hubbub; clients of hub.connect need no router"
        )
