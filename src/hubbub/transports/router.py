"""The endpoints of sessions, as one router."""

from fastapi import APIRouter
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from hubbub.transports.entrance import Running
from hubbub.transports.streaming import HTTP_STREAM, SSE, UNI_HTTP_STREAM, UNI_SSE, EmulationDoor, Form, StreamDoor
from hubbub.transports.websocket import WebSocketDoor

_STREAMS: tuple[tuple[str, Form, tuple[str, ...]], ...] = (
    ("/connection/http_stream", HTTP_STREAM, ("POST",)),
    ("/connection/sse", SSE, ("GET", "POST")),
    ("/connection/uni_http_stream", UNI_HTTP_STREAM, ("POST",)),
    ("/connection/uni_sse", UNI_SSE, ("GET", "POST")),
)

_NO_UPGRADE = PlainTextResponse(
    "this is a WebSocket's address: upgrade the connection\n", 400, headers={"Sec-WebSocket-Version": "13"}
)


def sessions_router(running: Running) -> APIRouter:
    """Routes to the apps of this package: ASGI apps, since FastAPI's own routes cost each connection more."""
    router = APIRouter()
    for path, one_way in (("/connection/websocket", False), ("/connection/uni_websocket", True)):
        router.add_websocket_route(path, WebSocketDoor(running, unidirectional=one_way))  # type: ignore[arg-type]
        router.routes.append(Route(path, _NO_UPGRADE, include_in_schema=False))
    for path, form, methods in _STREAMS:
        router.routes.append(Route(path, StreamDoor(running, form, methods), include_in_schema=False))
    router.routes.append(Route("/emulation", EmulationDoor(running), include_in_schema=False))
    return router
