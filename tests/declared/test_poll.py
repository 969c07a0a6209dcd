"""Polled channels as an app declares and uses them."""

import asyncio
import sys
import time
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request
from starlette.testclient import TestClient
from tests.hub.polls.backend import Backend

from hubbub import Hub, Polled, SessionInfo, UsageError
from hubbub.declared import PollChannel
from hubbub.errors import Forbidden

SECRET = "a secret of the tests that is long enough"


@pytest.fixture(autouse=True)
def _one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest"])


def declare(hub: Hub | None = None, pattern: str = "prices:{market}", **rules: Any) -> PollChannel:
    given = {"every": "5s", "secret": SECRET, "may_subscribe": "everyone", **rules}
    return (hub or Hub()).poll_channel(pattern, **given)


def app_of(hub: Hub) -> FastAPI:
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router)
    app.include_router(hub.api)
    return app


class Viewer:
    """A client on a real WebSocket."""

    def __init__(self, client: TestClient, channel: PollChannel) -> None:
        self._context = client.websocket_connect("/connection/websocket")
        self._channel = channel

    def __enter__(self) -> "Viewer":
        self._socket = self._context.__enter__()
        self.ask({"id": 1, "connect": {}})
        return self

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        self._socket.send_json(command)
        return self.next()

    def next(self) -> dict[str, Any]:
        return dict(self._socket.receive_json())

    def track(self, *keys: str) -> dict[str, Any]:
        self.ask({"id": 2, "subscribe": {"channel": "prices:oslo", "type": 4}})
        batch = {"signature": self._channel.sign("", keys, market="oslo"), "items": [{"key": key} for key in keys]}
        return self.ask({"id": 3, "sub_refresh": {"channel": "prices:oslo", "type": 1, "track": [batch]}})


def publication(push: dict[str, Any]) -> dict[str, Any]:
    return dict(push["push"]["pub"])


def test_a_function_of_the_app_answers_the_polls() -> None:
    hub = Hub(allow_anonymous=True)
    prices = declare(hub)

    @prices.on_poll
    async def load(market: str, keys: list[str]) -> dict[str, Any]:
        return {key: f"{key} in {market}" for key in keys}

    with TestClient(app_of(hub)) as client, Viewer(client, prices) as viewer:
        assert viewer.track("salmon")["sub_refresh"]["expires"] is True
        assert publication(viewer.next()) == {"key": "salmon", "data": "salmon in oslo", "version": 1}


def test_a_backend_answers_the_polls() -> None:
    with Backend() as backend:
        backend.body = b'{"result":{"items":[{"key":"salmon","data":{"nok": 99},"version":7}]}}'
        hub = Hub(allow_anonymous=True)
        prices = declare(hub, backend=backend.url, versioned=True)
        with TestClient(app_of(hub)) as client, Viewer(client, prices) as viewer:
            viewer.track("salmon")
            assert publication(viewer.next()) == {"key": "salmon", "data": {"nok": 99}, "version": 7}


def test_a_hub_can_start_again() -> None:
    hub = Hub(allow_anonymous=True)
    prices = declare(hub)
    prices.on_poll(lambda keys: dict.fromkeys(keys, 1))
    for _ in range(2):
        with TestClient(app_of(hub)) as client, Viewer(client, prices) as viewer:
            viewer.track("salmon")
            assert publication(viewer.next())["version"] == 1


def test_values_are_published_between_polls() -> None:
    hub = Hub(allow_anonymous=True, api_key="key")
    prices = declare(hub, versioned=True, publish_enabled=True, every="1h")

    @prices.on_poll
    async def load(keys: list[str]) -> list[Polled]:
        return []

    app = app_of(hub)

    @app.post("/price")
    async def price() -> None:
        await prices.publish("salmon", {"nok": 100}, version=1, market="oslo")

    with TestClient(app) as client, Viewer(client, prices) as viewer:
        viewer.track("salmon")
        assert client.post("/price").status_code == 200
        assert publication(viewer.next()) == {"key": "salmon", "data": {"nok": 100}, "version": 1}
        told = {"channel": "prices:oslo", "key": "salmon", "data": 101, "version": 2}
        reply = client.post("/api/shared_poll_publish", json=told, headers={"X-API-Key": "key"})
        assert reply.json() == {"result": {}}
        assert publication(viewer.next()) == {"key": "salmon", "data": 101, "version": 2}


def test_values_are_published_from_any_other_thread() -> None:
    hub = Hub(allow_anonymous=True)
    prices = declare(hub, versioned=True, publish_enabled=True, every="1h")
    prices.on_poll(lambda keys: [])
    with TestClient(app_of(hub)) as client, Viewer(client, prices) as viewer:
        viewer.track("salmon")
        prices.publish_sync("salmon", {"nok": 100}, version=1, market="oslo")
        assert publication(viewer.next()) == {"key": "salmon", "data": {"nok": 100}, "version": 1}
        with pytest.raises(UsageError, match="use publish_sync, which is safe from any thread"):
            asyncio.run(prices.publish("salmon", 101, version=2, market="oslo"))

        async def on_the_loop() -> None:
            with pytest.raises(UsageError, match="publish_sync would block the event loop"):
                prices.publish_sync("salmon", 101, version=2, market="oslo")

        assert client.portal is not None
        client.portal.call(on_the_loop)


