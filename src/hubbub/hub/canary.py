"""Whether FastAPI resolves dependencies as ``hubbub.hub.dependencies`` needs it: its resolver is not public API."""

import functools
from contextlib import AsyncExitStack
from inspect import Parameter
from typing import Annotated, Any

import fastapi
from fastapi import Depends, Header, Request
from pydantic import BaseModel

from hubbub.canaries import ensure, fault_of
from hubbub.errors import InvalidRequest, UsageError
from hubbub.hub.dependencies import ConnectionScope, Dependencies, SessionInfo

_SESSION = SessionInfo("canary", "", None, None, "websocket", "json", 0.0)


class _Body(BaseModel):
    text: str


async def resolver() -> None:
    """Resolves one dependency of each kind for one message, and closes them.

    Raises:
        Exception: something is not as the handlers of a hub need it.
    """
    from fastapi.dependencies.utils import get_dependant, solve_dependencies  # noqa: F401 - that they are there

    log: list[str] = []

    async def of_message(number: Annotated[int, Header()], room: str) -> Any:
        log.append("message open")
        yield f"{room} {number}"
        log.append("message closed")

    def of_connection(request: Request) -> Any:
        log.append("connection open")
        yield request.headers["number"]
        log.append("connection closed")

    async def with_body(body: _Body) -> None: ...

    takes = {
        "a": Annotated[str, Depends(of_message)],
        "b": Annotated[str, Depends(of_connection, scope="request")],
        "c": Annotated[str, Depends(of_message)],
        "d": Request,
    }
    parameters = [Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind) for name, kind in takes.items()]
    dependencies = Dependencies("the canary", parameters, ["room"])
    connection = ConnectionScope(_scope(b"7"))
    async with AsyncExitStack() as stack:
        values = await dependencies.resolve(connection, _SESSION, {"room": "lobby"}, stack)
        ensure([values[name] for name in "abc"] == ["lobby 7", "7", "lobby 7"], "dependencies have their values")
        ensure(isinstance(values["d"], Request), "a handler can look at the handshake")
        ensure(sorted(log) == ["connection open", "message open"], "a dependency is opened once")
    ensure(log[2:] == ["message closed"], "a dependency is closed after its message")
    await connection.aclose()
    ensure(log[3:] == ["connection closed"], "a dependency of the connection is closed with it")
    other = ConnectionScope(_scope(b"no number"))
    try:
        async with AsyncExitStack() as stack:
            await dependencies.resolve(other, _SESSION, {"room": "lobby"}, stack)
    except InvalidRequest:
        await other.aclose()
    else:
        raise LookupError("a header that does not fit is refused")
    try:
        wants_body = Parameter("a", Parameter.KEYWORD_ONLY, annotation=Annotated[None, Depends(with_body)])
        Dependencies("the canary", [wants_body], [])
    except UsageError:
        return
    raise LookupError("a body is refused")


def _scope(number: bytes) -> dict[str, Any]:
    return {"type": "websocket", "path": "/", "headers": [(b"number", number)], "query_string": b"", "path_params": {}}


@functools.cache
def _fault() -> str:
    return fault_of(resolver)


def ensure_resolver(handler: str) -> None:
    """Refuses a handler with dependencies where this FastAPI would not resolve them as promised.

    Raises:
        UsageError: the canary does not pass.
    """
    if fault := _fault():
        raise UsageError(
            f"{handler}: dependencies of handlers do not work with FastAPI {fastapi.__version__} ({fault}); all else "
            "does. Take what the handler needs from its SessionInfo, or install an older FastAPI, or a newer hubbub"
        )
