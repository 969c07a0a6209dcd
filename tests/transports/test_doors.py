"""Dependencies of the app and its routers at the hub's endpoints: they run, they refuse, and they are closed."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Header, HTTPException, WebSocketException
from starlette.requests import HTTPConnection, Request
from starlette.testclient import TestClient
from tests.transports.conftest import Serve
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from hubbub import Hub

ENDPOINTS = [
    ("GET", "/connection/uni_sse"),
    ("POST", "/connection/http_stream"),
    ("POST", "/emulation"),
    ("GET", "/connection/websocket"),
    ("GET", "/asyncapi"),
    ("GET", "/asyncapi.json"),
    ("POST", "/api/info"),
    ("POST", "/api/batch"),
]
SOCKETS = ["/connection/websocket", "/connection/uni_websocket"]


class Admins:
    """Lets in who shows the key, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, connection: HTTPConnection) -> None:
        self.asked += 1
        if connection.headers.get("x-admin") != "yes":
            raise HTTPException(401, "admins only", {"www-authenticate": "Own"})


def make_hub() -> Hub:
    return Hub(allow_anonymous=True, api_key="k")


def by_inclusion(hub: Hub, admins: Any) -> FastAPI:
    app = FastAPI(lifespan=hub.lifespan)
    for router in (hub.router, hub.api):
        app.include_router(router, dependencies=[Depends(admins)])
    return app


def by_app(hub: Hub, admins: Any) -> FastAPI:
    app = FastAPI(lifespan=hub.lifespan, dependencies=[Depends(admins)])
    app.include_router(hub.router)
    app.include_router(hub.api)
    return app


def by_enclosing_router(hub: Hub, admins: Any) -> FastAPI:
    inner, outer = APIRouter(), APIRouter(dependencies=[Depends(admins)])
    inner.include_router(hub.router)
    inner.include_router(hub.api)
    outer.include_router(inner)
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(outer)
    return app


def by_mounted_app(hub: Hub, admins: Any) -> FastAPI:
    app = FastAPI(lifespan=hub.lifespan)
    app.mount("", by_app(hub, admins))
    return app


WAYS = [by_inclusion, by_app, by_enclosing_router, by_mounted_app]
Way = Callable[[Hub, Any], FastAPI]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_a_dependency_refuses_requests_as_it_does_for_routes_of_the_app(way: Way, method: str, path: str) -> None:
    admins = Admins()
    with TestClient(way(make_hub(), admins)) as client:
        refused = client.request(method, path, headers={"x-api-key": "k"}, content=b"{}")
    assert (refused.status_code, refused.json()) == (401, {"detail": "admins only"})
    assert refused.headers["www-authenticate"] == "Own"
    assert admins.asked == 1


@pytest.mark.parametrize("way", WAYS)
def test_a_dependency_that_agrees_lets_requests_through(way: Way) -> None:
    admins = Admins()
    with TestClient(way(make_hub(), admins), headers={"x-admin": "yes", "x-api-key": "k"}) as client:
        assert client.post("/api/info", content=b"{}").json()["result"]["nodes"]
        assert client.get("/asyncapi.json").json()["asyncapi"]
        assert client.post("/emulation", content=b'{"node":"x","session":"","data":""}').status_code == 404
        assert client.post("/connection/http_stream", content=b"rubbish").status_code == 200
        with client.websocket_connect("/connection/websocket") as session:
            session.send_text('{"id":1,"connect":{}}')
            assert session.receive_json()["connect"]["client"]
    assert admins.asked == 5


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", SOCKETS)
def test_a_dependency_refuses_the_handshake_with_its_own_status(
    serve: Serve, implementation: str, way: Way, path: str
) -> None:
    served = serve(way(make_hub(), Admins()), implementation)
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{served.ws}{path}")
    response = refused.value.response
    assert (response.status_code, json.loads(response.body)) == (401, {"detail": "admins only"})
    assert response.headers["www-authenticate"] == "Own"


def test_other_refusals_of_a_handshake_are_those_of_fastapi(serve: Serve, implementation: str) -> None:
    class Own(Exception):
        pass

    def raising(error: Exception) -> FastAPI:
        def check() -> None:
            raise error

        return by_inclusion(make_hub(), check)

    def missing(x_key: Annotated[str, Header()]) -> None:
        """Never called."""

    own = raising(Own())

    @own.exception_handler(Own)
    async def close(websocket: Any, error: Exception) -> None:
        await websocket.close(1008)

    for app in (raising(WebSocketException(1008)), by_inclusion(make_hub(), missing), own):
        served = serve(app, implementation)
        with pytest.raises(InvalidStatus) as refused:
            connect(f"{served.ws}/connection/websocket")
        assert refused.value.response.status_code == 403


class Ledger:
    """A dependency with yield: it notes when it is opened and closed."""

    def __init__(self) -> None:
        self.open = 0

    async def __call__(self) -> AsyncIterator[None]:
        self.open += 1
        yield
        self.open -= 1


