"""How the user's plain functions are called for the events of a session."""

import inspect
from collections.abc import Callable, Collection, Container, Mapping
from contextlib import AsyncExitStack
from functools import partial
from types import MappingProxyType
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import from_json
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException, WebSocketException

from hubbub.errors import InvalidRequest, UsageError
from hubbub.hub.dependencies import SWALLOWED, ConnectionScope, Dependencies, SessionInfo, is_of_connection, name_of
from hubbub.hub.refusals import invalid, refusal
from hubbub.protocol.publication import Payload
from hubbub.spelling import meant_by

_NONE: Mapping[str, Any] = MappingProxyType({})
_NULL = ("null", b"null")


class Handler:
    """A function of the user's, and what its parameters are: read once, when it is declared.

    A parameter is the first of these that fits:

    1. what FastAPI takes from a connection: ``Depends``, ``Security``, ``Header``, ``Cookie``, ``Query``, or
       the connection itself, as ``HTTPConnection``, ``Request`` or ``WebSocket``;
    2. a parameter of the channel's pattern, by its name, converted to its annotation;
    3. what the event knows, by its name;
    4. a ``SessionInfo``: who asks;
    5. the message, of which there is at most one, validated by its annotation. ``bytes`` gets it as it came;
       without an annotation it is what its JSON says.

    Args:
        function: async, or sync, which then runs in a thread.
        path: the names of the channel pattern's parameters.
        known: the names of what the event gives besides.
        message: whether the event has a payload for a parameter to take.

    Raises:
        UsageError: a parameter is none of these.
    """

    __slots__ = (
        "_dependencies", "_is_async", "_known", "_message", "_path", "_sessions",
        "doc", "function", "return_type",
    )  # fmt: skip

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        path: Collection[str] = (),
        known: Collection[str] = (),
        message: bool = False,
    ) -> None:
        name = name_of(function)
        signature = _read(function, name)
        self.function = function
        self.doc = inspect.getdoc(function) or ""
        self.return_type = _type(signature.return_annotation)
        self._is_async = _is_async(function)
        self._path: dict[str, TypeAdapter[Any] | None] = {}
        self._known: list[str] = []
        self._sessions: list[str] = []
        of_connection: list[inspect.Parameter] = []
        others: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            if is_of_connection(parameter):
                of_connection.append(parameter)
            elif parameter.name in path:
                self._path[parameter.name] = None if _type(parameter.annotation) is str else _adapter(parameter, name)
            elif parameter.name in known:
                self._known.append(parameter.name)
            elif _bare(parameter.annotation) is SessionInfo:
                self._sessions.append(parameter.name)
            else:
                others.append(parameter)
        if len(others) > message:
            taken = signature.parameters
            raise UsageError(_explain(name, [p.name for p in others], [*path, *known], taken, message=message))
        self._message = _Message(others[0], name) if others else None
        self._dependencies = Dependencies(name, of_connection, path) if of_connection else None

    @property
    def message_type(self) -> Any:
        """The annotation of the message; None if the function takes none."""
        return None if self._message is None else self._message.type

    @property
    def needs_connection(self) -> bool:
        """Whether it can only be called with a ``ConnectionScope``."""
        return self._dependencies is not None

    @property
    def needs_session(self) -> bool:
        """Whether it takes who asks."""
        return bool(self._sessions)

    async def __call__(
        self,
        session: SessionInfo,
        connection: ConnectionScope | None = None,
        *,
        path: Mapping[str, str] = _NONE,
        known: Mapping[str, Any] = _NONE,
        payload: Payload | None = None,
    ) -> Any:
        """Calls the function, and gives what it returns.

        Dependencies are resolved when the message is known to fit. Those of the message are closed before this
        returns; what the function raises goes through them first.

        Raises:
            InvalidRequest: the message, a path parameter, a header, cookie or query parameter does not fit.
            CommandError: the function or a dependency raised it, or an ``HTTPException`` or
                ``WebSocketException`` that is a refusal.
            Exception: whatever else they raise.
        """
        try:
            values = self._values(session, path, known, payload)
            if self._dependencies is None:
                return await self._run(values)
            assert connection is not None, "a handler that needs its connection is called without"
            async with AsyncExitStack() as stack:
                values |= await self._dependencies.resolve(connection, session, path, stack)
                return await self._run(values)
        except (HTTPException, WebSocketException) as error:
            refused = refusal(error)
            if refused is None:
                raise
            raise refused from error
        raise UsageError(f"{name_of(self.function)}: {SWALLOWED}")

    def _values(
        self, session: SessionInfo, path: Mapping[str, str], known: Mapping[str, Any], payload: Payload | None
    ) -> dict[str, Any]:
        values: dict[str, Any] = {name: known[name] for name in self._known}
        for name, adapter in self._path.items():
            values[name] = path[name] if adapter is None else _convert(name, path[name], adapter)
        for name in self._sessions:
            values[name] = session
        if self._message is not None:
            values[self._message.name] = self._message.read(payload)
        return values

    async def _run(self, values: dict[str, Any]) -> Any:
        if self._is_async:
            return await self.function(**values)
        return await run_in_threadpool(self.function, **values)


