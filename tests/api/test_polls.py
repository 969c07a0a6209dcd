"""What the HTTP API answers about shared poll channels, as the reference server does."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from hubbub import Hub

GOOD = {"channel": "open:x", "key": "k", "data": 1, "version": 1}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(sys, "argv", ["pytest"])
    hub = Hub(api_key="key")
    rules: dict[str, Any] = {"every": "5s", "secret": "secret", "backend": "http://localhost:1/"}
    hub.poll_channel("open:{rest}", versioned=True, publish_enabled=True, **rules)
    hub.poll_channel("versioned:{rest}", versioned=True, **rules)
    hub.poll_channel("counted:{rest}", **rules)
    hub.channel("stream:{rest}")
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.api)
    with TestClient(app, headers={"X-API-Key": "key"}) as client:
        yield client


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, 0),
        ({"data": ...}, 0),
        ({"b64data": "MQ=="}, 0),
        ({"epoch": "e"}, 0),
        ({"channel": ""}, 107),
        ({"key": ""}, 107),
        ({"key": ...}, 107),
        ({"version": 0}, 107),
        ({"version": ...}, 107),
        ({"b64data": "*"}, 107),
        ({"b64data": "/w=="}, 107),
        ({"channel": "versioned:x"}, 108),
        ({"channel": "counted:x"}, 108),
        ({"channel": "stream:x"}, 107),
        ({"channel": "nowhere:x"}, 102),
    ],
)
def test_a_request_is_answered(client: TestClient, change: dict[str, Any], code: int) -> None:
    request = {name: value for name, value in {**GOOD, **change}.items() if value is not ...}
    reply = client.post("/api/shared_poll_publish", json=request).json()
    assert reply.get("error", {}).get("code", 0) == code
    batch = client.post("/api/batch", json={"commands": [{"shared_poll_publish": request}]}).json()
    assert batch["replies"] == [{"shared_poll_publish": reply["result"]} if not code else reply]
