"""The hub's endpoints as routes of FastAPI: what an app declares for its routers holds for them too.

Theory of operation. The endpoints are ASGI apps, since FastAPI's way to a function costs each connection more. But
FastAPI knows the dependencies of its own kind of route alone: those of ``include_router``, of an ``APIRouter``, of
``FastAPI`` itself. It leaves them out for every other kind, in silence. So a ``DoorRoute`` is one of FastAPI's, with
a short cut: where there are no dependencies, it hands over to the app at once. Where there are, FastAPI runs them:
for HTTP by its own handler, whose response then is the app; for a WebSocket by an ``APIWebSocketRoute``.

Older versions of FastAPI copy a route when its router is included, with all dependencies. Newer ones keep the route,
and say in the scope what the inclusion adds. Where the scope says nothing, the route's own are all there are.
Neither way is public API: ``hubbub.transports.door_canary`` tries both before the first endpoint is made.
"""

import inspect
from collections.abc import Iterator
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketState

from hubbub.errors import UsageError
from hubbub.transports.door_canary import ensure_dependencies_run

HELD = "hubbub.held"
"""In the scope of a WebSocket: the app is to return no sooner than the session ends, as something is closed then."""

_ALL = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


class Door:
    """What FastAPI takes for the endpoint; it is called where there are dependencies, after them."""

    def __init__(self, app: ASGIApp, kind: str, path: str) -> None:
        self.app = app
        self.kind = kind
        self.path = path

    async def __call__(self, request: Request) -> Response:
        return _Handover(self.app, request)

    async def open(self, websocket: WebSocket) -> None:
        await self.app(websocket.scope, websocket.receive, websocket.send)


class DoorRoute(APIRoute):
    """One endpoint; make it with ``http_door`` or ``websocket_door``."""

    endpoint: Door

    def __init__(self, path: str, endpoint: Door, **given: Any) -> None:
        super().__init__(path, endpoint, **given)
        self._guards: dict[int, tuple[Any, APIWebSocketRoute]] = {}

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        door = self.endpoint
        if scope["type"] != door.kind or not scope["path"].endswith(door.path):
            return Match.NONE, {}
        return super().matches(scope if door.kind == "http" else {**scope, "type": "http", "method": "GET"})

    def handle(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Runs the dependencies, if there are any, and the app."""
        context = scope.get("fastapi", {}).get("effective_route_context")
        source = context if context is not None and context.original_route is self else self
        free = not source.dependencies and getattr(source, "max_body_size", None) is None
        if self.endpoint.kind == "websocket":
            return self.endpoint.app(scope, receive, send) if free else self._open(source, scope, receive, send)
        # Browsers ask by OPTIONS whether a page may ask at all, and show nothing by which to know anybody.
        if scope["method"] in (self.methods or ()) and (free or scope["method"] == "OPTIONS"):
            return self.endpoint.app(scope, receive, send)
        return super().handle(scope, receive, send)

    async def _open(self, source: Any, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        guard = self._guard(source)
        # Without the app's handlers, which are for responses: an HTTPException is to come here.
        inner = {name: value for name, value in scope.items() if name != "starlette.exception_handlers"}
        overridden = getattr(source.dependency_overrides_provider, "dependency_overrides", None)
        inner[HELD] = bool(overridden) or any(map(_yields, _flat(guard.dependant)))
        try:
            await guard.app(inner, websocket.receive, websocket.send)
        except HTTPException as refused:
            if websocket.application_state is not WebSocketState.CONNECTING:
                raise
            await _deny(websocket, refused)

    def _guard(self, source: Any) -> APIWebSocketRoute:
        """The route that runs the dependencies of one inclusion."""
        if id(source) not in self._guards:
            guard = APIWebSocketRoute(
                source.path,
                self.endpoint.open,
                dependencies=source.dependencies,
                dependency_overrides_provider=source.dependency_overrides_provider,
            )
            self._guards[id(source)] = (source, guard)
        return self._guards[id(source)][1]


def http_door(path: str, app: ASGIApp, methods: tuple[str, ...] = _ALL) -> DoorRoute:
    """A route to an ASGI app; the app itself answers methods that it does not serve, unless they are given.

    Raises:
        UsageError: dependencies would not run with this FastAPI.
    """
    ensure_dependencies_run()
    return DoorRoute(path, Door(app, "http", path), methods=methods, **_unseen(path))


def websocket_door(path: str, app: ASGIApp) -> DoorRoute:
    """A route to an ASGI app that takes WebSockets.

    Raises:
        UsageError: as ``http_door``.
    """
    ensure_dependencies_run()
    return DoorRoute(path, Door(app, "websocket", path), methods=("GET",), **_unseen(path))


def _unseen(path: str) -> dict[str, Any]:
    # With an id of its own, an app's function that makes them from tags is not asked for one.
    return {"response_model": None, "include_in_schema": False, "operation_id": f"hubbub{path.replace('/', '_')}"}


class _Handover(Response):
    """The app, as a response that FastAPI sends while what dependencies hold is open."""

    def __init__(self, app: ASGIApp, request: Request) -> None:
        self.status_code = 200
        self.raw_headers = []
        self.body = b""
        self.background = None
        self._app = app
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if getattr(self._request, "_stream_consumed", False):
            receive = await _again(self._request, receive)
        await self._app(scope, receive, send)
        if self.background is not None:
            await self.background()


async def _again(request: Request, receive: Receive) -> Receive:
    """``receive`` as if a dependency had not read the body."""
    try:
        pieces: list[Message] = [{"type": "http.request", "body": await request.body(), "more_body": False}]
    except RuntimeError:
        raise UsageError(
            "a dependency of the hub's router has read the request's body as a stream or a form, and the hub needs it; "
            "read it with await request.body(), which keeps it"
        ) from None

    async def replay() -> Message:
        return pieces.pop() if pieces else await receive()

    return replay


async def _deny(websocket: WebSocket, refused: HTTPException) -> None:
    """Answers the handshake as FastAPI answers a request."""
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        response = JSONResponse({"detail": refused.detail}, refused.status_code, refused.headers)
        await websocket.send_denial_response(response)
    else:
        await websocket.close(1008)


def _flat(dependant: Dependant) -> Iterator[Any]:
    for below in dependant.dependencies:
        yield below.call
        yield from _flat(below)


def _yields(call: Any) -> bool:
    """Whether a dependency has something to do at the end."""
    functions = (inspect.unwrap(call), getattr(call, "__call__", None))  # noqa: B004
    return any(inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one) for one in functions)
