"""One declared channel, as the app uses it: handlers by decorators, and typed publishing."""

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol

from hubbub.declared.base import DeclaredChannel, HandlerT
from hubbub.hub.declaration import Declaration
from hubbub.protocol.position import Position


class Publisher(Protocol):
    """Who publishes for a channel: the ``Hub``."""

    def publish(
        self, channel: str, data: Any, *, tags: Mapping[str, str] | None = None, idempotency_key: str = ""
    ) -> Awaitable[Position]: ...

    def publish_sync(
        self,
        channel: str,
        data: Any,
        timeout: float | None = 10.0,
        *,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str = "",
    ) -> Position: ...


class Channel(DeclaredChannel):
    """The channels of one pattern, such as ``chat:{room}``: what ``hub.channel`` returns."""

    def __init__(self, declaration: Declaration, publisher: Publisher) -> None:
        super().__init__(declaration)
        self._publisher = publisher

    async def publish(
        self, data: Any, *, tags: Mapping[str, str] | None = None, idempotency_key: str = "", **parameters: object
    ) -> Position:
        """As ``Hub.publish``, to the channel with these parameters.

        Raises:
            UsageError: as ``Hub.publish`` and ``name``.
        """
        channel = self.name(**parameters)
        return await self._publisher.publish(channel, data, tags=tags, idempotency_key=idempotency_key)

    def publish_sync(
        self,
        data: Any,
        *,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str = "",
        timeout: float | None = 10.0,
        **parameters: object,
    ) -> Position:
        """As ``publish``, from any other thread: a sync route, a worker, a callback.

        Raises:
            UsageError: as ``publish``; and on the event loop's own thread, which must not block.
            TimeoutError: the event loop did not get to it in ``timeout`` seconds.
        """
        channel = self.name(**parameters)
        return self._publisher.publish_sync(channel, data, timeout, tags=tags, idempotency_key=idempotency_key)

    def on_publish(self, function: HandlerT) -> HandlerT:
        """Decorates the function that gets what a client publishes, validated by its annotation.

        What it returns is published instead; None publishes what came. An error that it raises is the answer.
        """
        self._declaration.on_publish = self._handler(function, self._declaration.on_publish)
        return function
