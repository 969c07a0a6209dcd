"""One session in one channel, and the step that takes it there."""

from typing import TYPE_CHECKING, Any

from hubbub.auth.base import Grant
from hubbub.protocol.publication import Payload

if TYPE_CHECKING:
    from hubbub.hub.declaration import Declaration


class Subscription:
    """What a session is in a channel."""

    __slots__ = ("channel_info", "declaration", "expire_at", "flags", "state")

    SERVER_SIDE, POSITIONED, PRESENT, JOIN_LEAVE, ANNOUNCED, OF_IDENTITY, RECOVERABLE = 1, 2, 4, 8, 16, 32, 64

    def __init__(
        self,
        declaration: "Declaration",
        *,
        channel_info: Payload | None = None,
        expire_at: float = 0.0,
        flags: int = 0,
        state: Any = None,
    ) -> None:
        self.declaration = declaration
        self.channel_info = channel_info
        self.expire_at = expire_at
        """Unix seconds; 0 is never."""
        self.flags = flags
        self.state = state
        """What the kind of channel keeps for it."""

    def renew(self, grant: Grant) -> None:
        """Makes a new grant count."""
        self.channel_info = grant.info
        self.expire_at = grant.expire_at

    @property
    def server_side(self) -> bool:
        """Whether the server made it, so that the client has no object for it."""
        return bool(self.flags & self.SERVER_SIDE)

    @property
    def of_identity(self) -> bool:
        """Whether the identity of the session names its channel."""
        return bool(self.flags & self.OF_IDENTITY)

    @property
    def positioned(self) -> bool:
        """Whether a loss of publications must be told."""
        return bool(self.flags & self.POSITIONED)

    @property
    def recoverable(self) -> bool:
        """Whether the client may come back for what it missed."""
        return bool(self.flags & self.RECOVERABLE)

    @property
    def present(self) -> bool:
        """Whether the channel's presence has it."""
        return bool(self.flags & self.PRESENT)

    @property
    def join_leave(self) -> bool:
        """Whether others are told that it comes and leaves."""
        return bool(self.flags & self.JOIN_LEAVE)

    @property
    def announced(self) -> bool:
        """Whether others have been told that it came."""
        return bool(self.flags & self.ANNOUNCED)
