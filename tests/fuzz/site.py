"""A hub with something of everything, for peers that say anything: declared as an app does, and without a server."""

import asyncio
import logging
from typing import Annotated, Any, Self

from hubbub import Data, Grant, Hub, Identity
from hubbub.auth.base import Auth
from hubbub.brokers.memory import MemoryBroker
from hubbub.errors import CommandError, Forbidden, InvalidToken, SessionEnd, TokenExpired
from hubbub.hub.engine import Engine

DOCUMENTED = {kind.code for kind in SessionEnd.__subclasses__()} - {3004} | {1009}
"""How a session may end by what its peer does. 3004 is a fault of ours."""


class Tokens(Auth):
    """Knows one user, and a token that was good once."""

    async def authenticate(self, token: str) -> Identity:
        if token == "expired":
            raise TokenExpired
        if token != "anna":
            raise InvalidToken
        return Identity("anna", subscriptions={"kept:own": Grant()})

    async def authorize(self, token: str, channel: str, user: str, client: str) -> Grant:
        await asyncio.sleep(0)
        if token != "anna":
            raise Forbidden
        return Grant()


class Complaints(logging.Handler):
    """Whatever the hub, or the event loop, has to complain about."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def __enter__(self) -> Self:
        for name in ("hubbub", "asyncio"):
            logging.getLogger(name).addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("hubbub", "asyncio"):
            logging.getLogger(name).removeHandler(self)


def declare() -> Hub:
    """Channels of every type, methods, and handlers that check what they are given."""
    hub = Hub(MemoryBroker(lambda: asyncio.get_running_loop().time()), auth=Tokens(), allow_anonymous=True)
    everyone: dict[str, Any] = {"may_subscribe": "everyone", "may_publish": "everyone"}
    seen: dict[str, Any] = {"presence": True, "join_leave": True, "may_see_presence": "everyone"}
    hub.channel("room", history=5, delta=True, tags_filter=True, may_read_history="everyone", **seen, **everyone)
    hub.channel("kept:{name}", history=3, recovery="cache", auto_cache=True, user_limited=True, **everyone)
    hub.channel("own#{user}", personal=True, history=2)
    typed = hub.channel("typed:{name}", **everyone)
    door = hub.channel("door:{name}", presence=True)
    hub.map_channel("board:{name}", mode="persistent", delta=True, tags_filter=True, may_remove="everyone", **everyone)
    hub.map_channel(
        "lone:{name}", mode="ephemeral", key_ttl="5s", client_key="client_id", remove_on_leave=True, **everyone
    )
    prices = hub.poll_channel("prices:{market}", every=1, secret="s" * 32, may_subscribe="everyone")

    @typed.on_publish
    async def on_publish(name: str, data: dict[str, int]) -> None:
        await asyncio.sleep(0)

    @door.on_subscribe
    async def on_subscribe(name: str, data: Annotated[str, Data()]) -> None:
        if data != "please":
            raise Forbidden

    @prices.on_poll
    async def on_poll(keys: list[str]) -> dict[str, int]:
        return dict.fromkeys(keys, 1)

    @hub.rpc("echo")
    async def echo(data: Any) -> Any:
        return data

    @hub.rpc("slow")
    async def slow(data: bytes) -> str:
        await asyncio.sleep(0.3)
        return "done"

    @hub.rpc("fails")
    async def fails(data: str) -> None:
        raise CommandError("as you wish", code=450)

    return hub


def engine_of(hub: Hub) -> Engine:
    """What would run between start and stop of the hub; in a running event loop."""
    return Engine(hub._broker, hub.settings, hub._registry)
