"""How much one client may send, and how much work its commands may make: token buckets."""

from collections.abc import Callable

from hubbub.errors import RateExceeded


class Rates:
    """The rates of all clients of one kind.

    Args:
        messages: a second. 0 is no limit, as for the others.
        bytes: a second.
        work: units a second.
        burst: seconds' worth of each that a client may use at once.
        least: messages that a client may send at once at least, whatever their rate.
        stalled: tells for how many seconds nobody was read lately: what comes from that time is not charged.
    """

    __slots__ = ("at_once", "burst", "bytes", "messages", "stalled", "work")

    def __init__(
        self,
        stalled: Callable[[float], float],
        *,
        burst: float,
        messages: float = 0,
        bytes: float = 0,
        work: float = 0,
        least: float = 0,
    ) -> None:
        self.stalled = stalled
        self.messages = messages
        self.bytes = bytes
        self.work = work
        self.burst = burst
        # At least one message of any rate: a rate of 0.1 must not refuse the first.
        self.at_once = max(1.0, messages * burst, least)

    def limit(self, now: float) -> "RateLimit | None":
        """The buckets of a new client; None where nothing is limited."""
        return RateLimit(self, now) if self.messages or self.bytes or self.work else None


class RateLimit:
    """The token buckets of one client, for messages, bytes and work, refilled by time.

    A full bucket holds ``burst`` seconds of its rate, so a client may be quick for a moment but not for long. After
    the event loop was blocked it holds as much more as the client could have sent meanwhile.
    """

    __slots__ = ("_bytes", "_messages", "_rates", "_stamp", "_work", "_worked")

    def __init__(self, rates: Rates, now: float) -> None:
        self._rates = rates
        self._messages = rates.at_once
        self._bytes = rates.bytes * rates.burst
        self._stamp = now
        self._work = 0.0
        """Work that is owed; that of before ``_worked`` has been paid off by time."""
        self._worked = now

    def spend(self, messages: int, size: int, now: float) -> RateExceeded | None:
        """Takes ``messages`` and ``size`` bytes at time ``now`` (seconds), or says which rate that exceeds."""
        rates = self._rates
        elapsed = now - self._stamp
        self._stamp = now
        stalled = rates.stalled(now)
        if rates.messages:
            full = rates.at_once + stalled * rates.messages
            self._messages = min(full, self._messages + elapsed * rates.messages) - messages
            if self._messages < 0:
                return RateExceeded(f"more than {rates.messages:g} messages a second")
        if rates.bytes:
            full = (rates.burst + stalled) * rates.bytes
            self._bytes = min(full, self._bytes + elapsed * rates.bytes) - size
            if self._bytes < 0:
                return RateExceeded(f"more than {rates.bytes:g} bytes a second")
        return None

    def charge(self, work: float, now: float) -> None:
        """Notes work that was done for the client, however much."""
        self._work = max(0.0, self._work - (now - self._worked) * self._rates.work) + work
        self._worked = now

    def has_work_left(self, now: float) -> bool:
        """Whether more may be done for the client: it owes less than the burst."""
        rates = self._rates
        return not rates.work or self._work - (now - self._worked) * rates.work < rates.work * rates.burst
