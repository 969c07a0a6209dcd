"""One declared shared poll channel, as the app uses it."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from hubbub.auth.signatures import TrackSigner
from hubbub.channels import Pattern, check_rules
from hubbub.declared.base import DeclaredChannel
from hubbub.declared.functions import PollFunction
from hubbub.errors import UsageError
from hubbub.hub.declaration import Declaration
from hubbub.hub.engine import Engine
from hubbub.hub.handlers import Handler
from hubbub.hub.kinds.shared_poll import SharedPoll
from hubbub.hub.polls import BackendSource, FunctionSource
from hubbub.hub.polls.rules import SHARED, check_poll_rules
from hubbub.hub.polls.sources import value_of
from hubbub.hub.threads import from_thread
from hubbub.identifiers import ensure_text

PollT = TypeVar("PollT", bound=PollFunction)


class PollChannel(DeclaredChannel):
    """The shared poll channels of one pattern, such as ``prices:{market}``: what ``hub.poll_channel`` returns."""

    def __init__(
        self,
        pattern: Pattern,
        signer: TrackSigner,
        backend: str | None,
        rules: Mapping[str, Any],
        running: Callable[[], Engine],
    ) -> None:
        shared = check_rules({name: rule for name, rule in rules.items() if name in SHARED})
        own = check_poll_rules({name: rule for name, rule in rules.items() if name not in SHARED})
        self._kind = SharedPoll(pattern, own, signer, deltas=shared.delta)
        if backend is not None:
            self._kind.source = BackendSource(backend, own.timeout)
        super().__init__(Declaration(pattern, shared, self._kind), running)

    def on_poll(self, function: PollT) -> PollT:
        """Decorates the function that is asked for values: once in each interval, for all keys that anyone tracks.

        It may take the pattern's parameters, ``channel``, and ``keys`` (a list of str) or ``items`` (a list of
        ``(key, version)``, with the version that the hub has). It returns a dict of keys to data, or a list of
        ``Polled``; what it does not name has not changed. While it fails, clients keep what they have.

        Raises:
            UsageError: something is asked already, or it has parameters that nothing gives.
        """
        if self._kind.source is not None:
            raise UsageError(f"channel {self.pattern!r} has a function or a backend to ask already")
        path = self._declaration.pattern.parameters
        handler = Handler(function, path=path, known=("keys", "items", "channel"))
        if handler.needs_connection or handler.needs_session:
            raise UsageError(
                f"on_poll of {self.pattern!r} is called for all sessions at once, so it can take nothing of one: "
                "no dependency, no header, no SessionInfo; open what it needs inside"
            )
        self._kind.source = FunctionSource(handler, self._kind.rules.timeout)
        return function

    def sign(self, user: str, keys: Sequence[str], /, *, expire_in: float | None = 3600.0, **parameters: object) -> str:
        """What lets ``user`` track ``keys`` for ``expire_in`` seconds (None: for ever): for the endpoint that SDKs ask.

        Whoever calls has made sure that the user may see them. The signature is for these keys in this order, in the
        channel with these parameters, and for nobody else.

        Raises:
            UsageError: the user or a key is no text, a key has a NUL, or the parameters do not fit the pattern.
        """
        ensure_text(user, "user")
        for key in keys:
            ensure_text(key, "key")
        now = time.time()
        expires = 0 if expire_in is None else math.ceil(now + expire_in)
        return self._kind.signer.sign(user, self.name(**parameters), keys, int(now), expires)

    async def publish(self, key: str, data: Any, /, *, version: int, epoch: str = "", **parameters: object) -> None:
        """Sends a value to those who track ``key``, ahead of the next poll: with ``publish_enabled=True``.

        It counts if its version is newer than what the hub has. With another epoch than before, all clients start anew.

        Raises:
            UsageError: it is not enabled, the hub is not running or runs on another event loop, or ``data`` has no
                JSON form.
        """
        if not self._kind.rules.publish_enabled:
            raise UsageError(f"nothing is published to {self.pattern!r}: declare it with publish_enabled=True")
        self._here("publish", "publish_sync")
        ensure_text(key, "key")
        channel = self.name(**parameters)
        payload = self._declaration.encode(data, f"what is published to {channel!r}")
        await self._kind.put(channel, value_of(key, payload, version), epoch)

    def publish_sync(
        self,
        key: str,
        data: Any,
        /,
        *,
        version: int,
        epoch: str = "",
        timeout: float | None = 10.0,
        **parameters: object,
    ) -> None:
        """As ``publish``, from any other thread: a sync route, a worker, a callback.

        Raises:
            UsageError: as ``publish``; and on the event loop's own thread, which must not block.
            TimeoutError: the event loop did not get to it in ``timeout`` seconds.
        """

        async def publish() -> None:
            await self.publish(key, data, version=version, epoch=epoch, **parameters)

        from_thread(self._running(), publish, timeout, "publish_sync")
