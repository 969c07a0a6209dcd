"""uvicorn on the fast path, with the settings of the hub."""

import copy
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.config import LOG_LEVELS, LOGGING_CONFIG

from hubbub.cli.preflight import (
    ensure_certificate,
    ensure_descriptors,
    ensure_listening_socket,
    ensure_log_config,
    ensure_port_free,
    ensure_unix_socket,
)
from hubbub.errors import UsageError
from hubbub.settings import Settings
from hubbub.spelling import question


@dataclass(frozen=True)
class Listening:
    """Where a server listens: on a port, a Unix socket or an open file descriptor."""

    host: str
    port: int
    uds: Path | None = None
    fd: int | None = None

    def ensure_possible(self) -> None:
        """Raises UsageError where it cannot listen there."""
        if self.uds is not None and self.fd is not None:
            raise UsageError("--uds and --fd both say where to listen: leave out one of them")
        if self.uds is not None:
            ensure_unix_socket(self.uds)
        elif self.fd is not None:
            ensure_listening_socket(self.fd)
        else:
            ensure_port_free(self.host, self.port)


@dataclass(frozen=True)
class Tls:
    """Certificate and key; without a certificate, there is no TLS."""

    certfile: Path | None = None
    keyfile: Path | None = None
    password: str | None = None
    ca_certs: Path | None = None

    def options(self) -> dict[str, Any]:
        """What uvicorn calls them; raises UsageError where the certificate is missing or does not load."""
        if self.certfile is None:
            if self.keyfile or self.password or self.ca_certs:
                raise UsageError("TLS needs a certificate: give --ssl-certfile too")
            return {}
        ensure_certificate(self.certfile, self.keyfile, self.password)
        asked = {} if self.ca_certs is None else {"ssl_ca_certs": self.ca_certs, "ssl_cert_reqs": ssl.CERT_REQUIRED}
        named = {"ssl_certfile": self.certfile, "ssl_keyfile": self.keyfile, "ssl_keyfile_password": self.password}
        return {**named, **asked}


@dataclass(frozen=True)
class ServerOptions:
    """What the commands that start a server have in common; ``more`` goes to uvicorn as it is."""

    listening: Listening
    log_level: str
    log_config: Path | None
    access_log: bool
    deflate: bool
    tls: Tls
    more: dict[str, Any] = field(default_factory=dict)


def start_logging(options: ServerOptions) -> None:
    """Configures logging as the server will, so that all that is logged before its start looks the same.

    Raises:
        UsageError: there is no such level, or the file of the configuration cannot be read.
    """
    if options.log_level not in LOG_LEVELS:
        asked = " ".join(filter(None, (question(options.log_level, LOG_LEVELS), "there are")))
        raise UsageError(f"there is no log level {options.log_level!r}; {asked} {', '.join(LOG_LEVELS)}")
    if options.log_config is not None:
        ensure_log_config(options.log_config)
    uvicorn.Config("", log_level=options.log_level, log_config=_log_config(options))


def run_server(target: str, options: ServerOptions) -> None:
    """Runs uvicorn until it is stopped.

    Raises:
        UsageError: something that can be known before the start would fail; the message says what to do.
    """
    settings = Settings.load()
    tls = options.tls.options()
    listening = options.listening
    listening.ensure_possible()
    ensure_descriptors(settings)
    uvicorn.run(
        target,
        host=listening.host,
        port=listening.port,
        uds=None if listening.uds is None else str(listening.uds),
        fd=listening.fd,
        log_level=options.log_level,
        access_log=options.access_log,
        ws="hubbub.wire:Protocol",
        http="hubbub.wire:HttpProtocol",
        ws_ping_interval=settings.ping_interval,
        ws_ping_timeout=settings.ping_timeout,
        ws_per_message_deflate=options.deflate,
        timeout_graceful_shutdown=settings.stop_timeout,
        log_config=_log_config(options),
        **tls,
        **options.more,
    )


def _log_config(options: ServerOptions) -> dict[str, Any] | str:
    """The file that was given, or uvicorn's own with the hub's lines in the same form."""
    if options.log_config is not None:
        return str(options.log_config)
    level = options.log_level
    config = copy.deepcopy(LOGGING_CONFIG)
    ours = "DEBUG" if level == "trace" else level.upper()
    config["loggers"]["hubbub"] = {"handlers": ["default"], "level": ours, "propagate": False}
    return config
