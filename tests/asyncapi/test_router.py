"""The document and the page over HTTP."""

import json
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel
from tests.asyncapi import shop

import hubbub.asyncapi.router
from hubbub import JWT, Hub, UsageError
from hubbub.auth import Identity


class Limit(BaseModel):
    most: float = float("inf")


def app_of(hub: Hub, prefix: str = "") -> FastAPI:
    app = FastAPI()
    app.include_router(hub.router, prefix=prefix)
    return app


def fetch(app: FastAPI, path: str = "/asyncapi.json", base: str = "http://hub.example", **options: Any) -> Any:
    response = TestClient(app, base, **options).get(path)
    assert response.status_code == 200
    return response.json()


def test_the_document_is_served_as_json() -> None:
    response = TestClient(shop.app).get("/asyncapi.json")
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    del document["servers"]
    assert document == json.loads(json.dumps(shop.hub.asyncapi(shop.app)))


def test_the_page_is_served_with_its_policy() -> None:
    response = TestClient(shop.app).get("/asyncapi")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src" not in response.headers["content-security-policy"]
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert "Corner shop" in response.text
    assert '<a href="asyncapi.json">' in response.text


def test_neither_is_an_operation_of_the_http_api() -> None:
    assert shop.app.openapi()["paths"] == {}


def test_the_hub_need_not_run() -> None:
    assert fetch(app_of(Hub()))["channels"] == {}


@pytest.mark.parametrize(
    ("base", "protocol", "host"),
    [
        ("http://hub.example", "ws", "hub.example"),
        ("https://hub.example:8443", "wss", "hub.example:8443"),
        ("http://[::1]:8000", "ws", "[::1]:8000"),
    ],
)
def test_servers_are_where_the_request_came(base: str, protocol: str, host: str) -> None:
    server = fetch(app_of(Hub()), base=base)["servers"]["websocket"]
    assert (server["protocol"], server["host"], server["pathname"]) == (protocol, host, "/connection/websocket")


@pytest.mark.parametrize(
    ("prefix", "root_path", "path"),
    [
        ("/a", "", "/a/asyncapi.json"),
        ("", "/a", "/a/asyncapi.json"),
        ("", "/a", "/asyncapi.json"),
        ("", "/a/", "/asyncapi.json"),
        ("/ab", "/a", "/a/ab/asyncapi.json"),
        ("/ab", "/a", "/ab/asyncapi.json"),
    ],
)
def test_servers_are_below_the_prefixes_of_router_and_server(prefix: str, root_path: str, path: str) -> None:
    servers = fetch(app_of(Hub(), prefix=prefix), path, root_path=root_path)["servers"]
    assert servers["websocket"]["pathname"] == f"{root_path.rstrip('/')}{prefix}/connection/websocket"


def test_servers_of_a_mounted_app_are_below_its_mount() -> None:
    whole = FastAPI()
    whole.mount("/shop", app_of(Hub()))
    assert fetch(whole, "/shop/asyncapi.json")["servers"]["sse"]["pathname"] == "/shop/connection/sse"


@pytest.mark.parametrize(
    ("anonymous", "on_connect", "needed"), [(False, False, True), (True, False, False), (False, True, False)]
)
def test_a_token_is_needed_where_nothing_else_lets_in(anonymous: bool, on_connect: bool, needed: bool) -> None:
    hub = Hub(auth=JWT(secret="x" * 32), allow_anonymous=anonymous)
    if on_connect:
        hub.on_connect(lambda: Identity(""))
    assert ("security" in fetch(app_of(hub))["servers"]["websocket"]) is needed


def test_the_document_is_made_anew_when_something_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    describe = hubbub.asyncapi.router.describe
    monkeypatch.setattr(hubbub.asyncapi.router, "describe", lambda registry: made.append(1) or describe(registry))
    hub = Hub()
    app = app_of(hub)
    news = hub.channel("news")
    assert list(fetch(app)["channels"]) == ["news"]
    assert list(fetch(app)["operations"]) == ["send_news"]
    assert len(made) == 1
    news.on_publish(lambda: None)
    assert list(fetch(app)["operations"]) == ["publish_news", "send_news"]
    hub.rpc("now")(lambda: 0)
    assert list(fetch(app)["channels"]) == ["news", "rpc_now"]
    assert len(made) == 3


def test_the_document_and_the_page_are_rendered_once_however_they_are_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Counted(hubbub.asyncapi.router.Page):
        def __init__(self, *given: Any) -> None:
            made.append(1)
            super().__init__(*given)

    monkeypatch.setattr(hubbub.asyncapi.router, "Page", Counted)
    hub = Hub()
    hub.channel("news")
    app, other = app_of(hub), app_of(hub)
    for host in ("one.example", "two.example"):
        for path in ("/asyncapi", "/asyncapi.json"):
            assert f"{host}" in TestClient(app, f"http://{host}").get(path).text
    assert len(made) == 1
    other.title = "Another"
    assert fetch(other)["info"]["title"] == "Another"
    assert fetch(app)["info"]["title"] == "FastAPI"
    assert len(made) == 2


def test_who_has_the_document_is_told_that_it_is_the_same() -> None:
    hub = Hub()
    app = app_of(hub)
    client = TestClient(app)
    for path in ("/asyncapi", "/asyncapi.json"):
        tag = client.get(path).headers["etag"]
        same = client.get(path, headers={"if-none-match": f'"other", W/{tag}'})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
        assert TestClient(app, "http://other.example").get(path, headers={"if-none-match": tag}).status_code == 200
    hub.channel("news")
    assert client.get("/asyncapi.json", headers={"if-none-match": tag}).status_code == 200


def test_what_json_cannot_say_is_null() -> None:
    hub = Hub()

    @hub.channel("numbers").on_publish
    async def limit(limit: Limit) -> None: ...

    assert fetch(app_of(hub))["components"]["schemas"]["Limit"]["properties"]["most"]["default"] is None


def test_the_address_is_a_setting() -> None:
    app = app_of(Hub(asyncapi_url="/docs/live"))
    assert fetch(app, "/docs/live.json")["servers"]["websocket"]["pathname"] == "/connection/websocket"
    assert '<a href="live.json">' in TestClient(app).get("/docs/live").text
    assert TestClient(app).get("/asyncapi").status_code == 404


def test_an_empty_address_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBUB_ASYNCAPI_URL", "")
    client = TestClient(app_of(Hub()))
    assert {client.get(path).status_code for path in ("/asyncapi", "/asyncapi.json", "/", "/.json")} == {404}


@pytest.mark.parametrize("url", ["/", "asyncapi", "/asyncapi/", "//", "/{name}", "/a b"])
def test_an_address_that_is_no_path_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="wrong settings: asyncapi_url"):
        Hub(asyncapi_url=url)
