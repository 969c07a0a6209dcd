"""Why the hub ends or refuses a connection: the codes of RFC 6455 §7.4."""

from hubbub.errors.base import Disconnect


class ProtocolViolation(Disconnect):
    """The peer sent bytes that are no WebSocket frames (RFC 6455 §7.1.7)."""

    code = 1002
    reconnect = False
    advice = "Use another WebSocket client, or look for a proxy that alters the stream."


class WrongMessageType(Disconnect):
    """The peer sent binary where text is expected, or text where binary is."""

    code = 1003
    reconnect = False
    advice = "Send the type of message that the endpoint reads."


class InvalidMessage(Disconnect):
    """A message is not what its type promises: JSON that is none, text that is not UTF-8."""

    code = 1007
    reconnect = False
    advice = "Mend the message; the reason says what is wrong with it."


class RateExceeded(Disconnect):
    """The peer sends more messages or bytes a second than the limits allow."""

    code = 1008
    reconnect = False
    advice = "Send less, or raise HUBBUB_MESSAGE_RATE or HUBBUB_BYTE_RATE (0 is no limit)."


class InboxFull(Disconnect):
    """The peer sends faster than the handler reads, and the inbox is at its bound."""

    code = 1008
    reconnect = True
    advice = "Send less, make the handler quicker, or raise HUBBUB_MAX_INBOX_MESSAGES or HUBBUB_MAX_INBOX_BYTES."


class MessageTooLarge(Disconnect):
    """One message is larger than ``max_message_size``."""

    code = 1009
    reconnect = False
    advice = "Split the message, upload over HTTP, or raise HUBBUB_MAX_MESSAGE_SIZE."


class Unresponsive(Disconnect):
    """The peer did not answer a ping in time: it is frozen, unplugged or gone."""

    code = 1011
    reconnect = True
    advice = "Come back; raise HUBBUB_PING_TIMEOUT for peers on very slow networks."
    aborts = True


class HandlerFailed(Disconnect):
    """The endpoint's own code raised; the log has it under the client's id."""

    code = 1011
    reconnect = True
    advice = "Look for the client's id in the server's log."


class Restarting(Disconnect):
    """The server stops or restarts."""

    code = 1012
    reconnect = True
    advice = "Come back in a moment, after a random delay."


class Slow(Disconnect):
    """The peer reads more slowly than it is sent to: its queue is at its bound, or does not move at all.

    The queue is in the way of a close frame, so the peer sees 1006 (no close frame); the hub's own
    goodbye says 3008, the code of the Centrifuge protocol for this.
    """

    code = 3008
    reconnect = True
    advice = "Come back; raise HUBBUB_MAX_QUEUED_BYTES for bursts, or publish less."
    aborts = True


class Refused(Disconnect):
    """The hub does not accept the connection: HTTP 503 with Retry-After if the client may come back, else 403."""


class OriginRefused(Refused):
    """A web page of another origin tries to connect (cross-site WebSocket hijacking)."""

    code = 1008
    reconnect = False
    advice = "Add the page's origin to HUBBUB_ALLOWED_ORIGINS."


class TooManyHeaders(Refused):
    """The request has more header fields than a client needs; the server would keep them as long as the connection."""

    code = 1008
    reconnect = False
    advice = "Send fewer header fields, or raise HUBBUB_MAX_REQUEST_HEADERS."


class TooManyConnections(Refused):
    """The hub holds as many connections as it may, in total or from one address."""

    code = 1013
    reconnect = True
    advice = "Try again later; raise HUBBUB_MAX_CONNECTIONS or HUBBUB_MAX_CONNECTIONS_PER_ADDRESS."
