"""The root of the tree, wrong use, and what every end of a connection has."""

from typing import ClassVar, Literal, NamedTuple


class HubbubError(Exception):
    """The base of everything Hubbub raises on purpose."""


class UsageError(HubbubError, RuntimeError):
    """Hubbub is used or configured in a way that cannot work; the message says what to do instead."""


class Goodbye(NamedTuple):
    """How a connection ended: told exactly once for each client.

    ``code`` and ``reason`` are those of the close frame (RFC 6455 §7.1.5, §7.1.6): 1005 where the peer gave
    no code, 1006 where no close frame came. ``by`` says who ended it: the ``"peer"``, the ``"app"`` (the
    body of ``hub.connect`` or ``client.close``) or the ``"hub"`` (a limit, a stop, a failure).
    """

    code: int
    reason: str
    by: Literal["peer", "app", "hub"]


class Disconnect(HubbubError):
    """Why the hub ends a connection: the close code and reason that the peer is told.

    ``reconnect`` says whether coming back without a change can help; ``aborts``, that the peer does not read,
    so that waiting for the close frame to get out is in vain.
    """

    code: ClassVar[int]
    reconnect: ClassVar[bool]
    advice: ClassVar[str]
    aborts: ClassVar[bool] = False

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def goodbye(self) -> Goodbye:
        """The goodbye that this disconnect leads to."""
        return Goodbye(self.code, self.reason, "hub")
