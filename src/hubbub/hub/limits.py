"""How much one client may send: token buckets for messages and bytes."""

from hubbub.errors import RateExceeded


class RateLimit:
    """Two token buckets, refilled by time. A rate of 0 is no limit.

    A full bucket holds ``burst`` seconds of its rate, so a client may be quick for a moment but not for long.
    """

    __slots__ = ("_burst", "_byte_rate", "_bytes", "_message_rate", "_messages", "_stamp")

    def __init__(self, message_rate: float, byte_rate: float, burst: float, now: float) -> None:
        self._message_rate = message_rate
        self._byte_rate = byte_rate
        self._burst = burst
        # At least one message of any rate: a rate of 0.1 must not refuse the first.
        self._messages = max(1.0, message_rate * burst)
        self._bytes = byte_rate * burst
        self._stamp = now

    def spend(self, messages: int, size: int, now: float) -> RateExceeded | None:
        """Takes ``messages`` and ``size`` bytes at time ``now`` (seconds), or says which rate that exceeds."""
        elapsed = now - self._stamp
        self._stamp = now
        if self._message_rate:
            full = max(1.0, self._message_rate * self._burst)
            self._messages = min(full, self._messages + elapsed * self._message_rate) - messages
            if self._messages < 0:
                return RateExceeded(f"more than {self._message_rate:g} messages a second")
        if self._byte_rate:
            full = self._byte_rate * self._burst
            self._bytes = min(full, self._bytes + elapsed * self._byte_rate) - size
            if self._bytes < 0:
                return RateExceeded(f"more than {self._byte_rate:g} bytes a second")
        return None
