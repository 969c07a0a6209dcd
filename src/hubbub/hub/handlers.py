"""How the user's plain functions are called for the events of a session."""

import asyncio
import inspect
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack
from dataclasses import is_dataclass
from functools import partial
from types import MappingProxyType, UnionType
from typing import Annotated, Any, NewType, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import from_json
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException, WebSocketException

from hubbub.errors import InvalidRequest, UsageError
from hubbub.hub.canary import ensure_resolver
from hubbub.hub.cancellation import StrayCancellation, is_stray
from hubbub.hub.dependencies import (
    SWALLOWED,
    ConnectionScope,
    Dependencies,
    SessionInfo,
    is_of_connection,
    name_of,
    parts_of,
)
from hubbub.hub.refusals import invalid, refusal
from hubbub.protocol.halves import without_halves
from hubbub.protocol.publication import Payload
from hubbub.spelling import meant_by

_NONE: Mapping[str, Any] = MappingProxyType({})
_NULL = ("null", b"null")


class Data:
    """Marks the parameter of a handler that takes the client's data: ``text: Annotated[str, Data()]``.

    Models, dataclasses, dicts and lists need no mark, as in FastAPI. All other types need one: without it, a
    misspelt parameter of the channel's pattern would be filled by the client.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "Data()"


class Handler:
    """A function of the user's, and what its parameters are: read once, when it is declared.

    A parameter is the first of these that fits:

    1. the message, if it is marked with ``Data``;
    2. what FastAPI takes from a connection: ``Depends``, ``Security``, ``Header``, ``Cookie``, ``Query``, or
       the connection itself, as ``HTTPConnection``, ``Request`` or ``WebSocket``;
    3. a parameter of the channel's pattern, by its name, converted to its annotation;
    4. what the event knows, by its name;
    5. a ``SessionInfo``: who asks;
    6. the message, if FastAPI would take it from a body: a model, a dataclass, a ``TypedDict``, a dict, a list.

    There is one message at most, validated by its annotation. ``bytes`` gets it as it came; ``Any`` is what its
    JSON says.

    Args:
        function: async, or sync, which then runs in a thread. An awaitable that it returns is awaited.
        path: the names of the channel pattern's parameters.
        known: the names of what the event gives besides.
        message: whether the event has a payload for a parameter to take.
        scalars: whether a parameter of any type may take the payload without a mark, unless its name looks like
            one that is given.

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
        scalars: bool = False,
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
        messages: list[inspect.Parameter] = []
        unknown: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            if message and _is_marked(parameter, name):
                messages.append(parameter)
            elif is_of_connection(parameter):
                of_connection.append(parameter)
            elif parameter.name in path:
                self._path[parameter.name] = None if _type(parameter.annotation) is str else _adapter(parameter, name)
            elif parameter.name in known:
                self._known.append(parameter.name)
            elif parts_of(parameter.annotation)[0] is SessionInfo:
                self._sessions.append(parameter.name)
            elif message and _is_of_body(parameter.annotation):
                messages.append(parameter)
            else:
                unknown.append(parameter)
        names = [*path, *known]
        if scalars and not messages and len(unknown) == 1 and not meant_by(unknown[0].name, names):
            messages, unknown = unknown, []
        if unknown:
            raise UsageError(_explain(name, unknown, names, signature.parameters, message=message))
        if len(messages) > 1:
            listed = " and ".join(repr(parameter.name) for parameter in messages)
            raise UsageError(
                f"{name}: {listed} would all take the client's data, and only one can; put the fields into one model"
            )
        self._message = _Message(messages[0], name) if messages else None
        if of_connection:
            ensure_resolver(name)
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
        except asyncio.CancelledError as error:
            if not is_stray(error):
                raise
            raise StrayCancellation from error
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
        returned = await run_in_threadpool(self.function, **values)
        return await returned if inspect.isawaitable(returned) else returned


class _Message:
    """The parameter that takes the payload of an event."""

    __slots__ = ("_default", "_parse", "name", "type")

    def __init__(self, parameter: inspect.Parameter, handler: str) -> None:
        self.name = parameter.name
        self.type = _unmarked(parameter.annotation)
        self._default = parameter.default
        self._parse: Callable[[Payload], Any]
        if self.type is bytes:
            self._parse = _as_bytes
        elif self.type is Any:
            self._parse = partial(_as_json, partial(from_json, allow_inf_nan=False))
        else:
            parse = _adapter(parameter.replace(annotation=self.type), handler).validate_json
            self._parse = partial(_as_json, parse)

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
    """Whether a call of it is a coroutine, whatever it wraps: a decorator may make either of the other."""
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _is_marked(parameter: inspect.Parameter, handler: str) -> bool:
    """Whether a parameter says that it takes the client's data.

    Raises:
        UsageError: it says so by its default.
    """
    if isinstance(parameter.default, Data):
        raise UsageError(
            f"{handler}: {parameter.name!r} has Data() as its default; write "
            f"{parameter.name}: Annotated[{_written(parameter)}, Data()]"
        )
    return any(isinstance(mark, Data) or mark is Data for mark in parts_of(parameter.annotation)[1])


def _unmarked(annotation: Any) -> Any:
    """The annotation without the marks for us."""
    of, marks = parts_of(annotation)
    others = tuple(mark for mark in marks if not isinstance(mark, Data) and mark is not Data)
    if len(others) == len(marks):
        return _type(annotation)
    return Annotated[of, *others] if others else of


def _is_of_body(annotation: Any) -> bool:
    """Whether FastAPI takes parameters of this type from the body, where nothing says otherwise."""
    of = parts_of(annotation)[0]
    if isinstance(of, NewType):
        return _is_of_body(of.__supertype__)
    origin = get_origin(of) or of
    if origin in (Union, UnionType):
        return any(map(_is_of_body, get_args(of)))
    if not isinstance(origin, type) or issubclass(origin, str | bytes):
        return False
    return is_dataclass(origin) or issubclass(origin, BaseModel | Mapping | Sequence | AbstractSet)


def _written(parameter: inspect.Parameter) -> str:
    """The type of a parameter, as the program has it."""
    return inspect.formatannotation(_type(parts_of(parameter.annotation)[0]))


def _type(annotation: Any) -> Any:
    return Any if annotation is inspect.Signature.empty else annotation


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


def _as_json(parse: Callable[[Payload], Any], payload: Payload) -> Any:
    return parse(without_halves(payload))


def _explain(
    handler: str, unknown: list[inspect.Parameter], names: list[str], taken: Container[str], *, message: bool
) -> str:
    """Why nothing gives a parameter its value, and what to do."""
    listed = " and ".join(repr(parameter.name) for parameter in unknown)
    free = [name for name in names if name not in taken]
    meant = {parameter.name: meant_by(parameter.name, free) for parameter in unknown}
    questions = [f"did you mean {right!r}? " for right in meant.values() if right]
    given = f"by name it is given {', '.join(map(repr, names))}" if names else "by name it is given nothing"
    data = f"mark the client's data as such, Annotated[{_written(unknown[0])}, Data()], or take it with a model; "
    return (
        f"{handler}: nothing gives {listed}; {''.join(questions)}{given}; {data if message else ''}"
        "take anything else with Depends, or annotate it SessionInfo"
    )
