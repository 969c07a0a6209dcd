"""The ways to connect, and the words in which each is told that it is over."""

from typing import NamedTuple

from hubbub.errors import (
    BadRequest,
    CommandError,
    ConnectionExpired,
    Disconnect,
    Expired,
    Forbidden,
    InvalidRequest,
    RateExceeded,
    Restarting,
    ServerError,
    SessionEnd,
    SessionForbidden,
    SessionRateExceeded,
    Shutdown,
    Slow,
    SlowSession,
    TokenExpired,
    TooManyRequests,
)
from hubbub.protocol.codecs import Codec


class Link(NamedTuple):
    """A way to connect: one object for all sessions that come by it."""

    transport: str
    codec: Codec
    unidirectional: bool = False
    """The client only listens: it answers no pings and sends no commands after connect."""
    emulated: bool = False
    """The client sends its commands another way, and shows a secret there."""
    native_pings: bool = False
    """The transport pings, by a means of its own."""
    farewell: bool = False
    """The client gets the reason of the end as a push too, as those do whose transport has no word for it."""


_AS_SESSIONS_SAY: dict[type[Disconnect], type[SessionEnd]] = {
    Slow: SlowSession,
    Restarting: Shutdown,
    RateExceeded: SessionRateExceeded,
}
_UNIDIRECTIONAL_ENDS: dict[int, type[SessionEnd]] = {
    TokenExpired.code: ConnectionExpired,
    Expired.code: ConnectionExpired,
    TooManyRequests.code: SessionRateExceeded,
    Forbidden.code: SessionForbidden,
    InvalidRequest.code: BadRequest,  # else the client would come back with the same, again and again
}


def in_words_of_sessions(fault: Disconnect) -> Disconnect:
    """What a transport or the hub tells, in the words of the protocol."""
    kind = _AS_SESSIONS_SAY.get(type(fault))
    return fault if kind is None else kind()


def end_for_want_of_answers(refusal: CommandError) -> SessionEnd:
    """How a refused connect ends where the client gets no answers."""
    return _UNIDIRECTIONAL_ENDS.get(refusal.code, ServerError)()
