"""One declared channel, as the app uses it: handlers by decorators, and typed publishing."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeVar

from hubbub.brokers.base import Guard
from hubbub.channels import Pattern, check_rules
from hubbub.declared.base import DeclaredChannel
from hubbub.hub.declaration import Declaration
from hubbub.hub.engine import Engine
from hubbub.hub.kinds.stream import STREAM
from hubbub.hub.messages import MessageType
from hubbub.hub.threads import from_thread
from hubbub.protocol.position import Position

MessageT = TypeVar("MessageT")
HandlerP = ParamSpec("HandlerP")


class Channel(DeclaredChannel, Generic[MessageT]):
    """The channels of one pattern, such as ``chat:{room}``: what ``hub.channel`` returns.

    ``Channel[ChatMessage]`` is what ``hub.channel(…, message=ChatMessage)`` returns: everything that is published there
    is a ``ChatMessage``.
    """

    def __init__(
        self,
        pattern: Pattern,
        rules: Mapping[str, Any],
        running: Callable[[], Engine],
        message: MessageType | None = None,
    ) -> None:
        super().__init__(Declaration(pattern, check_rules(rules), STREAM, message), running)

    async def publish(
        self,
        data: MessageT,
        *,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str = "",
        **parameters: object,
    ) -> Position:
        """As ``Hub.publish``, to the channel with these parameters.

        Raises:
            UsageError: as ``Hub.publish`` and ``name``, or ``data`` is not of the channel's message type.
        """
        channel = self.name(**parameters)
        return await self._running().publish(channel, data, tags=tags, guard=Guard(idempotency_key))

    def publish_sync(
        self,
        data: MessageT,
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

        async def publish() -> Position:
            return await self.publish(data, tags=tags, idempotency_key=idempotency_key, **parameters)

        return from_thread(self._running(), publish, timeout, "publish_sync")

    def on_publish(
        self, function: Callable[HandlerP, MessageT | Awaitable[MessageT | None] | None]
    ) -> Callable[HandlerP, Any]:
        """Decorates the function that gets what a client publishes, validated by its annotation.

        It may take what ``on_subscribe`` may. What it returns is published instead; None publishes what came. To
        refuse, raise ``Forbidden`` or another ``CommandError``: that is the answer.

        Raises:
            UsageError: there is one already, or it has parameters that nothing gives.
        """
        self._declaration.on_publish = self._handler(function, self._declaration.on_publish)
        return function
