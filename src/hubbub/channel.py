"""One declared channel, as the app uses it: handlers by decorators, and typed publishing."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from hubbub.channels import Rules
from hubbub.errors import UsageError
from hubbub.hub.declaration import Declaration
from hubbub.hub.handlers import Handler
from hubbub.protocol.position import Position

HandlerT = TypeVar("HandlerT", bound=Callable[..., Any])


class Publish(Protocol):
    """``Hub.publish``."""

    def __call__(
        self, channel: str, data: Any, *, tags: Mapping[str, str] | None = None, idempotency_key: str = ""
    ) -> Awaitable[Position]: ...


class DeclaredChannel:
    """The channels of one pattern, of whatever type."""

    def __init__(self, declaration: Declaration) -> None:
        self._declaration = declaration

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

    def on_subscribe(self, function: HandlerT) -> HandlerT:
        """Decorates the function that decides who may subscribe: it raises ``Forbidden``, or another ``CommandError``.

        It may take the pattern's parameters, ``channel``, dependencies, a ``SessionInfo``, and the data of the
        request; and may return a ``Grant``. Clients that show a subscription token do not get here.
        """
        self._declaration.on_subscribe = self._handler(function, self._declaration.on_subscribe)
        return function

    def _handler(self, function: Callable[..., Any], before: Handler | None, *known: str) -> Handler:
        if before is not None:
            raise UsageError(f"channel {self.pattern!r} has such a function already")
        return Handler(function, path=self._declaration.pattern.parameters, known=("channel", *known), message=True)


class Channel(DeclaredChannel):
    """The channels of one pattern, such as ``chat:{room}``: what ``hub.channel`` returns."""

    def __init__(self, declaration: Declaration, publish: Publish) -> None:
        super().__init__(declaration)
        self._publish = publish

    async def publish(
        self, data: Any, *, tags: Mapping[str, str] | None = None, idempotency_key: str = "", **parameters: object
    ) -> Position:
        """As ``Hub.publish``, to the channel with these parameters.

        Raises:
            UsageError: as ``Hub.publish`` and ``name``.
        """
        return await self._publish(self.name(**parameters), data, tags=tags, idempotency_key=idempotency_key)

    def on_publish(self, function: HandlerT) -> HandlerT:
        """Decorates the function that gets what a client publishes, validated by its annotation.

        What it returns is published instead; None publishes what came. An error that it raises is the answer.
        """
        self._declaration.on_publish = self._handler(function, self._declaration.on_publish)
        return function
