"""The endpoints of sessions as one router: which there are, and a conversation over HTTP on a real server."""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from hubbub import Hub
from hubbub.transports.doors import DoorRoute
from hubbub.transports.router import sessions_router

Serve = Callable[..., Any]


def make(**settings: Any) -> tuple[Hub, FastAPI]:
    hub = Hub(allow_anonymous=True, **settings)
    hub.channel("room", may_subscribe="everyone", history=10)
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router)
    return hub, app


def test_the_endpoints_are_those_that_sdks_look_for() -> None:
    routes = sessions_router(lambda: pytest.fail("nobody has come yet")).routes
    assert all(isinstance(route, DoorRoute) for route in routes)
    assert {route.path for route in routes if route.endpoint.kind == "websocket"} == {
        "/connection/websocket",
        "/connection/uni_websocket",
    }
    assert {route.path for route in routes if route.endpoint.kind == "http"} == {
        "/connection/websocket",
        "/connection/uni_websocket",
        "/connection/http_stream",
        "/connection/uni_http_stream",
        "/connection/sse",
        "/connection/uni_sse",
        "/emulation",
    }
    assert not any(route.include_in_schema for route in routes)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/connection/websocket", 400),
        ("GET", "/connection/uni_websocket", 400),
        ("GET", "/connection/http_stream", 405),
        ("GET", "/connection/uni_http_stream", 405),
        ("DELETE", "/connection/sse", 405),
        ("PUT", "/connection/uni_sse", 405),
        ("GET", "/emulation", 405),
        ("POST", "/emulation", 400),
        ("OPTIONS", "/connection/sse", 204),
        ("GET", "/connection/sse", 400),
    ],
)
def test_what_is_no_way_to_connect_is_answered_with_its_status(method: str, path: str, status: int) -> None:
    _, app = make()
    with TestClient(app) as client:
        response = client.request(method, path)
        assert response.status_code == status
        if path.endswith("websocket"):
            assert "upgrade the connection" in response.text


def test_websockets_talk_through_the_app() -> None:
    _, app = make()
    with TestClient(app) as client:
        with client.websocket_connect("/connection/websocket") as websocket:
            websocket.send_text('{"id":1,"connect":{}}')
            assert websocket.receive_json()["connect"]["client"]
        with client.websocket_connect("/connection/uni_websocket?cf_connect=%7B%7D") as websocket:
            assert websocket.receive_json()["connect"]["client"]


def test_the_router_may_be_mounted_elsewhere() -> None:
    hub = Hub(allow_anonymous=True)
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router, prefix="/realtime")
    with TestClient(app) as client:
        assert client.get("/realtime/connection/websocket").status_code == 400
        assert client.post("/realtime/emulation").status_code == 400
        assert client.get("/emulation").status_code == 404
        with client.websocket_connect("/realtime/connection/websocket") as websocket:
            websocket.send_text('{"id":1,"connect":{}}')
            assert websocket.receive_json()["connect"]["client"]


def replies(lines: Iterator[str]) -> Iterator[Any]:
    for line in lines:
        if line.strip():
            yield json.loads(line.removeprefix("data: "))


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/connection/http_stream"), ("POST", "/connection/sse"), ("GET", "/connection/sse")],
)
def test_a_conversation_over_http(serve: Serve, wire: str, method: str, path: str) -> None:
    hub, app = make()
    url = f"{serve(app, wire).http}"
    connect = '{"id":1,"connect":{}}'
    options: Any = {"content": connect} if method == "POST" else {"params": {"cf_connect": connect}}
    with httpx.Client(timeout=5) as client, client.stream(method, url + path, **options) as stream:
        heard = replies(stream.iter_lines())
        connected = next(heard)["connect"]
        emulation = {
            "node": connected["node"],
            "session": connected["session"],
            "data": '{"id":2,"subscribe":{"channel":"room"}}',
        }
        assert client.post(f"{url}/emulation", json=emulation).status_code == 204
        assert next(heard)["subscribe"]["recoverable"]
        hub.publish_sync("room", {"n": 1})
        assert next(heard)["push"]["pub"]["data"] == {"n": 1}
        engine = hub._running()
        engine.loop.call_soon_threadsafe(engine.begin_stop)
        assert next(heard) == {"push": {"disconnect": {"code": 3001, "reason": "shutdown"}}}
        assert list(heard) == [], "and the response ends"


def test_the_kernel_ends_a_stream_to_a_machine_that_acknowledges_nothing(serve: Serve, wire: str) -> None:
    """It cannot be unplugged here: what the socket was told is looked at."""
    served = serve(make(slow_timeout=7)[1], wire)
    connect = {"cf_connect": "{}"}
    with (
        httpx.Client(timeout=5) as client,
        client.stream("GET", f"{served.http}/connection/uni_sse", params=connect) as stream,
    ):
        heard = replies(stream.iter_lines())
        assert "connect" in next(heard)
        (connection,) = served.server.server_state.connections
        connected = connection.transport.get_extra_info("socket")
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7000
