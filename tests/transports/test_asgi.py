"""What is taken from the server past ASGI, where it is there; the transport itself is in the suite of connections."""

from typing import Any

from starlette.types import Message, Receive, Scope, Send
from tests.clock import Clock
from tests.transports.callers import Caller, scope_of

from hubbub.transports.asgi import ServerDoor, dropping


class Cycle:
    """What uvicorn makes for each request, as far as it is used."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport

    async def send(self, message: Message) -> None:
        raise AssertionError("nothing is sent")


class Connection:
    aborted = False

    def abort(self) -> None:
        self.aborted = True


def test_the_connection_behind_a_request_can_be_dropped_on_uvicorn(clock: Clock) -> None:
    connection = Connection()
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        dropping(scope)()

    async def scenario() -> None:
        scope = scope_of("http", "/")
        await ServerDoor(app)(scope, Caller().receive, Cycle(connection).send)

    clock.run(scenario())
    assert len(seen) == 1
    assert connection.aborted


def test_where_the_server_shows_no_connection_nothing_is_dropped(clock: Clock) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        dropping(scope)()

    async def scenario() -> None:
        for transport in (None, object()):
            await ServerDoor(app)(scope_of("http", "/"), Caller().receive, Cycle(transport).send)
        await ServerDoor(app)(scope_of("http", "/"), Caller().receive, Caller().send)
        await app(scope_of("http", "/"), Caller().receive, Caller().send)

    clock.run(scenario())
