"""What declared channels of all types have in common: a pattern, rules, and handlers by decorators."""

from collections.abc import Callable
from typing import Any, TypeVar

from hubbub.channels import Rules
from hubbub.declared.functions import SubscribeFunction
from hubbub.errors import UsageError
from hubbub.hub.declaration import Declaration
from hubbub.hub.dependencies import name_of
from hubbub.hub.engine import Engine
from hubbub.hub.handlers import Handler
from hubbub.hub.threads import ensure_on_loop

SubscribeT = TypeVar("SubscribeT", bound=SubscribeFunction)


class DeclaredChannel:
    """The channels of one pattern, of whatever type."""

    def __init__(self, declaration: Declaration, running: Callable[[], Engine]) -> None:
        self._declaration = declaration
        self._running = running

    @property
    def declaration(self) -> Declaration:
        """What the hub is to know of it."""
        return self._declaration

    @property
    def pattern(self) -> str:
        """The pattern as it was declared."""
        return self._declaration.pattern.text

    @property
    def rules(self) -> Rules:
        """What holds for these channels."""
        return self._declaration.rules

    def name(self, **parameters: object) -> str:
        """The channel with these parameters: ``chat.name(room="lobby")`` is ``"chat:lobby"``.

        Raises:
            UsageError: a parameter is missing, unknown, or does not fit the pattern.
        """
        return self._declaration.pattern.name(parameters)

    def on_subscribe(self, function: SubscribeT) -> SubscribeT:
        """Decorates the function that decides who may subscribe: it raises ``Forbidden``, or another ``CommandError``.

        It may take the pattern's parameters, ``channel``, dependencies, a ``SessionInfo``, and the client's data (a
        model, or a parameter marked with ``Data``). It returns None or a ``Grant`` to let the client in. A client
        with a subscription token is not asked about here.

        Raises:
            UsageError: there is one already, or it has parameters that nothing gives.
        """
        self._declaration.on_subscribe = self._handler(function, self._declaration.on_subscribe)
        return function

    def _here(self, method: str, instead: str = "") -> Engine:
        """The engine, for a method that runs on its event loop.

        Raises:
            UsageError: the hub is not running, or runs on another event loop.
        """
        engine = self._running()
        ensure_on_loop(engine, f"the channel's {method}", instead or f"hub.run_sync(channel.{method}, …)")
        return engine

    def _handler(self, function: Callable[..., Any], before: Handler | None, *known: str) -> Handler:
        if before is not None:
            raise UsageError(f"channel {self.pattern!r} has such a function already")
        handler = Handler(function, path=self._declaration.pattern.parameters, known=("channel", *known), message=True)
        if handler.return_type is bool:
            raise UsageError(
                f"{name_of(function)} returns a bool, and False would not refuse; return None to let it happen, and "
                "raise Forbidden to refuse"
            )
        return handler
