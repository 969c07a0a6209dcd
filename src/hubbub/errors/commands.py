"""What the commands of a session are answered with (the error codes of the Centrifuge protocol)."""

from hubbub.errors.base import HubbubError


class CommandError(HubbubError):
    """A command cannot be done, and the session is told why: its error code and message.

    Raise it, or a subclass, in a handler. A code of your own is from 400 to 1999. ``temporary`` tells the
    client that the same command may succeed later; SDKs then try to connect or subscribe again by themselves.
    """

    code: int = 100
    message: str = "internal server error"
    temporary: bool = False

    def __init__(self, message: str | None = None, *, code: int | None = None, temporary: bool | None = None) -> None:
        if message is not None:
            self.message = message
        if code is not None:
            self.code = code
        if temporary is not None:
            self.temporary = temporary
        super().__init__(self.message)


class InternalError(CommandError):
    """Something failed on our side; the log has it under the session's id."""

    temporary = True


class Unauthorized(CommandError):
    """Nobody is known behind the connection."""

    code = 101
    message = "unauthorized"


class UnknownChannel(CommandError):
    """No rules are declared for the channel: declare them with ``hub.channel``."""

    code = 102
    message = "unknown channel"


class Forbidden(CommandError):
    """This user may not do that. Raise it in a handler to refuse."""

    code = 103
    message = "permission denied"


class MethodNotFound(CommandError):
    """There is no RPC method of this name."""

    code = 104
    message = "method not found"


class AlreadySubscribed(CommandError):
    """The session is in the channel already, by itself or by the server."""

    code = 105
    message = "already subscribed"


class LimitExceeded(CommandError):
    """The session has as many channels, or tracks as many keys, as it may; or a map has as many entries."""

    code = 106
    message = "limit exceeded"


class InvalidRequest(CommandError):
    """What the command asks for makes no sense; the message may name the field."""

    code = 107
    message = "bad request"


class NotAvailable(CommandError):
    """The channel's rules, or the hub, do not have this feature switched on."""

    code = 108
    message = "not available"


class TokenExpired(CommandError):
    """The token was valid once: get a new one."""

    code = 109
    message = "token expired"


class Expired(CommandError):
    """The expiry that was asked for is in the past."""

    code = 110
    message = "expired"


class TooManyRequests(CommandError):
    """Slow down, and try again."""

    code = 111
    message = "too many requests"
    temporary = True


class UnrecoverablePosition(CommandError):
    """What was published after the position is no longer kept."""

    code = 112
    message = "unrecoverable position"


class ConcurrentPagination(CommandError):
    """Two commands read pages of one channel's state at once."""

    code = 113
    message = "concurrent pagination"
    temporary = True
