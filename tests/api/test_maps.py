"""What the HTTP API answers about map channels, as the reference server does."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from hubbub import Hub

Call = Callable[..., dict[str, Any]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    monkeypatch.setattr(sys, "argv", ["pytest"])
    hub = Hub(api_key="key")
    hub.map_channel("board:{rest}", mode="persistent")
    hub.map_channel("cursors:{rest}", key_ttl="60s")
    hub.channel("stream:{rest}")
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.api)
    with TestClient(app, headers={"X-API-Key": "key"}) as client:

        def call(method: str, channel: str = "board:1", **request: Any) -> dict[str, Any]:
            reply: dict[str, Any] = client.post(f"/api/{method}", json={"channel": channel, **request}).json()
            return reply.get("result", reply.get("error"))  # type: ignore[no-any-return]

        yield call


def test_what_is_published_is_in_the_state_and_the_stream(call: Call) -> None:
    assert call("map_stats") == {}
    first = call("map_publish", key="b", data={"v": 1}, tags={"t": "1"}, score=5)
    epoch = first["epoch"]
    assert first == {"offset": 1, "epoch": epoch}
    assert call("map_publish", key="a", b64data="Mg==") == {"offset": 2, "epoch": epoch}
    assert call("map_publish", key="c") == {"offset": 3, "epoch": epoch}, "an entry may have no data"
    assert call("map_remove", key="b") == {"offset": 4, "epoch": epoch}
    top = {"offset": 4, "epoch": epoch}
    a, b = {"key": "a", "data": 2, "offset": 2}, {"key": "b", "data": {"v": 1}, "tags": {"t": "1"}, "offset": 1}
    c, gone = {"key": "c", "offset": 3}, {"key": "b", "tags": {"t": "1"}, "offset": 4, "removed": True}
    assert call("map_stats") == {"num_keys": 2}
    assert call("map_read_state", limit=-1) == {"entries": [a, c], **top}
    assert call("map_read_state", limit=1) == {"entries": [a], **top, "cursor": "a"}
    assert call("map_read_state", limit=1, cursor="a") == {"entries": [c], **top}
    assert call("map_read_state") == top
    assert call("map_read_state", key="c") == {"entries": [c], **top}
    assert call("map_read_state", key="never") == top
    assert call("map_read_stream", limit=-1) == {"entries": [b, a, c, gone], **top}
    assert call("map_read_stream", limit=2, reverse=True) == {"entries": [gone, c], **top}
    assert call("map_read_stream", limit=1, since_offset=1, since_epoch=epoch) == {"entries": [a], **top}
    assert call("map_read_stream") == top
    assert call("map_clear") == {}
    cleared = call("map_read_state", limit=-1)
    assert set(cleared) == {"epoch"}
    assert cleared["epoch"] != epoch


def test_a_change_that_is_not_made_says_why(call: Call) -> None:
    def why(method: str, **request: Any) -> str:
        answer = call(method, **request)
        assert answer.get("suppressed", False) is bool(answer.get("suppress_reason"))
        return str(answer.get("suppress_reason", ""))

    assert why("map_publish", key="k", data=1, key_mode="if_exists") == "key_not_found"
    assert why("map_publish", key="k", data=1, key_mode="if_new") == ""
    assert why("map_publish", key="k", data=2, key_mode="if_new") == "key_exists"
    assert why("map_publish", key="k", data=3, key_mode="if_exists") == ""
    assert why("map_publish", key="i", data=1, idempotency_key="once") == ""
    assert why("map_publish", key="i", data=2, idempotency_key="once") == "idempotency"
    assert why("map_publish", key="v", data=1, version=2) == ""
    assert why("map_publish", key="v", data=2, version=2) == "version"
    assert why("map_publish", key="v", data=3, version=1, version_epoch="e") == ""
    assert why("map_remove", key="never") == "key_not_found"
    assert why("map_remove", key="i", idempotency_key="removal") == ""
    assert why("map_remove", key="k", idempotency_key="removal") == "idempotency"
    assert {one["key"]: one["data"] for one in call("map_read_state", limit=-1)["entries"]} == {"k": 3, "v": 3}


def test_a_map_without_a_stream_has_an_epoch_and_no_offsets(call: Call) -> None:
    published = call("map_publish", "cursors:1", key="k", data=1)
    assert set(published) == {"epoch"}
    assert call("map_read_state", "cursors:1", limit=-1) == {"entries": [{"key": "k", "data": 1}], **published}
    assert call("map_read_stream", "cursors:1", limit=-1) == published
    assert call("map_remove", "cursors:1", key="k") == published


@pytest.mark.parametrize("method", ["publish", "remove", "read_state", "read_stream", "stats", "clear"])
@pytest.mark.parametrize(("channel", "code"), [("", 107), ("stream:1", 107), ("nowhere:1", 102)])
def test_what_is_no_map_is_refused(call: Call, method: str, channel: str, code: int) -> None:
    assert call(f"map_{method}", channel, key="k", data=1, limit=1)["code"] == code


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        ("map_publish", {"data": 1}, 107),
        ("map_publish", {"key": "", "data": 1}, 107),
        ("map_publish", {"key": "k", "b64data": "*"}, 107),
        ("map_publish", {"key": "k", "b64data": "/w=="}, 107),
        ("map_publish", {"key": "k", "data": 1, "key_mode": "other"}, 107),
        ("map_publish", {"key": "k", "data": 1, "key_mode": "touch"}, 107),
        ("map_remove", {}, 107),
        ("map_read_state", {"limit": 1, "revision_epoch": "another"}, 112),
        ("map_read_state", {"limit": 1, "revision_offset": 1}, 112),
        ("map_read_stream", {"limit": 1, "since_epoch": "another"}, 112),
        ("publish", {"data": 1}, 107),
        ("history", {}, 108),
        ("presence", {}, 108),
    ],
)
def test_what_makes_no_sense_is_refused(call: Call, method: str, request_: dict[str, Any], code: int) -> None:
    call("map_publish", key="there", data=1)
    assert call(method, **request_)["code"] == code
    assert call("map_stats") == {"num_keys": 1}
