"""uvicorn on the fast path, with the settings of the hub."""

import copy
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from uvicorn.config import LOG_LEVELS, LOGGING_CONFIG

from hubbub.cli.preflight import ensure_descriptors, ensure_port_free
from hubbub.errors import UsageError
from hubbub.settings import Settings


@dataclass(frozen=True)
class ServerOptions:
    """What the commands that start a server have in common; ``more`` goes to uvicorn as it is."""

    host: str
    port: int
    log_level: str
    access_log: bool
    deflate: bool
    more: dict[str, Any] = field(default_factory=dict)


def run_server(target: str, options: ServerOptions) -> None:
    """Runs uvicorn until it is stopped.

    Raises:
        UsageError: something that can be known before the start would fail; the message says what to do.
    """
    settings = Settings.load()
    if options.log_level not in LOG_LEVELS:
        raise UsageError(f"there is no log level {options.log_level!r}; there are {', '.join(LOG_LEVELS)}")
    ensure_port_free(options.host, options.port)
    ensure_descriptors(settings)
    uvicorn.run(
        target,
        host=options.host,
        port=options.port,
        log_level=options.log_level,
        access_log=options.access_log,
        ws="hubbub.wire:Protocol",
        http="hubbub.wire:HttpProtocol",
        ws_ping_interval=settings.ping_interval,
        ws_ping_timeout=settings.ping_timeout,
        ws_per_message_deflate=options.deflate,
        timeout_graceful_shutdown=settings.stop_timeout,
        log_config=_log_config(options.log_level),
        **options.more,
    )


def _log_config(level: str) -> dict[str, Any]:
    """uvicorn's, with the hub's lines in the same form."""
    config = copy.deepcopy(LOGGING_CONFIG)
    ours = "DEBUG" if level == "trace" else level.upper()
    config["loggers"]["hubbub"] = {"handlers": ["default"], "level": ours, "propagate": False}
    return config
