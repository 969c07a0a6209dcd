"""The contract of channel types."""

from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from hubbub.auth.base import Grant
from hubbub.errors import Forbidden, InvalidRequest, NotAvailable
from hubbub.hub.subscription import Subscription
from hubbub.protocol.commands import PublishRequest, SubRefreshRequest, SubscribeRequest
from hubbub.protocol.events import SubRefreshResult, SubscribeResult

if TYPE_CHECKING:
    from hubbub.hub.declaration import Declaration
    from hubbub.hub.engine import Engine
    from hubbub.hub.session import Session

SHARED_POLL = 4
"""The subscription type of shared poll channels, which a client is told of where it is not available."""


class Entry(ABC):
    """A subscription that is ready, up to the moment when the session is told."""

    result: SubscribeResult
    subscription: Subscription | None
    """None where the result is one page of a longer answer."""
    size: int = 0
    """About how many bytes of the result are publications that the session missed."""

    def forgo(self) -> None:  # noqa: B027 - most have nothing of that kind
        """Leaves out what the session missed, and says so: there is no room for it in the answer."""

    @abstractmethod
    def commit(self) -> Sequence[Any]:
        """From now on the session receives the channel; returns the batches that it gets behind the result.

        Called in the same turn of the event loop in which the result goes out.

        Raises:
            InsufficientState: publications were lost meanwhile.
        """

    @abstractmethod
    def abandon(self) -> None:
        """The session has gone, or may not: undoes what was prepared."""


class Kind(ABC):
    """A type of channel, stateless or with the state of all channels of one hub. It never keeps a session alive."""

    types: ClassVar[frozenset[int]]
    """The subscription types of the protocol that this kind answers."""

    def start(self, engine: "Engine") -> None:  # noqa: B027 - most have nothing to do
        """The hub starts."""

    def stop(self) -> None:  # noqa: B027
        """The hub stops."""

    async def admit(
        self, session: "Session", declaration: "Declaration", parameters: Mapping[str, str], request: SubscribeRequest
    ) -> Grant:
        """What a client that asks to subscribe is granted.

        Raises:
            CommandError: it may not.
            InvalidToken: its token is for another channel or user.
        """
        if request.type not in self.types:
            raise NotAvailable if request.type == SHARED_POLL else Forbidden
        session.ensure_within_work()
        return await declaration.admit(session, parameters, request)

    @abstractmethod
    async def prepare(
        self, session: "Session", declaration: "Declaration", request: SubscribeRequest, grant: Grant
    ) -> Entry:
        """Does all of a subscription that may take time.

        Raises:
            CommandError: the subscription cannot be had; nothing of it is left.
        """

    def withdraw(self, session: "Session", channel: str) -> None:  # noqa: B027
        """The session is not to subscribe any more, if it has begun to; without a name, to none of these channels."""

    @abstractmethod
    def leave(self, session: "Session", channel: str, subscription: Subscription) -> Coroutine[Any, Any, None] | None:
        """Ends a subscription: nothing of the channel comes any more. Returns what is left to do and takes time."""

    async def publish(
        self, session: "Session", declaration: "Declaration", parameters: Mapping[str, str], request: PublishRequest
    ) -> None:
        """A client's own publication, after the command was checked for its channel.

        Raises:
            CommandError: it may not, or cannot.
        """
        raise Forbidden

    async def track(
        self, session: "Session", channel: str, subscription: Subscription, request: SubRefreshRequest
    ) -> SubRefreshResult:
        """Changes which keys of a channel the session follows.

        Raises:
            CommandError: this type of channel has no keys to follow, or the session may not.
        """
        raise InvalidRequest
