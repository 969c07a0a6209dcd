"""The functions of an app, for type checkers: what each must return. Their parameters are checked by ``Handler``."""

from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, Protocol

from hubbub.auth.base import Grant, Identity
from hubbub.hub.polls import Polled


class ConnectFunction(Protocol):
    """Says who a session is, or refuses with None."""

    def __call__(self, *args: Any, **kwargs: Any) -> Identity | Awaitable[Identity | None] | None: ...


class SubscribeFunction(Protocol):
    """Lets a client into a channel, with a grant or without."""

    def __call__(self, *args: Any, **kwargs: Any) -> Grant | Awaitable[Grant | None] | None: ...


class PollFunction(Protocol):
    """Says what the values of keys are now."""

    def __call__(
        self, *args: Any, **kwargs: Any
    ) -> Mapping[str, Any] | Iterable[Polled] | Awaitable[Mapping[str, Any] | Iterable[Polled] | None] | None: ...
