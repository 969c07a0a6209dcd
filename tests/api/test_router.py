"""The HTTP API over HTTP: who may call, and how results and errors are answered."""

import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.clock import Clock, ticks
from tests.hub.sessions import SessionStage

from hubbub.api import methods
from hubbub.api import router as module
from hubbub.api.contents import Empty, method
from hubbub.api.methods import METHODS
from hubbub.api.router import api_router
from hubbub.hub.engine import Engine

KEY = "a key that nobody guesses"


async def serve(api_key: str = KEY) -> tuple[SessionStage, httpx.AsyncClient]:
    """A stage with channels, and a client of its API without a key."""
    stage = await SessionStage.open(api_key=api_key)
    stage.channel("room:{name}", history=10, presence=True)
    app = FastAPI()
    app.include_router(api_router(lambda: stage.engine))
    return stage, httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub.example")


def with_key(clock: Clock, scenario: Callable[[SessionStage, httpx.AsyncClient], Awaitable[None]]) -> None:
    """Runs a scenario with a client that shows the key."""

    async def run() -> None:
        stage, client = await serve()
        client.headers["x-api-key"] = KEY
        await scenario(stage, client)

    clock.run(run())


# Who may call


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({"X-API-Key": KEY}, "", 200),
        ({"Authorization": f"apikey {KEY}"}, "", 200),
        ({"Authorization": f"ApiKey {KEY}"}, "", 200),
        ({}, f"api_key={KEY}", 200),
        ({"X-API-Key": ""}, f"api_key={KEY}", 200),
        ({}, "", 401),
        ({"X-API-Key": ""}, "", 401),
        ({"X-API-Key": "wrong"}, "", 401),
        ({"X-API-Key": KEY[:-1]}, "", 401),
        ({"X-API-Key": f"{KEY} "[:-1] + "x"}, "", 401),
        ({"Authorization": f"Bearer {KEY}"}, "", 401),
        ({"Authorization": "apikey"}, "", 401),
        ({"Authorization": KEY}, "", 401),
        ({"Authorization": "apikey wrong"}, "", 401),
        ({}, "api_key=%C3%BC%FF", 401),
        ({"Cookie": f"api_key={KEY}"}, "", 401),
    ],
)
def test_who_shows_the_key_may_call(clock: Clock, headers: dict[str, str], query: str, status: int) -> None:
    async def scenario() -> None:
        _, client = await serve()
        for path in ("/api/info", "/api/batch"):
            response = await client.post(f"{path}?{query}", headers=headers, content=b"{}")
            assert response.status_code == status
            if status == 401:
                assert response.content == b""

    clock.run(scenario())


@pytest.mark.parametrize("shown", ["", "anything"])
def test_without_a_key_in_the_settings_nobody_may_call(clock: Clock, shown: str) -> None:
    async def scenario() -> None:
        _, client = await serve(api_key="")
        for path in ("/api/info", "/api/batch"):
            assert (await client.post(path, headers={"X-API-Key": shown}, content=b"{}")).status_code == 401

    clock.run(scenario())


