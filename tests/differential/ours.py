"""Our server, with the rules that a configuration of the reference describes.

``REFERENCE_CONFIGURATION=main.json uvicorn --factory tests.differential.ours:app``
"""

import json
import os
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from hubbub import JWT, Hub
from hubbub.hub.maps.rules import SHARED, MapRules

_UNITS = {"ms": 0.001, "s": 1.0}
_MAPS = {"map": "entries", "map_clients": "clients", "map_users": "users"}


def app() -> FastAPI:
    """The app for the configuration in the environment."""
    return build(json.loads(Path(os.environ["REFERENCE_CONFIGURATION"]).read_text()))


def build(configuration: dict[str, Any]) -> FastAPI:
    client, channel = configuration["client"], configuration["channel"]
    key = client["token"]["hmac_secret_key"]
    hub = Hub(
        auth=JWT(secret=key, allow_anonymous=not client.get("disallow_anonymous_connection_tokens", False)),
        allow_anonymous=client.get("allow_anonymous_connect_without_token", False),
        allowed_origins=client.get("allowed_origins", ()),
        api_key=configuration["http_api"].get("key", ""),
        message_rate=0,
        byte_rate=0,
        **_limits(client),
    )
    if client.get("subscribe_to_user_personal_channel", {}).get("enabled"):
        hub.channel("#{user}", personal=True, **_rules(channel["without_namespace"]))
    for namespace in channel["namespaces"]:
        _declare(hub, f"{namespace['name']}:{{rest:path}}", namespace, configuration)
    hub.channel("{name}", **_rules(channel["without_namespace"]))
    application = FastAPI(lifespan=hub.lifespan)
    application.include_router(hub.router)
    application.include_router(hub.api)
    return application


def _limits(client: dict[str, Any]) -> dict[str, Any]:
    names = {
        "ping_interval": "session_ping_interval",
        "pong_timeout": "session_pong_timeout",
        "stale_close_delay": "stale_timeout",
        "expired_close_delay": "expired_grace",
        "expired_sub_close_delay": "expired_subscription_grace",
        "channel_limit": "max_channels_per_session",
        "user_connection_limit": "max_connections_per_user",
        "history_max_publication_limit": "max_history_publications",
        "recovery_max_publication_limit": "max_recovered_publications",
    }
    return {ours: _seconds(client[theirs]) for theirs, ours in names.items() if theirs in client}


def _seconds(value: Any) -> Any:
    for unit, factor in _UNITS.items():
        if isinstance(value, str) and value.endswith(unit):
            return float(value.removesuffix(unit)) * factor
    return value


def _who(options: dict[str, Any], what: str) -> str:
    if options.get(f"allow_{what}_for_client"):
        return "everyone" if options.get(f"allow_{what}_for_anonymous") else "users"
    return "subscribers" if options.get(f"allow_{what}_for_subscriber") else "nobody"


def _rules(options: dict[str, Any]) -> dict[str, Any]:
    def offer(feature: str, forced: str, allowed: str) -> Any:
        return "force" if options.get(forced) else bool(options.get(allowed))

    rules: dict[str, Any] = {
        "presence": options.get("presence", False),
        "join_leave": "force" if options.get("force_push_join_leave") else options.get("join_leave", False),
        "delta": "fossil" in options.get("allowed_delta_types", ()),
        "tags_filter": options.get("allow_tags_filter", False),
        "binary": True,  # as the reference: whoever may publish
        "user_limited": options.get("allow_user_limited_channels", False),
        "may_subscribe": _who(options, "subscribe"),
        "may_publish": _who(options, "publish"),
        "may_see_presence": _who(options, "presence"),
        "may_read_history": _who(options, "history"),
        "clients_map": options.get("map_clients_presence_channel_prefix", ""),
        "users_map": options.get("map_users_presence_channel_prefix", ""),
        "recovery": False,
    }
    if options.get("history_size"):
        rules |= {
            "history": options["history_size"],
            "ttl": _seconds(options["history_ttl"]),
            "recovery": offer("recovery", "force_recovery", "allow_recovery"),
            "positioning": offer("positioning", "force_positioning", "allow_positioning"),
            "recovery_mode": options.get("force_recovery_mode", "stream"),
            "auto_cache": options.get("auto_cache_recover", False),
        }
    return rules


def _declare(hub: Hub, pattern: str, options: dict[str, Any], configuration: dict[str, Any]) -> None:
    kind = options.get("subscription_type", "stream")
    if kind == "stream":
        hub.channel(pattern, **_rules(options))
    elif kind in _MAPS:
        hub.map_channel(pattern, of=_MAPS[kind], **_map_rules(options))
    else:
        hub.poll_channel(pattern, **_poll_rules(options, configuration))


def _map_rules(options: dict[str, Any]) -> dict[str, Any]:
    shared = {name: rule for name, rule in _rules(options).items() if name in SHARED}
    own = {name: _seconds(value) for name, value in options["map"].items() if name in MapRules._fields}
    return {
        **shared,
        **own,
        "max_key_length": 65_536,  # as the reference: a message's
        "max_entries": 0,
        "remove_on_leave": options["map"].get("remove_client_on_unsubscribe", False),
        "may_publish": _who(options["map"], "publish"),
        "may_remove": _who(options["map"], "remove"),
    }


def _poll_rules(options: dict[str, Any], configuration: dict[str, Any]) -> dict[str, Any]:
    poll = options["shared_poll"]
    backends = {proxy["name"]: proxy for proxy in configuration["proxies"]}
    backend = backends[poll["proxy_name"]]
    rules = {
        "every": poll["refresh_interval"],
        "batch": poll["refresh_batch_size"],
        "secret": configuration["shared_poll"]["hmac_secret_key"],
        "backend": backend["endpoint"],
        "timeout": backend["timeout"],
        "versioned": poll.get("mode") == "versioned",
        "publish_enabled": poll.get("publish_enabled", False),
        "may_subscribe": _who(options, "subscribe"),
    }
    return rules | ({"max_keys": poll["max_keys_per_connection"]} if "max_keys_per_connection" in poll else {})
