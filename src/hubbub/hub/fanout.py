"""Fan-out: one publication, many receivers, and no receiver that can matter to another.

Theory of operation. ``deliver`` only notes the publication in its room and returns. Once in each iteration
of the event loop what was noted is *sealed* into a wave: the payloads, and the receivers that were in the
room. A wave is encoded once for each encoding among its receivers, as one batch for all its payloads, and
pushed to each of them once; so 64 publications to 1,000 receivers are 1,000 writes, not 64,000. Waves are
worked off in slices, so that the event loop gets its turn inside a large fan-out.

Exactness. Everyone who was in the room when a publication was delivered gets it once; nobody else does. So
``join`` and ``leave`` seal first what is noted, and who leaves is given at once the waves that still owe him.
Per room, waves are worked off in the order of their sealing, which keeps the offset order for each receiver.
"""

import asyncio
import sys
from collections import deque
from typing import Any

from hubbub.hub.transport import Encoding, Transport
from hubbub.protocol.publication import Payload, Publication

_Receivers = dict[Encoding, dict[Transport, None]]
"""Receivers by what they are written, in the order they came."""


class _Room:
    """The local receivers of one channel, and what is on its way to them."""

    __slots__ = ("noted", "receivers", "waves")

    def __init__(self) -> None:
        self.receivers: _Receivers = {}
        self.noted: list[Payload] = []
        self.waves: deque[_Wave] = deque()

    def __contains__(self, receiver: Transport) -> bool:
        return receiver in self.receivers.get(receiver.encoding, ())

    def __len__(self) -> int:
        return sum(map(len, self.receivers.values()))


class _Wave:
    """Payloads on their way to the receivers that are still owed them."""

    __slots__ = ("_batches", "_payloads", "owed", "room")

    def __init__(self, room: _Room, payloads: list[Payload]) -> None:
        self.room = room
        self._payloads = payloads
        self._batches: dict[Encoding, Any] = {}
        self.owed: _Receivers = {encoding: receivers.copy() for encoding, receivers in room.receivers.items()}

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
        """Adds a receiver; True if it is the first of its channel here."""
        room = self._rooms.get(channel)
        if room is None:
            room = self._rooms[channel] = _Room()
        elif room.noted:
            self._seal(room)
        room.receivers.setdefault(receiver.encoding, {})[receiver] = None
        return len(room) == 1

    def leave(self, channel: str, receiver: Transport) -> bool:
        """Removes a receiver, after giving it what it is still owed; True if it was the last here."""
        room = self._rooms.get(channel)
        if room is None or receiver not in room:
            return False
        if room.noted:
            self._seal(room)
        group = room.receivers[receiver.encoding]
        del group[receiver]
        if not group:
            del room.receivers[receiver.encoding]
        for wave in tuple(room.waves):
            wave.push_to(receiver)
        # A push may make others leave: then the last of them was told so.
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
        for room in tuple(self._noted):
            self._seal(room)
        self._noted.clear()
        while self._waves:
            wave = self._waves.popleft()
            wave.room.waves.popleft()
            wave.push(sys.maxsize)

    def _seal(self, room: _Room) -> None:
        if room.noted:
            wave = _Wave(room, room.noted)
            room.noted = []
            room.waves.append(wave)
            self._waves.append(wave)

    def _work(self) -> None:
        for room in self._noted:
            self._seal(room)
        self._noted.clear()
        budget = self._slice
        waves = self._waves
        while waves and budget > 0:
            wave = waves[0]
            budget -= wave.push(budget)
            if not wave.owed:
                # A push may have made receivers leave; the wave is still the first of both queues.
                waves.popleft()
                wave.room.waves.popleft()
        if waves or self._noted:
            asyncio.get_running_loop().call_soon(self._work)
        else:
            self._scheduled = False
