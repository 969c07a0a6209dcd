"""The types that an app's handlers have to do with, and what each is there for."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from types import NoneType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

from pydantic.json_schema import JsonSchemaMode

from hubbub.hub.declaration import Declaration
from hubbub.hub.handlers import Handler
from hubbub.hub.kinds.shared_poll import SharedPoll
from hubbub.hub.polls import FunctionSource
from hubbub.hub.registry import Registry


class Part(Enum):
    """What a handler has one type for."""

    MESSAGE = auto()
    """What a client sends."""
    ANSWER = auto()
    """What an RPC method answers."""
    CHANGE = auto()
    """What ``on_publish`` publishes instead of what came; None, which publishes what came, is no part of it."""
    VALUE = auto()
    """What ``on_poll`` says of a key, if it returns a dict; a ``Polled`` has no type for it."""


class Use(NamedTuple):
    """One type of a handler: a part of it, or by its name a parameter of the channel's pattern."""

    handler: Handler
    part: Part | str

    @property
    def type(self) -> Any:
        match self.part:
            case Part.MESSAGE:
                return self.handler.message_type
            case Part.ANSWER:
                return self.handler.return_type
            case Part.CHANGE:
                return Union[tuple(kind for kind in _kinds(self.handler) if kind is not NoneType)]  # noqa: UP007
            case Part.VALUE:
                return next((values for kind in _kinds(self.handler) if (values := _values(kind)) is not None), Any)
            case name:
                parameter = inspect.signature(self.handler.function, eval_str=True).parameters.get(name)
                return Any if parameter is None or parameter.annotation is parameter.empty else parameter.annotation

    @property
    def mode(self) -> JsonSchemaMode:
        return "serialization" if self.part in (Part.ANSWER, Part.CHANGE, Part.VALUE) else "validation"


class Declared(NamedTuple):
    """The message type of a channel, as ``hub.channel(…, message=…)`` says it."""

    type: Any
    mode: JsonSchemaMode
    """How clients write it, or how it is sent where the app alone publishes."""


def message_of(handler: Handler | None) -> Use | None:
    """What the handler takes of a client; None if nothing."""
    return None if handler is None or handler.message_type is None else Use(handler, Part.MESSAGE)


def taken(declaration: Declaration) -> Use | Declared | None:
    """What clients may publish; None stands for anything."""
    use = message_of(declaration.on_publish)
    if use is None and declaration.message is not None:
        return Declared(declaration.message.kind, "validation")
    return use


def sent(declaration: Declaration) -> Sequence[Use | Declared | None]:
    """What subscribers may get: what is polled, or what is published. None stands for anything."""
    if isinstance(declaration.kind, SharedPoll):
        source = declaration.kind.source
        return [Use(source.handler, Part.VALUE) if isinstance(source, FunctionSource) else None]
    if declaration.message is not None:
        by_clients = declaration.on_publish is not None or declaration.rules.may_publish != "nobody"
        return [Declared(declaration.message.kind, "validation" if by_clients else "serialization")]
    return published(declaration.on_publish)


def published(handler: Handler | None) -> list[Use | None]:
    """What subscribers may get for what a client publishes; None stands for anything."""
    kinds = () if handler is None else _kinds(handler)
    uses: list[Use | None] = []
    if handler is not None and any(kind is not NoneType for kind in kinds):
        uses.append(Use(handler, Part.CHANGE))
    if not kinds or NoneType in kinds:
        uses.append(message_of(handler))
    return uses


def wanted(registry: Registry) -> Iterator[Use | Declared]:
    """All types that clients see."""
    for handler in registry.handlers:
        if (use := message_of(handler)) is not None:
            yield use
    for method in registry.methods.values():
        yield Use(method, Part.ANSWER)
    for declaration in registry.catalogue:
        yield from filter(None, (taken(declaration), *sent(declaration)))
        yield from (
            Use(handler, name) for handler in handlers_of(declaration) for name in declaration.pattern.parameters
        )


def handlers_of(declaration: Declaration) -> list[Handler]:
    """The functions of a channel's, the one for what clients publish first."""
    return [one for one in (declaration.on_publish, declaration.on_subscribe) if one is not None]


def _values(kind: Any) -> Any:
    """The type of the values of a dict's type; None if it is no dict's, or does not say."""
    of = get_args(kind)
    is_mapping = isinstance(get_origin(kind), type) and issubclass(get_origin(kind), Mapping)
    return of[1] if is_mapping and len(of) == 2 else None


def _kinds(handler: Handler) -> tuple[Any, ...]:
    """The types of what is returned, one by one; none if nothing is said of it."""
    kind = handler.return_type
    if kind is Any:
        return ()
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return tuple(NoneType if one is None else one for one in kinds)
