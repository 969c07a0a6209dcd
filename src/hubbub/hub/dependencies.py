"""What handlers take from their connection: FastAPI's dependencies, resolved by FastAPI, for each message.

Theory of operation. FastAPI's ``get_dependant`` reads signatures into a tree, its ``solve_dependencies``
resolves a tree. Both are its inner workings, so they are used in this module only, and ``hubbub.hub.canary`` tries
them before the first handler with dependencies is declared. In between, the tree is fitted to messages:

    scope="request"                  becomes a look into the ConnectionScope, which opens it once
    Request, WebSocket               become views of the handshake, whatever the transport is
    overridden by the app            becomes what overrides it
    a body, a Response, background   are refused: a message has none of them

All else lives for one message. FastAPI keeps what is to be closed in two exit stacks that it finds in the ASGI
scope, of which each message has a copy: there, both are the message's own.
"""

import asyncio
import inspect
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from typing import Annotated, Any, NamedTuple, NoReturn, TypeVar, cast, get_args

from fastapi import Depends, params
from fastapi.exceptions import FastAPIError
from fastapi.security import SecurityScopes
from starlette.requests import HTTPConnection, Request
from starlette.types import Scope
from starlette.websockets import WebSocket

from hubbub.errors import ConnectionClosed, UsageError
from hubbub.hub.cancellation import StrayCancellation, is_stray
from hubbub.hub.refusals import invalid
from hubbub.protocol.publication import Payload
from hubbub.spelling import meant_by

try:
    from fastapi.dependencies.models import Dependant
    from fastapi.dependencies.utils import get_dependant, solve_dependencies
except ImportError:  # the canary says so to a handler that has dependencies
    Dependant = Any  # type: ignore[assignment, misc]

_SESSION = "hubbub.session"
_CONNECTION = "hubbub.connection"

SWALLOWED = "a dependency with yield took an exception and did not raise it again; end its except block with raise"

Overrides = Mapping[Callable[..., Any], Callable[..., Any]]
Value = TypeVar("Value")


class SessionInfo(NamedTuple):
    """The session that a handler is called for.

    ``transport`` is ``"websocket"``, ``"http_stream"`` or ``"sse"``, or one of those with ``uni_`` before it, which
    only listens. ``protocol`` is ``"json"`` or ``"protobuf"``.
    """

    id: str
    user: str
    info: Payload | None
    meta: Mapping[str, Any] | None
    transport: str
    protocol: str
    connected_at: float
    """Seconds since the epoch."""


async def current_session(connection: HTTPConnection) -> SessionInfo:
    """Who asks, for dependencies: ``Depends(current_session)``."""
    try:
        return cast(SessionInfo, connection.scope[_SESSION])
    except KeyError:
        raise UsageError("current_session is for the handlers of a hub; an endpoint has no session") from None


CurrentSession = Annotated[SessionInfo, Depends(current_session)]
"""Who asks, as the annotation of a parameter of a handler or a dependency."""


def parts_of(annotation: Any) -> tuple[Any, Sequence[Any]]:
    """The type of an annotation, and what ``Annotated`` says besides."""
    annotation = getattr(annotation, "__value__", annotation)  # of a ``type`` statement
    of, *marks = get_args(annotation) if hasattr(annotation, "__metadata__") else (annotation,)
    return of, marks


def is_of_connection(parameter: inspect.Parameter) -> bool:
    """Whether FastAPI takes the parameter from the connection: a dependency, a header, the connection itself."""
    of, marks = parts_of(parameter.annotation)
    if any(isinstance(mark, params.Depends | params.Param) for mark in (*marks, parameter.default)):
        return True
    return isinstance(of, type) and issubclass(of, HTTPConnection)


class ConnectionScope:
    """What lasts as long as one connection: its ASGI scope, and the dependencies with ``scope="request"``."""

    __slots__ = ("_closed", "_held", "_openings", "asgi")

    def __init__(self, asgi: Scope) -> None:
        asgi.setdefault("state", {})  # one for all messages, as each sees a copy of the scope
        self.asgi = asgi
        self._openings: dict[Hashable, _Opening] = {}
        self._held: list[_Opening] = []
        self._closed = False

    async def open(self, key: Hashable, dependant: Dependant, session: SessionInfo) -> Any:
        """The value of a dependency: opened once, however many ask for it. What failed is tried anew.

        Raises:
            ConnectionClosed: nothing is opened any more.
        """
        if self._closed:
            raise ConnectionClosed
        opening = self._openings.get(key)
        if opening is None or opening.failed:
            asgi = {**self.asgi, _SESSION: session, _CONNECTION: self}
            opening = self._openings[key] = _Opening(dependant, asgi, self._held)
        # Who asks may be cancelled; others wait for the same.
        return await asyncio.shield(opening.value)

    async def aclose(self) -> None:
        """Closes what is open, the newest first, and opens no more. Call it when no handler runs.

        What is being opened is waited for: an interrupted one might never be closed. Each is closed even if
        another fails; the last failure is raised.
        """
        self._closed = True
        if self._openings:
            await asyncio.wait([opening.value for opening in self._openings.values()])
        async with AsyncExitStack() as stack:
            for opening in self._held:
                stack.push_async_callback(opening.close)


