"""The contract of authentication, and the values that it answers with."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from hubbub.errors import UsageError
from hubbub.identifiers import ensure_text
from hubbub.protocol.publication import Payload, encode_for_sessions


class Override(NamedTuple):
    """What one subscription does otherwise than its channel's rule says. None: as the rule says."""

    presence: bool | None = None
    join_leave: bool | None = None
    force_push_join_leave: bool | None = None
    force_recovery: bool | None = None
    force_positioning: bool | None = None


class Grant(NamedTuple):
    """What a subscription is given: what ``on_subscribe`` may return, and what a token says."""

    info: Any = None
    """What others see beside the user in this channel (``chan_info``): anything that JSON can hold. None: nothing."""
    data: Any = None
    """What the subscriber gets with the answer: anything that JSON can hold. None: nothing."""
    expire_at: float = 0.0
    """Unix seconds. 0: never."""
    override: Override = Override()

    def encoded(self, *, binary: bool = False) -> "Grant":
        """The same, with ``info`` and ``data`` as they are sent.

        Args:
            binary: whether they may be bytes that are not JSON, as those of a token may.

        Raises:
            UsageError: one of them has no JSON form, or the expiry is no time.
        """
        return self._replace(
            info=_encoded(self.info, "the info of a Grant", binary),
            data=_encoded(self.data, "the data of a Grant", binary),
            expire_at=_lasting(self.expire_at),
        )


NO_GRANTS: Mapping[str, Grant] = MappingProxyType({})


class Identity(NamedTuple):
    """Who a connection is: what ``on_connect`` returns, and what a token says."""

    user: str = ""
    """Text, so write ``str(…)`` around the number or UUID of a database. Empty: anonymous."""
    info: Any = None
    """What others see beside the user in all channels (``conn_info``): anything that JSON can hold. None: nothing."""
    data: Any = None
    """What the client gets with the answer to its connect: anything that JSON can hold. None: nothing."""
    expire_at: float = 0.0
    """Unix seconds. 0: never."""
    subscriptions: Mapping[str, Grant] = NO_GRANTS
    """The channels that the server subscribes the connection to."""
    meta: Mapping[str, Any] | None = None
    """What the app keeps with the connection; clients never see it."""

    def encoded(self, *, binary: bool = False) -> "Identity":
        """The same, with everything as it is sent.

        Args:
            binary: as in ``Grant.encoded``.

        Raises:
            UsageError: the user or a channel is no text, something has no JSON form, or an expiry is no time.
        """
        ensure_text(self.user, "the user of an Identity")
        for channel in self.subscriptions:
            ensure_text(channel, "a channel of an Identity")
        return self._replace(
            info=_encoded(self.info, "the info of an Identity", binary),
            data=_encoded(self.data, "the data of an Identity", binary),
            expire_at=_lasting(self.expire_at),
            subscriptions={channel: grant.encoded(binary=binary) for channel, grant in self.subscriptions.items()},
        )


def _encoded(value: Any, where: str, binary: bool) -> Payload | None:
    return None if value is None else encode_for_sessions(value, where, binary=binary)


def _lasting(expire_at: float) -> float:
    if not isinstance(expire_at, int | float) or math.isnan(expire_at):
        raise UsageError(f"expire_at is {expire_at!r}: give Unix seconds, as time.time() and datetime.timestamp() do")
    return 0.0 if math.isinf(expire_at) and expire_at > 0 else expire_at


class Auth(ABC):
    """Knows connections and subscriptions by their tokens.

    A token is what a client sends, so anything may be in it: a method raises nothing but what it documents,
    and neither a message nor the log holds a token. Every call decides anew, so both also serve a refresh.
    """

    @abstractmethod
    async def authenticate(self, token: str) -> Identity:
        """Who connects with ``token``.

        Raises:
            InvalidToken: it is malformed, not signed by a known key, or meant for something else.
            SessionForbidden: it is good, and this user may not connect.
            TokenExpired: it was good once, or will be.
            Expired: it is good, and the expiry that it sets to the connection is in the past.
            InternalError: that cannot be said for now.
        """

    @abstractmethod
    async def authorize(self, token: str, channel: str, user: str, client: str) -> Grant:
        """What ``token`` gives the session ``client`` of ``user`` in ``channel``.

        Raises:
            Forbidden: the token is malformed, not signed by a known key, or meant for something else.
            InvalidToken: it is good, but for another channel, user or client.
            TokenExpired: it was good once, or will be.
            Expired: it is good, and the expiry that it sets to the subscription is in the past.
            InternalError: that cannot be said for now.
        """