def test_a_function_may_decide_who_subscribes() -> None:
    hub = Hub(allow_anonymous=True)
    prices = declare(hub)
    prices.on_poll(lambda: None)

    @prices.on_subscribe
    async def only_oslo(market: str) -> None:
        if market != "oslo":
            raise Forbidden

    with TestClient(app_of(hub)) as client, Viewer(client, prices) as viewer:
        assert "subscribe" in viewer.ask({"id": 2, "subscribe": {"channel": "prices:oslo", "type": 4}})
        assert viewer.ask({"id": 3, "subscribe": {"channel": "prices:bergen", "type": 4}})["error"]["code"] == 103


def test_type_4_is_not_available_where_nothing_is_polled() -> None:
    hub = Hub(allow_anonymous=True)
    hub.channel("news", may_subscribe="everyone")
    with TestClient(app_of(hub)) as client, Viewer(client, declare()) as viewer:
        assert viewer.ask({"id": 2, "subscribe": {"channel": "news", "type": 4}})["error"]["code"] == 108
        assert viewer.ask({"id": 3, "subscribe": {"channel": "news", "type": 1}})["error"]["code"] == 103


def test_a_signature_is_for_a_user_keys_and_a_time() -> None:
    prices = declare(pattern="prices:{user}:{market}")
    now = time.time()
    signer = prices._kind.signer
    for expire_in, until in ((60.0, now + 60), (3600.0, now + 3600)):
        signature = prices.sign("anna", ["a", "b"], expire_in=expire_in, user="u", market="oslo")
        assert until <= signer.verify(signature, "anna", "prices:u:oslo", ["a", "b"], now) <= until + 2
    signature = prices.sign("anna", ["a"], expire_in=None, user="u", market="oslo")
    assert signer.verify(signature, "anna", "prices:u:oslo", ["a"], now) == 0
    with pytest.raises(UsageError, match="takes user, market"):
        prices.sign("anna", ["a"])


def test_a_channel_says_its_pattern_and_rules() -> None:
    prices = declare(delta=True)
    assert prices.pattern == "prices:{market}"
    assert (prices.rules.delta, prices.rules.may_subscribe) == (True, "everyone")
    assert prices.name(market="oslo") == "prices:oslo"


# Wrong use


def test_a_hub_with_nothing_to_ask_does_not_start() -> None:
    hub = Hub()
    declare(hub)
    with pytest.raises(UsageError, match="nothing answers the polls"), TestClient(app_of(hub)):
        """It does not get here."""


def test_only_one_is_asked() -> None:
    with_backend = declare(backend="http://localhost:8001/refresh")
    with pytest.raises(UsageError, match="has a function or a backend to ask already"):
        with_backend.on_poll(lambda keys: None)
    with_function = declare()
    with_function.on_poll(lambda keys: None)
    with pytest.raises(UsageError, match="has a function or a backend to ask already"):
        with_function.on_poll(lambda keys: None)


async def _with_session(keys: list[str], session: SessionInfo) -> None: ...


async def _with_dependency(keys: list[str], value: Annotated[int, Depends(lambda: 1)]) -> None: ...


async def _with_request(request: Request) -> None: ...


@pytest.mark.parametrize("function", [_with_session, _with_dependency, _with_request])
def test_a_poll_is_nobodys_so_its_function_takes_nothing_of_a_session(function: Any) -> None:
    with pytest.raises(UsageError, match="called for all sessions at once"):
        declare().on_poll(function)


def test_a_parameter_that_nothing_gives_is_refused() -> None:
    with pytest.raises(UsageError, match="by name it is given 'market', 'keys', 'items', 'channel'"):
        declare().on_poll(lambda keys, limit: None)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"every": "soon"}, "every is 'soon'"),
        ({"secret": ""}, "secret of a shared poll channel is empty"),
        ({"may_subscribe": "anybody"}, "may_subscribe"),
        ({"history": 10}, "no rule 'history'"),
        ({"backend": "localhost"}, "write a URL"),
    ],
)
def test_wrong_rules_are_refused_where_they_are_declared(rules: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        declare(**rules)


def test_a_pattern_is_declared_once() -> None:
    hub = Hub()
    declare(hub)
    with pytest.raises(UsageError, match="declared already"):
        declare(hub)


def test_publishing_must_be_enabled_and_the_hub_run() -> None:
    async def publish(prices: PollChannel, **value: Any) -> None:
        await prices.publish("k", 1, market="oslo", **value)

    with pytest.raises(UsageError, match="declare it with publish_enabled=True"):
        asyncio.run(publish(declare(), version=1))
    with pytest.raises(UsageError, match="the hub is not running"):
        asyncio.run(publish(declare(versioned=True, publish_enabled=True), version=1))


def test_bytes_of_a_value_that_are_not_json_are_refused() -> None:
    hub = Hub()
    prices = declare(hub, versioned=True, publish_enabled=True)
    prices.on_poll(lambda keys: {})
    with TestClient(app_of(hub)), pytest.raises(UsageError, match="bytes that are not JSON"):
        prices.publish_sync("k", b"\xff", version=1, market="oslo")


def test_a_key_that_no_message_could_hold_is_refused() -> None:
    hub = Hub()
    prices = declare(hub, versioned=True, publish_enabled=True)
    prices.on_poll(lambda keys: {})
    with TestClient(app_of(hub)), pytest.raises(UsageError, match="half a surrogate pair"):
        prices.publish_sync("\ud800", 1, version=1, market="oslo")
