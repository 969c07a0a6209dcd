"""The endpoints of sessions, as one router."""

from fastapi import APIRouter
from starlette.responses import PlainTextResponse

from hubbub.transports.doors import http_door, websocket_door
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
    """The routes of sessions; dependencies of the app and its routers hold for them."""
    router = APIRouter()
    websockets = {"/connection/websocket": False, "/connection/uni_websocket": True}
    # FastAPI tries one route after the other: the busiest come first.
    for path, one_way in websockets.items():
        router.routes.append(websocket_door(path, WebSocketDoor(running, unidirectional=one_way)))
    router.routes.append(http_door("/emulation", EmulationDoor(running)))
    for path, form, methods in _STREAMS:
        router.routes.append(http_door(path, StreamDoor(running, form, methods)))
    for path in websockets:
        router.routes.append(http_door(path, _NO_UPGRADE))
    return router
