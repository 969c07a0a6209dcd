"""Pings from one wheel: no timer for each connection, and a stated bound for noticing a dead peer."""

import asyncio
import math
import secrets
from typing import Protocol

from hubbub.hub.deadlines import blocked


class Pulse(Protocol):
    """A connection that can be pinged. The wheel keeps its state in these attributes."""

    ping_payload: bytes | None
    """The payload of the first ping without an answer, or None."""
    pinged_at: float
    ping_reach: int
    """What ``progress`` will be when the ping has got to the peer."""
    ping_progress: int
    """What it was at the ping, or when the peer was looked after last."""

    def ping(self, payload: bytes) -> None:
        """Sends a ping frame."""

    def progress(self) -> int:
        """A number that grows whenever the peer takes something of what was sent."""

    def reach(self) -> int:
        """What ``progress`` will be at least when the peer has taken all that was sent so far."""

    def on_silence(self) -> None:
        """The ping was not answered in time."""


class Heartbeat:
    """A wheel of slots; each tick pings the connections of one slot and looks after those pinged before.

    A peer that stops answering is told of at the latest ``interval + timeout + tick`` seconds after its last
    sign of life, where a tick is one second, or less where the interval or the time-out ask for less. The time in
    which the event loop was blocked does not count: an answer may wait to be read.

    The ping of a slow reader waits behind what it is being sent. Until it has got there, the reader is not silent as
    long as it takes something within each time-out, and then it has one more time-out to answer.
    """

    def __init__(self, interval: float, timeout: float | None) -> None:
        self._timeout = timeout
        # Rounded up, and the tick shortened to fit: a round must not take longer than the interval.
        count = math.ceil(interval / min(1.0, interval / 4, (timeout or interval) / 4))
        self._tick = interval / count
        self._slots: list[set[Pulse]] = [set() for _ in range(count)]
        self._late = math.ceil((timeout or 0) / self._tick)
        self._now = 0
        self._next = 0
        self._members: dict[Pulse, set[Pulse]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._blocked = 0.0  # seconds, in all

    def add(self, member: Pulse) -> None:
        """Pings ``member`` from now on; the first ping comes within one interval."""
        # Slots are filled in turn, so that connections which came at once are not pinged at once.
        slot = self._slots[self._next % len(self._slots)]
        self._next += 1
        slot.add(member)
        self._members[member] = slot
        if self._timer is None:
            self._arm(asyncio.get_running_loop())

    def discard(self, member: Pulse) -> None:
        """Pings ``member`` no more."""
        slot = self._members.pop(member, None)
        if slot is not None:
            slot.discard(member)
        if not self._members and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        self._blocked += blocked(loop.time() - self._timer_at, self._tick)
        self._arm(loop)
        now = loop.time() - self._blocked
        slots = self._slots
        self._now += 1
        if self._timeout is not None:
            for index in {self._now % len(slots), (self._now - self._late) % len(slots)}:
                self._look_after(slots[index], now, self._timeout)
        payload = secrets.token_bytes(4)
        for member in tuple(slots[self._now % len(slots)]):
            if member.ping_payload is None:
                member.ping_payload = payload
                member.pinged_at = now
                member.ping(payload)
                member.ping_reach = member.reach()
                member.ping_progress = member.progress() if member.ping_reach else 0

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer_at = loop.time() + self._tick
        self._timer = loop.call_at(self._timer_at, self._turn)

    def _look_after(self, slot: set[Pulse], now: float, timeout: float) -> None:
        for member in tuple(slot):
            # Half a tick of tolerance: the timer that comes a hair early must not cost a whole round.
            if member.ping_payload is not None and now - member.pinged_at >= timeout - self._tick / 2:
                if _is_on_its_way(member):
                    member.pinged_at = now
                else:
                    self.discard(member)
                    member.on_silence()


def _is_on_its_way(member: Pulse) -> bool:
    """Whether the ping had not got to the peer at the last look, and the peer has taken something meanwhile."""
    if not member.ping_reach:
        return False
    before, member.ping_progress = member.ping_progress, member.progress()
    if member.ping_progress >= member.ping_reach:
        member.ping_reach = 0  # it is there, since some moment between the two looks
    return before < member.ping_progress
