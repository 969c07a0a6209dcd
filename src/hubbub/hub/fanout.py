"""Fan-out: one publication, many receivers, and no receiver that can matter to another.

Theory of operation. ``deliver`` only notes the publication in its room and returns. In the next iteration of
the event loop what is noted is *sealed* into a wave: the payloads, and the receivers that are owed them. A
wave is encoded once for each encoding among its receivers, as one batch for all its payloads, and pushed to
each of them once; so 64 publications to 1,000 receivers are 1,000 writes, not 64,000. Waves are worked off in
slices, so that the event loop gets its turn inside a large fan-out; meanwhile a room notes on, and its next
wave is sealed when this one has ended. So a room has one wave at most, and a large room coalesces more.

Exactness. Everyone who is in the room when a publication is delivered gets it once; nobody else does. Who
joins while something is noted is *late* for so much of it, and gets the rest apart from the wave. Who leaves
is given at once what he is still owed. Both need no sealing, so a storm of them costs no copies. The order
for each receiver is that of the deliveries.
"""

import asyncio
import logging
import sys
from collections import deque
from typing import Any

from hubbub.hub.transport import Encoding, Transport
from hubbub.protocol.publication import Payload, Publication

_log = logging.getLogger("hubbub")

_Receivers = dict[Encoding, dict[Transport, None]]
"""Receivers by what they are written, in the order they came."""


class _Room:
    """The local receivers of one channel, and what is on its way to them."""

    __slots__ = ("late", "noted", "receivers", "wave")

    def __init__(self) -> None:
        self.receivers: _Receivers = {}
        self.noted: list[Payload] = []
        self.late: dict[Transport, int] = {}
        """How many of the noted payloads are not for a receiver, since it came after them."""
        self.wave: _Wave | None = None

    def __contains__(self, receiver: Transport) -> bool:
        return receiver in self.receivers.get(receiver.encoding, ())

    def __len__(self) -> int:
        return sum(map(len, self.receivers.values()))

    def push_noted(self, receiver: Transport) -> None:
        """Pushes what is noted for one receiver, apart from the wave."""
        payloads = self.noted[self.late.get(receiver, 0) :]
        if payloads:
            encoding = receiver.encoding
            try:
                batch = encoding.join(payloads)
            except Exception:
                _log.exception("a publication could not be encoded; it is dropped")
                return
            encoding.push_all(batch, (receiver,))

    def seal(self) -> "_Wave":
        """Turns what is noted into the room's wave."""
        for receiver in tuple(self.late):
            if receiver in self.late:  # else a push made it leave
                self.push_noted(receiver)
        wave = self.wave = _Wave(self, self.noted)
        self.noted = []
        self.late = {}
        return wave


class _Wave:
    """Payloads on their way to the receivers that are still owed them."""

    __slots__ = ("_batches", "_payloads", "owed", "room")

    def __init__(self, room: _Room, payloads: list[Payload]) -> None:
        self.room = room
        self._payloads = payloads
        self._batches: dict[Encoding, Any] = {}
        self.owed: _Receivers = {encoding: receivers.copy() for encoding, receivers in room.receivers.items()}
        for receiver in room.late:
            group = self.owed[receiver.encoding]
            del group[receiver]
            if not group:
                del self.owed[receiver.encoding]

    def push(self, limit: int) -> int:
        """Pushes to at most ``limit`` receivers; returns how many that were."""
        pushed = 0
        while self.owed and pushed < limit:
            encoding, owed = next(iter(self.owed.items()))
            if len(owed) <= limit - pushed:
                receivers = list(owed)
                del self.owed[encoding]
            else:
                receivers = [owed.popitem()[0] for _ in range(limit - pushed)]
            pushed += len(receivers)
            encoding.push_all(self._batch(encoding), receivers)
        return pushed

    def push_to(self, receiver: Transport) -> None:
        """Pushes to one receiver, out of turn, if it is still owed the wave."""
        encoding = receiver.encoding
        owed = self.owed.get(encoding, {})
        if receiver in owed:
            del owed[receiver]
            encoding.push_all(self._batch(encoding), (receiver,))

    def _batch(self, encoding: Encoding) -> Any:
        batch = self._batches.get(encoding)
        if batch is None:
            batch = self._batches[encoding] = encoding.join(self._payloads)
        return batch


class Fanout:
    """The rooms of this process and what is under way to them. Used from one event loop alone."""

    def __init__(self, slice_size: int) -> None:
        self._slice = slice_size
        self._rooms: dict[str, _Room] = {}
        self._noted: list[_Room] = []
        self._waves: deque[_Wave] = deque()
        self._scheduled = False

    def join(self, channel: str, receiver: Transport) -> bool:
        """Adds a receiver; True if it is the only one of its channel here. Joining twice is joining once."""
        room = self._rooms.get(channel)
        if room is None:
            room = self._rooms[channel] = _Room()
        group = room.receivers.setdefault(receiver.encoding, {})
        if receiver not in group:
            group[receiver] = None
            if room.noted:
                room.late[receiver] = len(room.noted)
        return len(room) == 1

    def leave(self, channel: str, receiver: Transport) -> bool:
        """Removes a receiver, after giving it what it is still owed; True if it was the last here."""
        room = self._rooms.get(channel)
        if room is None or receiver not in room:
            return False
        group = room.receivers[receiver.encoding]
        del group[receiver]
        if not group:
            del room.receivers[receiver.encoding]
        if room.wave is not None:
            room.wave.push_to(receiver)
        room.push_noted(receiver)
        room.late.pop(receiver, None)
        # A push may have made others leave, the last of them too.
        if room.receivers or self._rooms.get(channel) is not room:
            return False
        del self._rooms[channel]
        return True

    def deliver(self, channel: str, publication: Publication) -> None:
        """Sends to every receiver that is in the channel now. Returns at once and never raises."""
        room = self._rooms.get(channel)
        if room is None:
            return
        if not room.noted:
            self._noted.append(room)
            if not self._scheduled:
                self._scheduled = True
                asyncio.get_running_loop().call_soon(self._work)
        room.noted.append(publication.data)

    def receivers(self, channel: str) -> int:
        """How many receivers the channel has here."""
        room = self._rooms.get(channel)
        return len(room) if room is not None else 0

    def flush(self) -> None:
        """Works off everything that is noted or under way, without slices: for the end."""
        while self._waves or self._noted:
            self._turn(sys.maxsize)

    def _work(self) -> None:
        self._turn(self._slice)
        if self._waves or self._noted:
            asyncio.get_running_loop().call_soon(self._work)
        else:
            self._scheduled = False

    def _turn(self, budget: int) -> None:
        rooms, self._noted = self._noted, []
        for room in rooms:
            if room.wave is None:
                self._waves.append(room.seal())
            else:
                self._noted.append(room)
        while self._waves and budget > 0:
            wave = self._waves[0]
            try:
                budget -= wave.push(budget)
            except Exception:
                # What cannot be encoded is nobody's but the broker's that let it through.
                _log.exception("a publication could not be encoded; it is dropped")
                wave.owed = {}
            if not wave.owed:
                self._waves.popleft()
                wave.room.wave = None
