"""What is taken from the server past ASGI, where it is there; the transport itself is in the suite of connections."""

from typing import Any

from starlette.types import Message, Receive, Scope, Send
from tests.clock import Clock
from tests.transports.callers import Caller, scope_of

from hubbub.transports.asgi import ServerDoor, server_transport


class Cycle:
    """What uvicorn makes for each request, as far as it is used."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport

    async def send(self, message: Message) -> None:
        raise AssertionError("nothing is sent")


class Connection:
    def abort(self) -> None:
        raise AssertionError("nobody ends it")


def test_the_connection_behind_a_request_is_found_on_uvicorn(clock: Clock) -> None:
    connection = Connection()
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(server_transport(scope))

    async def scenario() -> None:
        scope = scope_of("http", "/")
        await ServerDoor(app)(scope, Caller().receive, Cycle(connection).send)

    clock.run(scenario())
    assert seen == [connection]


def test_where_the_server_shows_no_connection_none_is_found(clock: Clock) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert server_transport(scope) is None

    async def scenario() -> None:
        for transport in (None, object()):
            await ServerDoor(app)(scope_of("http", "/"), Caller().receive, Cycle(transport).send)
        await ServerDoor(app)(scope_of("http", "/"), Caller().receive, Caller().send)
        await app(scope_of("http", "/"), Caller().receive, Caller().send)

    clock.run(scenario())
