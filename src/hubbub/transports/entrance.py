"""Where sessions come in: who may at all, and what the handshake says of how they speak."""

import logging
from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.types import Scope

from hubbub.errors import Refused, Restarting
from hubbub.hub.admission import ensure_few_headers, ensure_not_cross_site, ensure_origin_allowed
from hubbub.hub.dependencies import ConnectionScope
from hubbub.hub.engine import Engine
from hubbub.hub.link import Link
from hubbub.hub.session import Session
from hubbub.hub.transport import Policy, Transport

_log = logging.getLogger("hubbub")

Running = Callable[[], Engine]
"""Gives the engine of the hub; raises UsageError while it does not run."""


def address_of(scope: Scope) -> str:
    """The peer's address; empty where the server does not know it."""
    client = scope.get("client")
    return client[0] if client else ""


def admit(engine: Engine, scope: Scope) -> str:
    """Counts a connection in, and gives its address; ``engine.admission.leave`` counts it out.

    Raises:
        Refused: its page's origin is not allowed, or there are too many connections or header fields.
        Restarting: the hub stops.
    """
    address = address_of(scope)
    # One look at all fields: each connection comes by here, and Starlette's Headers look once for each name.
    said: dict[bytes, list[str]] = {b"origin": [], b"sec-fetch-site": [], b"host": []}
    for name, value in scope["headers"]:
        if name in said:
            said[name].append(value.decode("latin-1"))
    origins = said[b"origin"]
    site, host = (next(iter(said[name]), None) for name in (b"sec-fetch-site", b"host"))
    try:
        ensure_few_headers(len(scope["headers"]), engine.settings.max_request_headers)
        ensure_not_cross_site(origins, site)
        ensure_origin_allowed(origins, host, engine.settings.allowed_origins)
        if engine.stopping:
            raise Restarting("the server stops")
        engine.admission.enter(address)
        if not address and engine.settings.max_connections_per_address:
            engine.registry.advice.give(
                "address",
                "the server does not know the addresses of clients, so max_connections_per_address limits nobody. "
                "Behind a proxy on a Unix socket, start uvicorn with --forwarded-allow-ips='*'.",
            )
    except (Refused, Restarting) as refused:
        _log.warning("refused %s to %s: %s", scope["path"], address, refused)
        raise
    return address


def open_session(
    engine: Engine, link: Link, transport: Transport, policy: Policy, address: str, scope: Scope
) -> Session:
    """A session on a transport that has been accepted; if the hub has begun to stop meanwhile, it is told so."""
    connection = ConnectionScope(dict(scope)) if engine.registry.needs_connection else None
    session = Session(engine, link, transport, address, connection)
    engine.sessions.open(session)
    transport.attach(session, policy)
    if engine.stopping:
        session.on_fault(Restarting("the server restarts: come back in a moment"))
    return session


def query_of(scope: Scope) -> dict[str, str]:
    """The query parameters, each once."""
    if not scope["query_string"]:
        return {}
    found = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return {name: values[0] for name, values in found.items()}