class _Message:
    """The parameter that takes the payload of an event."""

    __slots__ = ("_default", "_parse", "name", "type")

    def __init__(self, parameter: inspect.Parameter, handler: str) -> None:
        self.name = parameter.name
        self.type = _type(parameter.annotation)
        self._default = parameter.default
        self._parse: Callable[[Payload], Any]
        if self.type is bytes:
            self._parse = _as_bytes
        elif self.type is Any:
            self._parse = partial(from_json, allow_inf_nan=False)
        else:
            self._parse = _adapter(parameter, handler).validate_json

    def read(self, payload: Payload | None) -> Any:
        """The value. No payload is the default; so is ``null``, as SDKs send for nothing, if there is one."""
        if self._default is not inspect.Parameter.empty and (not payload or payload in _NULL):
            return self._default
        if payload is None or (not payload and self.type is not bytes):
            raise InvalidRequest(f"{self.name}: Field required")
        try:
            return self._parse(payload)
        except ValidationError as error:
            raise invalid(error.errors(include_url=False, include_input=False), self.name) from None
        except ValueError as error:
            raise InvalidRequest(f"{self.name}: Invalid JSON: {error}") from None


def _read(function: Callable[..., Any], name: str) -> inspect.Signature:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(f"{name} yields; a handler returns one value")
    try:
        signature = inspect.signature(function, eval_str=True)
    except NameError as error:
        raise UsageError(
            f"{name}: {error.name!r} in its annotations is not there when the program runs; import it outside of "
            "TYPE_CHECKING, and define it at the top of the module"
        ) from None
    for parameter in signature.parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise UsageError(f"{name}: {str(parameter)!r} has no name to be given by; list the parameters one by one")
    return signature


def _is_async(function: Callable[..., Any]) -> bool:
    function = inspect.unwrap(function)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _type(annotation: Any) -> Any:
    return Any if annotation is inspect.Signature.empty else annotation


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation


def _adapter(parameter: inspect.Parameter, handler: str) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(_type(parameter.annotation))
    except PydanticUserError as error:
        raise UsageError(
            f"{handler}: Pydantic cannot validate {parameter.name!r} ({str(error).splitlines()[0]}); annotate it with "
            "a model, or take it with Depends"
        ) from None


def _convert(name: str, text: str, adapter: TypeAdapter[Any]) -> Any:
    try:
        return adapter.validate_strings(text)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_input=False), name) from None


def _as_bytes(payload: Payload) -> bytes:
    return payload if isinstance(payload, bytes) else payload.encode()


def _explain(handler: str, unknown: list[str], names: list[str], taken: Container[str], *, message: bool) -> str:
    """Why parameters are too many, and what to do."""
    listed = " and ".join(repr(name) for name in unknown)
    given = f"by name it is given {', '.join(map(repr, names))}" if names else "by name it is given nothing"
    meant = {name: meant_by(name, [one for one in names if one not in taken]) for name in unknown}
    questions = [f"did you mean {right!r} by {wrong!r}? " for wrong, right in meant.items() if right]
    remedy = "".join(questions) + "take anything else with Depends"
    if message:
        return f"{handler}: only one of {listed} can be the message; {given}; {remedy}"
    return f"{handler}: nothing gives {listed}; {given}; {remedy}, or annotate it SessionInfo"