class _Opening:
    """One dependency of a connection, opened and closed by one task.

    Cancel scopes, time-outs and context variables must be left where they were entered, and FastAPI enters a
    cancel scope for each async generator. The task ends with the opening if there is nothing to close.
    """

    __slots__ = ("_over", "_task", "value")

    def __init__(self, dependant: Dependant, asgi: Scope, held: "list[_Opening]") -> None:
        loop = asyncio.get_running_loop()
        self.value: asyncio.Future[Any] = loop.create_future()
        self._over: asyncio.Future[None] | None = None
        self._task = loop.create_task(self._live(dependant, asgi, held))

    @property
    def failed(self) -> bool:
        return self.value.done() and self.value.exception() is not None

    async def _live(self, dependant: Dependant, asgi: Scope, held: "list[_Opening]") -> None:
        try:
            async with _Stack() as stack:
                (value,) = (await _solve(dependant, asgi, stack)).values()
                self.value.set_result(value)
                if stack.holds:
                    self._over = asyncio.get_running_loop().create_future()
                    held.append(self)  # after what it depends on
                    await self._over
            if not self.value.done():
                raise UsageError(SWALLOWED)
        except (Exception, asyncio.CancelledError) as error:
            if self.value.done():
                raise
            self.value.set_exception(_as_told(error))
            self.value.exception()  # seen: who asked may be gone

    async def close(self) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(None)
        await asyncio.wait((self._task,))
        if not self._task.cancelled():  # as by an event loop that ends, which closes as well
            self._task.result()


def _as_told(error: BaseException) -> BaseException:
    """What those who wait for a dependency are told, when opening it has raised ``error``."""
    if is_stray(error):
        stray = StrayCancellation()
        stray.__cause__ = error
        return stray
    return ConnectionClosed() if isinstance(error, asyncio.CancelledError) else error


class _Stack(AsyncExitStack):
    """Knows whether there is anything to close."""

    holds = False

    async def enter_async_context(self, cm: AbstractAsyncContextManager[Value, bool | None]) -> Value:
        self.holds = True
        return await super().enter_async_context(cm)


class _Kept:
    """Stands in the tree for a dependency of the connection."""

    def __init__(self, dependant: Dependant) -> None:
        self._call = dependant.call
        self._reads_scopes = _reads_scopes(dependant)
        self._root = Dependant(dependencies=[dependant])

    async def __call__(self, connection: HTTPConnection, security: SecurityScopes) -> Any:
        scope = connection.scope
        key = (self._call, frozenset(security.scopes if self._reads_scopes else ()))
        return await scope[_CONNECTION].open(key, self._root, scope[_SESSION])


def _reads_scopes(dependant: Dependant) -> bool:
    return dependant.security_scopes_param_name is not None or any(map(_reads_scopes, dependant.dependencies))