def test_keys_are_compared_in_a_time_that_tells_nothing(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def noting(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(module.hmac, "compare_digest", noting)

    async def scenario() -> None:
        _, client = await serve()
        await client.post("/api/info", headers={"X-API-Key": "wrong"}, content=b"{}")

    clock.run(scenario())
    assert (b"wrong", KEY.encode()) in compared


def test_only_post_is_answered_and_only_where_there_is_a_method(clock: Clock) -> None:
    async def scenario(stage: SessionStage, client: httpx.AsyncClient) -> None:
        assert (await client.get("/api/info")).status_code == 405
        assert (await client.post("/api/nothing", content=b"{}")).status_code == 404
        assert (await client.post("/api", content=b"{}")).status_code == 404

    with_key(clock, scenario)


# Every method


@pytest.mark.parametrize(
    ("method", "request_", "result"),
    [
        ("publish", {"channel": "room:b", "data": 1}, {"offset": 1}),
        ("broadcast", {"channels": ["room:b"], "data": 1}, {"responses": [{"result": {"offset": 1}}]}),
        ("subscribe", {"user": "anna", "channel": "room:b"}, {}),
        ("unsubscribe", {"user": "anna", "channel": "room:a"}, {}),
        ("disconnect", {"user": "anna"}, {}),
        ("refresh", {"user": "anna"}, {}),
        ("presence", {"channel": "room:b"}, {"presence": {}}),
        ("presence_stats", {"channel": "room:b"}, {"num_clients": 0, "num_users": 0}),
        ("history", {"channel": "room:b"}, {"publications": [], "offset": 0}),
        ("history_remove", {"channel": "room:b"}, {}),
        ("channels", {}, {"channels": {"room:a": {"num_clients": 1}}}),
    ],
)
def test_a_method_is_answered_with_its_result(clock: Clock, method: str, request_: Any, result: Any) -> None:
    async def scenario(stage: SessionStage, client: httpx.AsyncClient) -> None:
        guest = await stage.subscribed("room:a", "anna")
        response = await client.post(f"/api/{method}", json=request_)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert list(response.json()) == ["result"]
        assert _without_epochs(response.json()["result"]) == result
        await ticks(5)
        effects = {"unsubscribe": "unsubscribe", "subscribe": "subscribe", "refresh": "refresh"}
        if method in effects:
            assert any(effects[method] in push for push in guest.pushes())
        assert (guest.closed is not None) == (method == "disconnect")

    with_key(clock, scenario)


def _without_epochs(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_epochs(one) for key, one in value.items() if key != "epoch"}
    return [_without_epochs(one) for one in value] if isinstance(value, list) else value


def test_every_method_has_its_endpoint(clock: Clock) -> None:
    async def scenario(stage: SessionStage, client: httpx.AsyncClient) -> None:
        for name in METHODS:
            response = await client.post(f"/api/{name}", content=b"{}")
            assert response.status_code == 200, name
            assert set(response.json()) in ({"result"}, {"error"})
        (node,) = (await client.post("/api/info", content=b"{}")).json()["result"]["nodes"]
        assert node["num_clients"] == 0

    with_key(clock, scenario)


# Errors


ERRORS = [
    ("publish", {"channel": "unknown", "data": 1}, 102, "unknown channel", 404),
    ("rpc", {"method": "m"}, 104, "not found", 404),
    ("publish", {"channel": "room:a"}, 107, "bad request", 400),
    ("subscribe", {"user": "anna", "channel": "room:a", "expire_at": 1}, 110, "expired", 400),
    ("history", {"channel": "room:a", "since": {"epoch": "x"}}, 112, "unrecoverable position", 416),
]


@pytest.mark.parametrize(("method", "request_", "code", "message", "status"), ERRORS)
def test_an_error_is_told_in_the_answer_or_by_its_status_if_the_caller_asks_for_that(
    clock: Clock, method: str, request_: Any, code: int, message: str, status: int
) -> None:
    async def scenario(stage: SessionStage, client: httpx.AsyncClient) -> None:
        response = await client.post(f"/api/{method}", json=request_)
        assert (response.status_code, response.json()) == (200, {"error": {"code": code, "message": message}})
        response = await client.post(f"/api/{method}", json=request_, headers={"X-Centrifugo-Error-Mode": "transport"})
        assert (response.status_code, response.json()) == (status, {"code": code, "message": message})

    with_key(clock, scenario)


def test_a_failure_of_our_own_is_logged_and_not_told(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(engine: Engine, request: Empty) -> Empty:
        raise LookupError("a secret of ours")

    monkeypatch.setitem(methods.METHODS, "info", method(Empty, fail))

    async def scenario(stage: SessionStage, client: httpx.AsyncClient) -> None:
        told = {"code": 100, "message": "internal server error"}
        assert (await client.post("/api/info", content=b"{}")).json() == {"error": told}
        transport = {"X-Centrifugo-Error-Mode": "transport"}
        response = await client.post("/api/info", content=b"{}", headers=transport)
        assert (response.status_code, response.json()) == (500, told)
        batch = {"commands": [{"info": {}}]}
        assert (await client.post("/api/batch", json=batch)).json() == {"replies": [{"error": told}]}

    with caplog.at_level(logging.ERROR, "hubbub"):
        with_key(clock, scenario)
    assert caplog.text.count("LookupError: a secret of ours") == 3
    assert "the HTTP API's info failed" in caplog.text


@pytest.mark.parametrize("body", [b"", b"rubbish", b"[]", b'{"channel":7}', b"\xff", b"[" * 60_000])
def test_what_cannot_be_decoded_is_400(clock: Clock, body: bytes) -> None:
    async def scenario(stage: SessionStage, client: httpx.AsyncClient) -> None:
        response = await client.post("/api/publish", content=body)
        assert response.status_code == 400
        assert response.text.startswith("cannot decode the request")

    with_key(clock, scenario)


def test_a_body_that_is_too_large_is_413(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_BODY", 1000)

    async def scenario(stage: SessionStage, client: httpx.AsyncClient) -> None:
        for path in ("/api/publish", "/api/batch"):
            assert (await client.post(path, content=b" " * 1001)).status_code == 413
            assert (await client.post(path, content=b" " * 1000)).status_code == 400

    with_key(clock, scenario)


# Batches


def test_a_batch_is_answered_in_its_order_and_one_error_stops_nothing(clock: Clock) -> None:
    async def scenario(stage: SessionStage, client: httpx.AsyncClient) -> None:
        guest = await stage.subscribed("room:a")
        commands: list[Any] = [
            {"publish": {"channel": "room:a", "data": 1}},
            {"publish": {"channel": "unknown", "data": 2}},
            {"unknown": {}},
            {},
            None,
            {"publish": None, "presence_stats": {"channel": "room:a"}},
            {"publish": {"channel": "room:a", "data": 3}},
        ]
        for parallel in (False, True):
            response = await client.post("/api/batch", json={"commands": commands, "parallel": parallel})
            assert response.status_code == 200
            replies = response.json()["replies"]
            assert [reply.get("error", {}).get("code", 0) for reply in replies] == [0, 102, 104, 104, 107, 0, 0]
            assert replies[5] == {"presence_stats": {"num_clients": 1, "num_users": 1}}
            assert replies[6]["publish"]["offset"] == replies[0]["publish"]["offset"] + 1
        await ticks(5)
        assert [push["pub"]["data"] for push in guest.pushes()] == [1, 3, 1, 3]

    with_key(clock, scenario)


def test_a_batch_with_a_request_that_is_none_does_nothing(clock: Clock) -> None:
    async def scenario(stage: SessionStage, client: httpx.AsyncClient) -> None:
        good = {"publish": {"channel": "room:a", "data": 1}}
        for wrong in ({"publish": {"channel": 7}}, {"history": {"channel": "room:a", "limit": 2**31}}, {"info": []}):
            response = await client.post("/api/batch", json={"commands": [good, wrong, good]})
            assert response.status_code == 400
        assert not (await stage.engine.history("room:a"))[0]

    with_key(clock, scenario)


def test_a_batch_of_nothing_is_answered_with_nothing(clock: Clock) -> None:
    async def scenario(stage: SessionStage, client: httpx.AsyncClient) -> None:
        for body in ({}, {"commands": []}, {"commands": None}):
            response = await client.post("/api/batch", json=body)
            assert (response.status_code, response.json()) == (200, {})
        for wrong in (b"", b"rubbish", b'{"commands":{}}', b'{"commands":[1]}', b'{"commands":[{"info":1}]}'):
            assert (await client.post("/api/batch", content=wrong)).status_code == 400

    with_key(clock, scenario)