@pytest.mark.parametrize("path", SOCKETS)
def test_what_a_dependency_holds_for_a_websocket_is_closed_when_the_session_ends(
    serve: Serve, implementation: str, path: str
) -> None:
    ledger = Ledger()
    app = by_inclusion(make_hub(), ledger)
    app.add_api_route("/open", lambda: ledger.open)
    served = serve(app, implementation)
    url = f"{served.http}/open"
    with connect(f"{served.ws}{path}") as peer:
        peer.send('{"id":1,"connect":{}}' if path == SOCKETS[0] else "{}")
        assert "client" in str(peer.recv(5))
        assert httpx.get(url).json() == 1
    deadline = 200
    while httpx.get(url).json() and deadline:
        deadline -= 1
    assert deadline, "it is never closed"


@pytest.mark.parametrize(("scope", "during"), [("request", 1), ("function", 0)])
def test_what_a_dependency_holds_for_a_stream_is_closed_when_the_stream_ends_or_before_it_begins(
    serve: Serve, implementation: str, scope: Any, during: int
) -> None:
    ledger = Ledger()
    hub = make_hub()
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router, dependencies=[Depends(ledger, scope=scope)])
    app.add_api_route("/open", lambda: ledger.open)
    served = serve(app, implementation)
    url = served.http
    with httpx.stream("GET", f"{url}/connection/uni_sse", timeout=5) as stream:
        lines = stream.iter_lines()  # kept, as the stream ends with it
        assert any("client" in line for line in lines)
        assert httpx.get(f"{url}/open").json() == during
    deadline = 200
    while httpx.get(f"{url}/open").json() and deadline:
        deadline -= 1
    assert deadline, "it is never closed"


def test_a_dependency_may_be_overridden_and_take_what_a_prefix_says() -> None:
    seen: list[Any] = []

    def tenant(name: str) -> str:
        return name

    def note(connection: HTTPConnection, who: Annotated[str, Depends(tenant)]) -> None:
        seen.append((connection.scope["type"], who))

    hub = make_hub()
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router, prefix="/of/{name}", dependencies=[Depends(note)])
    with TestClient(app) as client:
        for _ in range(2):
            client.get("/of/acme/connection/websocket")
            with client.websocket_connect("/of/acme/connection/websocket") as session:
                session.send_text('{"id":1,"connect":{}}')
                assert session.receive_json()["connect"]
            app.dependency_overrides[tenant] = lambda: "other"
    assert seen == [("http", "acme"), ("websocket", "acme"), ("http", "other"), ("websocket", "other")]


def test_a_page_may_ask_by_options_without_showing_who_it_is() -> None:
    hub = Hub(allowed_origins="https://app.example")
    app = by_inclusion(hub, Admins())
    with TestClient(app) as client:
        asked = client.options("/connection/sse", headers={"origin": "https://app.example"})
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-origin"] == "https://app.example"


@pytest.mark.parametrize("kept", [True, False])
def test_a_body_that_a_dependency_has_read_is_there_for_the_hub(*, kept: bool) -> None:
    seen: list[bytes] = []

    async def signed(request: Request) -> None:
        seen.append(await request.body())

    def parsed(channel: Annotated[str, Body()], data: Annotated[int, Body()]) -> None:
        seen.append(f"{channel}{data}".encode())

    hub = make_hub()
    hub.channel("room", history=5)
    with TestClient(by_inclusion(hub, signed if kept else parsed), headers={"x-api-key": "k"}) as client:
        published = client.post("/api/publish", json={"channel": "room", "data": 1})
    assert published.json()["result"]["offset"] == 1
    assert len(seen) == 1


def test_a_dependency_that_leaves_the_hub_no_body_is_told_the_remedy() -> None:
    async def stream(request: Request) -> None:
        async for _ in request.stream():
            pass

    with (
        TestClient(by_inclusion(make_hub(), stream), headers={"x-api-key": "k"}) as client,
        pytest.raises(Exception, match="read it with await"),
    ):
        client.post("/api/info", data={"name": "x"})


def test_an_app_that_names_its_routes_by_tags_may_include_the_hub() -> None:
    hub = make_hub()
    app = FastAPI(lifespan=hub.lifespan, generate_unique_id_function=lambda route: f"{route.tags[0]}-{route.name}")
    app.include_router(hub.router)
    app.include_router(hub.api, prefix="/hub")
    with TestClient(app, headers={"x-api-key": "k"}) as client:
        assert client.post("/hub/api/info", content=b"{}").status_code == 200
        assert client.get("/hub/api/info").status_code == 405
        assert client.get("/openapi.json").json()["paths"] == {}


def test_background_tasks_of_a_dependency_run_after_the_answer() -> None:
    from fastapi import BackgroundTasks

    done: list[int] = []

    def later(tasks: BackgroundTasks) -> None:
        tasks.add_task(done.append, 1)

    with TestClient(by_inclusion(make_hub(), later), headers={"x-api-key": "k"}) as client:
        assert client.post("/api/info", content=b"{}").status_code == 200
    assert done == [1]


@pytest.fixture(params=["wire", "sansio", "wsproto"])
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)
