"""One declared map channel, as the app uses it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeVar, get_args

from hubbub.brokers.base import Guard
from hubbub.brokers.maps import Only, Outcome
from hubbub.channels import Pattern, check_rules
from hubbub.declared.base import DeclaredChannel
from hubbub.errors import UsageError
from hubbub.hub.declaration import Declaration
from hubbub.hub.engine import Engine
from hubbub.hub.kinds.maps import MAPS
from hubbub.hub.maps.rules import SHARED, check_map_rules
from hubbub.hub.messages import MessageType
from hubbub.hub.threads import from_thread
from hubbub.identifiers import ensure_text
from hubbub.protocol.publication import NO_TAGS, Publication, ensure_tags
from hubbub.spelling import ensure_choice

MessageT = TypeVar("MessageT")
HandlerP = ParamSpec("HandlerP")


class MapChannel(DeclaredChannel, Generic[MessageT]):
    """The map channels of one pattern, such as ``board:{name}``: what ``hub.map_channel`` returns.

    ``MapChannel[Card]`` is what ``hub.map_channel(…, message=Card)`` returns: the data of every entry is a ``Card``.
    """

    def __init__(
        self,
        pattern: Pattern,
        rules: Mapping[str, Any],
        running: Callable[[], Engine],
        message: MessageType | None = None,
    ) -> None:
        shared = check_rules({name: rule for name, rule in rules.items() if name in SHARED})
        own = check_map_rules({name: rule for name, rule in rules.items() if name not in SHARED})
        if shared.delta and not own.streams:  # else nobody could say which value of an entry is the one before
            raise UsageError(
                'wrong rules of a map channel: deltas need a mode that keeps changes; say mode="recoverable"'
            )
        super().__init__(Declaration(pattern, shared, MAPS[own.of](own), message), running)

    async def publish(
        self,
        key: str,
        data: MessageT,
        /,
        *,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str = "",
        version: int = 0,
        only: Only = "",
        **parameters: object,
    ) -> Outcome:
        """Makes ``data`` the entry of ``key`` in the channel with these parameters, and tells its subscribers.

        Args:
            key: what it replaces the entry of; not empty.
            data: text, bytes, a Pydantic model or anything else that JSON can hold.
            tags: what subscribers may filter by.
            idempotency_key: a second change of this channel with the same one, within five minutes, is not made.
            version: if it is not above that of the entry that is there, nothing is done.
            only: ``"if_new"`` does nothing where there is an entry of ``key``, ``"if_exists"`` where there is none;
                ``"touch"`` is ``"if_new"``, and an entry that is there lives on for another ``key_ttl``.

        Returns:
            The position behind the change; or why nothing was done (``suppressed``).

        Raises:
            UsageError: ``key`` is empty or no text, ``only`` is none of these, the parameters do not fit the pattern,
                the hub is not running or runs on another event loop, ``data`` has no JSON form, or ``key`` or a tag no
                UTF-8 form.
        """
        _ensure_key(key)
        ensure_choice(only, get_args(Only), "only")
        ensure_tags(tags or NO_TAGS)
        ensure_text(idempotency_key, "idempotency_key")
        channel = self.name(**parameters)
        payload = self._declaration.encode(data, f"what is published to {channel!r}")
        entry = Publication(payload, key=key, tags=tags or NO_TAGS)
        atlas = self._here("publish", "publish_sync").atlas
        return await atlas.put(channel, entry, Guard(idempotency_key, version), only)

    def publish_sync(
        self,
        key: str,
        data: MessageT,
        /,
        *,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str = "",
        version: int = 0,
        only: Only = "",
        timeout: float | None = 10.0,
        **parameters: object,
    ) -> Outcome:
        """As ``publish``, from any other thread: a sync route, a worker, a callback.

        Raises:
            UsageError: as ``publish``; and on the event loop's own thread, which must not block.
            TimeoutError: the event loop did not get to it in ``timeout`` seconds.
        """

        async def publish() -> Outcome:
            return await self.publish(
                key, data, tags=tags, idempotency_key=idempotency_key, version=version, only=only, **parameters
            )

        return from_thread(self._running(), publish, timeout, "publish_sync")

    async def remove(self, key: str, /, *, idempotency_key: str = "", **parameters: object) -> Outcome:
        """Removes the entry of ``key``, and tells the subscribers.

        Raises:
            UsageError: as ``publish``.
        """
        _ensure_key(key)
        ensure_text(idempotency_key, "idempotency_key")
        return await self._here("remove").atlas.remove(self.name(**parameters), key, Guard(idempotency_key))

    async def state(self, **parameters: object) -> dict[str, Publication]:
        """All entries by their keys, in the order of these.

        Raises:
            UsageError: as ``publish``.
        """
        page = await self._here("state").atlas.entries(self.name(**parameters))
        return {entry.key: entry for entry in page.entries}

    async def clear(self, **parameters: object) -> None:
        """Removes all entries, and tells the subscribers; offsets begin anew.

        Raises:
            UsageError: as ``publish``.
        """
        await self._here("clear").atlas.clear(self.name(**parameters))

    def on_publish(
        self, function: Callable[HandlerP, MessageT | Awaitable[MessageT | None] | None]
    ) -> Callable[HandlerP, Any]:
        """Decorates the function that gets what a client publishes, validated by its annotation.

        It may take the ``key``, and what ``on_subscribe`` may. What it returns is published instead; None publishes
        what came. To refuse, raise ``Forbidden`` or another ``CommandError``: that is the answer. What clients remove
        does not get here: that is up to ``may_remove``.

        Raises:
            UsageError: there is one already, or it has parameters that nothing gives.
        """
        self._declaration.on_publish = self._handler(function, self._declaration.on_publish, "key")
        return function


def _ensure_key(key: str) -> None:
    ensure_text(key, "key")
    if not key:
        raise UsageError("an entry of a map needs a key that is not empty")
