"""One app for each suite, with what the suite asks of its server.

``uvicorn --factory tests.conformance.servers:javascript --ws hubbub.wire:Protocol``
"""

from typing import Any

from fastapi import FastAPI

from hubbub import JWT, Hub

_EVERYONE: dict[str, Any] = {
    "may_subscribe": "everyone",
    "may_publish": "everyone",
    "may_see_presence": "everyone",
    "may_read_history": "everyone",
}
_KEYED: dict[str, Any] = {"may_subscribe": "everyone", "may_publish": "everyone", "may_remove": "everyone"}
_MAPS: dict[str, dict[str, Any]] = {
    "streamless": {"key_ttl": "60s"},
    "positioned": {"mode": "persistent"},
    "smallstream": {"mode": "persistent", "stream_size": 2},
    "mapdelta": {"mode": "persistent", "delta": True},
    "shortttl": {"key_ttl": "3s"},
    "clientkey": {"key_ttl": "60s", "client_key": "client_id"},
    "prestest": {"key_ttl": "60s", "clients_map": "prescli:"},
    "prescli": {"key_ttl": "60s", "of": "clients"},
    "debounced": {"key_ttl": "60s", "debounce": "50ms"},
    "tagged": {"mode": "persistent", "tags_filter": True},
}
_POLLED: dict[str, Any] = {"secret": "test-poll-secret", "batch": 100, "max_keys": 100, "may_subscribe": "everyone"}
_SUBSCRIBERS: dict[str, Any] = {
    "may_publish": "subscribers",
    "may_see_presence": "subscribers",
    "may_read_history": "subscribers",
}


def _app(hub: Hub) -> FastAPI:
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router)
    app.include_router(hub.api)
    return app


def javascript() -> FastAPI:
    """What centrifuge-js runs its tests against."""
    hub = Hub(auth=JWT(secret="secret"), api_key="test-api-key", allow_anonymous=True, message_rate=0)
    for name, history in (("delta", 100), ("recovery", 100), ("smallhistory", 2)):
        hub.channel(f"{name}:{{rest:path}}", history=history, ttl=300, delta=name == "delta", **_EVERYONE)
    for name, rules in _MAPS.items():
        hub.map_channel(f"{name}:{{rest:path}}", **{**_KEYED, **rules})
    for name, port in (("poll", 3010), ("pollvl", 3010), ("pollpb", 3011)):
        backend = f"http://localhost:{port}/refresh"
        pattern = f"{name}:{{rest:path}}"
        hub.poll_channel(pattern, every="200ms", backend=backend, versioned=name != "pollvl", **_POLLED)
    hub.channel("{name}", history=100, ttl=300, presence=True, delta=True, **_EVERYONE)
    return _app(hub)


def python() -> FastAPI:
    """What centrifuge-python runs its tests against."""
    hub = Hub(auth=JWT(secret="secret"), message_rate=0)
    full: dict[str, Any] = {"history": 100, "ttl": 300, "presence": True, "join_leave": "force", "delta": True}
    hub.channel("#{user}", personal=True, **full, **_SUBSCRIBERS)
    hub.channel("smallhistory:{rest:path}", history=2, ttl=300, **_SUBSCRIBERS)
    hub.channel("{name}", **full, **_SUBSCRIBERS)
    return _app(hub)


def cent() -> FastAPI:
    """What cent, the client of the HTTP API, runs its tests against."""
    hub = Hub(api_key="api_key")
    hub.channel("{name}", history=100, ttl=300, presence=True)
    return _app(hub)
