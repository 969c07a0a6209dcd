"""Why a session ends: codes and texts of the Centrifuge protocol."""

from typing import ClassVar

from hubbub.errors.base import Disconnect, UsageError


class SessionEnd(Disconnect):
    """Why a session ends, with the code and the text of the Centrifuge protocol.

    Clients come back after 3000 to 3499 and 4000 to 4499, and give up after 3500 to 3999 and 4500 to 4999.
    """

    text: ClassVar[str]

    def __init__(self, reason: str | None = None) -> None:
        super().__init__(self.text if reason is None else reason)


class ConnectionClosed(SessionEnd):
    """The connection was closed in the normal course of things. The peer is told nothing, and sees 1006."""

    code = 3000
    text = "connection closed"
    reconnect = True
    advice = "Come back."


class Shutdown(SessionEnd):
    """The server stops or restarts."""

    code = 3001
    text = "shutdown"
    reconnect = True
    advice = "Come back in a moment, after a random delay."


class ServerError(SessionEnd):
    """Something failed on our side; the log has it under the session's id."""

    code = 3004
    text = "internal server error"
    reconnect = True
    advice = "Look for the session's id in the server's log."


class ConnectionExpired(SessionEnd):
    """The token expired and no new one came in time."""

    code = 3005
    text = "connection expired"
    reconnect = True
    advice = "Come back with a fresh token; SDKs ask their token getter."


class SubscriptionExpired(SessionEnd):
    """A server-side subscription expired."""

    code = 3006
    text = "subscription expired"
    reconnect = True
    advice = "Come back; the server subscribes anew if it may."


class SlowSession(SessionEnd):
    """The peer reads more slowly than it is sent to: its queue is at its bound."""

    code = 3008
    text = "slow"
    reconnect = True
    advice = "Come back; raise HUBBUB_MAX_QUEUED_BYTES for bursts, or publish less."
    aborts = True


class CatchUpTimeout(SessionEnd):
    """The client took too long to read a map channel page by page: what it read has grown old."""

    code = 3008
    text = "slow"
    reconnect = True
    advice = "Come back; raise the channel's catch_up_timeout for slow networks."


class WriteError(SessionEnd):
    """Nothing could be written to the peer."""

    code = 3009
    text = "write error"
    reconnect = True
    advice = "Come back."


class InsufficientState(SessionEnd):
    """Publications were lost on the way here; coming back recovers them."""

    code = 3010
    text = "insufficient state"
    reconnect = True
    advice = "Come back; the SDK recovers what was missed."


class ForceReconnect(SessionEnd):
    """The app asks the client to connect anew."""

    code = 3011
    text = "force reconnect"
    reconnect = True
    advice = "Come back."


class NoPong(SessionEnd):
    """The peer did not answer a ping in time: it is frozen, unplugged or gone."""

    code = 3012
    text = "no pong"
    reconnect = True
    advice = "Come back; raise HUBBUB_SESSION_PONG_TIMEOUT for peers on very slow networks."


class SessionRateExceeded(SessionEnd):
    """The peer sends more messages or bytes a second than the limits allow."""

    code = 3013
    text = "too many requests"
    reconnect = True
    advice = "Send less, or raise HUBBUB_MESSAGE_RATE or HUBBUB_BYTE_RATE (0 is no limit)."


class StateInvalidated(SessionEnd):
    """What the client remembers is no longer valid: tokens and positions are to be dropped."""

    code = 3014
    text = "state invalidated"
    reconnect = True
    advice = "Come back; the SDK starts afresh by itself."


class InvalidToken(SessionEnd):
    """The connection's token is malformed, has a bad signature, or is for somebody else."""

    code = 3500
    text = "invalid token"
    reconnect = False
    advice = "Mend the token: key, algorithm, audience, issuer."


class BadRequest(SessionEnd):
    """The peer does not speak the protocol, or has no credentials."""

    code = 3501
    text = "bad request"
    reconnect = False
    advice = "Look at the client; the log's debug level says what was wrong."


class Stale(SessionEnd):
    """No connect command came in time."""

    code = 3502
    text = "stale"
    reconnect = False
    advice = "Send connect first; raise HUBBUB_STALE_TIMEOUT for slow networks."


class ForceDisconnect(SessionEnd):
    """The app ended the connection."""

    code = 3503
    text = "force disconnect"
    reconnect = False
    advice = "Do not come back by yourself."


class ConnectionLimit(SessionEnd):
    """The user has as many connections as it may."""

    code = 3504
    text = "connection limit"
    reconnect = False
    advice = "Close another connection of this user."


class ChannelLimit(SessionEnd):
    """The server would subscribe the session to more channels than it may have."""

    code = 3505
    text = "channel limit"
    reconnect = False
    advice = "Raise HUBBUB_MAX_CHANNELS_PER_SESSION."


class WrongProtocol(SessionEnd):
    """A publication is not JSON, and the session speaks JSON."""

    code = 3506
    text = "inappropriate protocol"
    reconnect = False
    advice = "Use the Protobuf protocol for binary data."


class SessionForbidden(SessionEnd):
    """This user may not connect."""

    code = 3507
    text = "permission denied"
    reconnect = False
    advice = "Use other credentials."


class SessionUnavailable(SessionEnd):
    """The peer sent what no handler of the app takes."""

    code = 3508
    text = "not available"
    reconnect = False
    advice = "Do not send asynchronous messages to this server."


class TooManyErrors(SessionEnd):
    """The peer made too many mistakes."""

    code = 3509
    text = "too many errors"
    reconnect = False
    advice = "Mend the client."


def custom_end(code: int, reason: str = "") -> SessionEnd:
    """A disconnect of the app's own, from 3000 to 4999; without a reason, that of the protocol for the code.

    Raises:
        UsageError: the code is not in that range, or the reason is longer than 123 bytes.
    """
    if not 3000 <= code <= 4999 or len(reason.encode(errors="replace")) > 123:
        raise UsageError(f"a session cannot be ended with {code} {reason!r}: use 4000 to 4999, and up to 123 bytes")
    known = next((kind for kind in SessionEnd.__subclasses__() if kind.code == code), None)
    if known is not None:
        return known(reason or None)
    end = SessionEnd(reason or "disconnected")  # SDKs look at the code only where there is a reason
    end.code = code  # type: ignore[misc]
    return end