class Dependencies:
    """The parameters of one handler that come from the connection.

    Args:
        handler: its name, for what is raised.
        parameters: those that ``is_of_connection``.
        path: the names of the channel pattern's parameters; dependencies take them as path parameters.

    Raises:
        UsageError: one of them asks for what a message does not have.
    """

    def __init__(self, handler: str, parameters: Sequence[inspect.Parameter], path: Collection[str]) -> None:
        def root() -> None:
            """Has the parameters, and is never called."""

        keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        root.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
        self._handler = handler
        self._path = path
        self._declared = self._read("".join(f"/{{{name}}}" for name in path), root)
        self._fitted = self._fit(self._declared, {})

    async def resolve(
        self, connection: ConnectionScope, session: SessionInfo, path: Mapping[str, str], stack: AsyncExitStack
    ) -> dict[str, Any]:
        """The arguments, by name; what has to be closed is in ``stack``.

        Raises:
            InvalidRequest: a header, cookie, query or path parameter is missing or does not fit.
            Exception: whatever a dependency raises.
        """
        asgi = connection.asgi
        overrides = getattr(asgi.get("app"), "dependency_overrides", None)
        dependant = self._fit(self._declared, overrides) if overrides else self._fitted
        path_params = {**asgi.get("path_params", {}), **path}
        asgi = {**asgi, "path_params": path_params, _SESSION: session, _CONNECTION: connection}
        return await _solve(dependant, asgi, stack)

    def _read(self, path: str, call: Callable[..., Any], **declared: Any) -> Dependant:
        try:
            return get_dependant(path=path, call=call, **declared)
        except (AssertionError, FastAPIError) as error:
            raise UsageError(f"{self._handler}: {error}") from None

    def _fit(self, dependant: Dependant, overrides: Overrides, *, kept: bool = False) -> Dependant:
        self._ensure_fits(dependant, kept)
        dependencies = [self._fit_below(below, overrides, kept) for below in dependant.dependencies]
        views = {dependant.request_param_name: _as_request, dependant.websocket_param_name: _as_websocket}
        dependencies += [self._read("", view, name=name) for name, view in views.items() if name is not None]
        return replace(dependant, dependencies=dependencies, request_param_name=None, websocket_param_name=None)

    def _fit_below(self, dependant: Dependant, overrides: Overrides, kept: bool) -> Dependant:
        assert dependant.call is not None
        if dependant.call in overrides:
            dependant = self._read(
                dependant.path or "",
                overrides[dependant.call],
                name=dependant.name,
                own_oauth_scopes=dependant.own_oauth_scopes,
                parent_oauth_scopes=dependant.parent_oauth_scopes,
                use_cache=dependant.use_cache,
                scope=dependant.scope,
            )
        if dependant.scope == "request":
            return replace(
                self._read("", _Kept(self._fit(dependant, overrides, kept=True)), name=dependant.name),
                own_oauth_scopes=dependant.own_oauth_scopes,
                parent_oauth_scopes=dependant.parent_oauth_scopes,
            )
        if kept and dependant.scope == "function":
            raise UsageError(
                f"{self._handler}: {name_of(dependant.call)} has scope='function', and what depends on it lives as "
                "long as the connection; give both the same scope"
            )
        return self._fit(dependant, overrides, kept=kept)

    def _ensure_fits(self, dependant: Dependant, kept: bool) -> None:
        who = f"{self._handler}: {name_of(dependant.call)}"
        for field in dependant.body_params:
            raise UsageError(
                f"{who} takes {field.name!r} from a body; a handler's message is its own parameter, so call what "
                "needs the message from the handler, or mark the parameter as Header(), Cookie() or Query()"
            )
        for field in dependant.query_params:
            self._ensure_means_the_query(who, dependant, field.alias)
        name = dependant.response_param_name or dependant.background_tasks_param_name
        if name is not None:
            raise UsageError(f"{who} takes {name!r} for a response of HTTP, and a message has none; leave it out")
        for field in dependant.path_params if kept else ():
            if field.alias in self._path:
                raise UsageError(
                    f"{who} takes {field.alias!r}, which differs from channel to channel, and lives as long as the "
                    "connection; leave out scope='request'"
                )

    def _ensure_means_the_query(self, who: str, dependant: Dependant, name: str) -> None:
        """Refuses a parameter that would be filled from the client's query, and looks like a misspelt one of the path.

        Raises:
            UsageError: that.
        """
        taken = {field.alias for field in dependant.path_params}
        meant = meant_by(name, [one for one in self._path if one not in taken])
        if not meant:
            return
        assert dependant.call is not None
        parameter = inspect.signature(dependant.call, eval_str=True).parameters.get(name)
        if parameter is not None and not is_of_connection(parameter):  # else it says what it means
            raise UsageError(
                f"{who} takes {name!r} from the query of the client's handshake; did you mean {meant!r}? If not, write "
                f"{name}: Annotated[…, Query()]"
            )


def name_of(function: Any) -> str:
    """What to call a function in an error."""
    return getattr(function, "__qualname__", None) or repr(function)


async def _solve(dependant: Dependant, asgi: Scope, stack: AsyncExitStack) -> dict[str, Any]:
    asgi["fastapi_inner_astack"] = asgi["fastapi_function_astack"] = stack
    solved = await solve_dependencies(
        request=cast(WebSocket, HTTPConnection(asgi)),
        dependant=dependant,
        async_exit_stack=stack,
        embed_body_fields=False,
    )
    if solved.errors:
        raise invalid(solved.errors)
    return solved.values


async def _as_request(connection: HTTPConnection) -> Request:
    return Request({"method": "GET", **connection.scope, "type": "http"}, _refuse, _refuse)


async def _as_websocket(connection: HTTPConnection) -> WebSocket:
    return WebSocket({**connection.scope, "type": "websocket"}, _refuse, _refuse)


async def _refuse(*_: Any) -> NoReturn:
    raise UsageError("the connection is the hub's: a handler is given its message, and answers by what it returns")
