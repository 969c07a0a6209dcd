"""Fan-out: one publication, many receivers, and no receiver that can matter to another.

Theory of operation. ``deliver`` only notes the event in its room and returns. In the next iteration of
the event loop what is noted is *sealed* into a wave: the events, and the receivers that are owed them. A
wave is encoded once for each encoding among its receivers, as one batch for all its events, and pushed to
each of them once; so 64 publications to 1,000 receivers are 1,000 writes, not 64,000. Waves are worked off in
slices, so that the event loop gets its turn inside a large fan-out; meanwhile a room notes on, and its next
wave is sealed when this one has ended. So a room has one wave at most, and a large room coalesces more. A slice
is so much work: that of encoding counts too, or receivers with a filter each would be one endless slice.

Exactness. Everyone who is in the room when a publication is delivered gets it once; nobody else does. Who
joins while something is noted is *late* for so much of it, and gets the rest apart from the wave. Who leaves
is given at once what he is still owed. Both need no sealing, so a storm of them costs no copies. The order
for each receiver is that of the deliveries.

Positions. Publications with an offset follow one another, in the room; one that does not tells of a loss. A
receiver that has read the history may be *ahead* of the room: it is not given again what it has, and for it the
next is what follows its own position, up to the moment when the room has come there too.
"""

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any

from hubbub.errors import Disconnect, InsufficientState
from hubbub.hub.encodings import Ahead, Encoding
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Event, Publication

_log = logging.getLogger("hubbub")

Receiver = Any
"""What an encoding can push to: a transport for nearly all of them."""

_Receivers = dict[Encoding, dict[Receiver, None]]
"""Receivers by what they are written, in the order they came."""

OnGap = Callable[[str, Collection[Receiver]], None]
"""Told of a channel and those of its receivers for whom the next publication does not follow the one before."""


def _take(receivers: _Receivers, encoding: Encoding, receiver: Receiver) -> None:
    """Takes a receiver out, and its encoding with the last."""
    group = receivers[encoding]
    del group[receiver]
    if not group:
        del receivers[encoding]


class _Room:
    """The local receivers of one channel, and what is on its way to them."""

    __slots__ = ("channel", "encodings", "epoch", "last", "late", "noted", "receivers", "top", "wave")

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.encodings: dict[Receiver, Encoding] = {}
        """How each receiver is written to: with filters, there may be as many ways as receivers."""
        self.receivers: _Receivers = {}
        self.noted: list[Event] = []
        self.late: dict[Receiver, int] = {}
        """How many of the noted events are not for a receiver, since it came after them."""
        self.wave: _Wave | None = None
        self.top = 0
        """The offset of the newest publication that came here, in ``epoch``."""
        self.epoch = ""
        self.last: Publication | None = None
        """The newest publication that was sealed, where a receiver needs it."""

    def __len__(self) -> int:
        return len(self.encodings)

    def add(self, receiver: Receiver, encoding: Encoding) -> None:
        self.encodings[receiver] = encoding
        self.receivers.setdefault(encoding, {})[receiver] = None

    def remove(self, receiver: Receiver) -> Encoding | None:
        """Returns how it was written to; None if it is not here."""
        encoding = self.encodings.pop(receiver, None)
        if encoding is not None:
            _take(self.receivers, encoding, receiver)
        return encoding

    def change(self, receiver: Receiver, encoding: Encoding, other: Encoding) -> None:
        """Writes to a receiver in another way, unless it has left or is written to otherwise meanwhile."""
        if other is not encoding and self.encodings.get(receiver) == encoding:
            self.remove(receiver)
            self.add(receiver, other)

    def has_reached(self, position: Position) -> bool:
        """Whether all up to a position has come here."""
        return self.epoch == position.epoch and self.top >= position.offset

    def losers(self, publication: Publication) -> list[Receiver]:
        """The receivers for whom there is something missing before ``publication``."""
        offset, epoch = publication.offset, publication.epoch
        follows = not self.top or (epoch == self.epoch and offset == self.top + 1)
        losers: list[Receiver] = []
        for encoding, receivers in self.receivers.items():
            own = encoding.position
            if own is None or self.has_reached(own):
                if not follows:
                    losers += receivers
            elif epoch != own.epoch or offset > own.offset + 1:
                losers += receivers
        return losers

    def push_noted(self, receiver: Receiver, encoding: Encoding) -> None:
        """Pushes what is noted for one receiver, apart from the wave."""
        after = self.late.get(receiver, 0)
        events = self.noted[after:]
        if events:
            push(encoding, encode(encoding, self.channel, events, self.before(after)), (receiver,))

    def before(self, number: int) -> Publication | None:
        """The publication before the one that was noted as this number."""
        return next((event for event in reversed(self.noted[:number]) if type(event) is Publication), self.last)

    def seal(self) -> "_Wave":
        """Turns what is noted into the room's wave."""
        for receiver, after in tuple(self.late.items()):
            encoding = self.encodings.get(receiver)
            if encoding is not None and receiver in self.late:  # else a push made it leave
                self.push_noted(receiver, encoding)
                self.change(receiver, encoding, encoding.after(self.noted[after:]))
        wave = self.wave = _Wave(self, self.noted)
        for encoding, receivers in wave.owed.items():
            other = encoding.after(self.noted)
            if other is not encoding:
                for receiver in receivers:
                    self.change(receiver, encoding, other)
        needed = any(encoding.needs_before for encoding in self.receivers)
        self.last = self.before(len(self.noted)) if needed else None
        self.noted = []
        self.late = {}
        return wave


class _Wave:
    """Events on their way to the receivers that are still owed them."""

    __slots__ = ("_batches", "_before", "_events", "owed", "room")

    def __init__(self, room: _Room, events: list[Event]) -> None:
        self.room = room
        self._events = events
        self._before = room.last
        self._batches: dict[Encoding, Any] = {}
        self.owed: _Receivers = {encoding: receivers.copy() for encoding, receivers in room.receivers.items()}
        for receiver in room.late:  # who leaves is late no more
            _take(self.owed, room.encodings[receiver], receiver)

    def push(self, limit: int) -> int:
        """Pushes until ``limit`` is spent, to one receiver at least; returns what was spent.

        A push costs 1, and a new batch what its encoding says.
        """
        spent = 0
        while self.owed and spent < limit:
            encoding, owed = next(iter(self.owed.items()))
            if encoding not in self._batches:
                spent += encoding.cost * len(self._events)
            batch = self._batch(encoding)
            most = max(limit - spent, 1)
            if len(owed) <= most:
                receivers = list(owed)
                del self.owed[encoding], self._batches[encoding]
            else:
                receivers = [owed.popitem()[0] for _ in range(most)]
            spent += len(receivers)
            push(encoding, batch, receivers)
        return spent

    def push_to(self, receiver: Receiver) -> None:
        """Pushes to one receiver, out of turn, if it is still owed the wave."""
        for encoding, owed in self.owed.items():
            if receiver in owed:
                batch = self._batch(encoding)
                _take(self.owed, encoding, receiver)
                if not owed:
                    del self._batches[encoding]
                push(encoding, batch, (receiver,))
                return

    def _batch(self, encoding: Encoding) -> Any:
        if encoding not in self._batches:
            self._batches[encoding] = encode(encoding, self.room.channel, self._events, self._before)
        return self._batches[encoding]


def encode(encoding: Encoding, channel: str, events: Sequence[Event], before: Publication | None) -> Any:
    """A batch; or the ``Disconnect`` that these receivers must get instead; or None, where there is nothing."""
    try:
        return encoding.join(channel, events, before)
    except Disconnect as fault:
        return fault
    except Exception:
        # What cannot be encoded is nobody's but the broker's that let it through.
        _log.exception("a publication could not be encoded; it is dropped")
        return None


def push(encoding: Encoding, batch: Any, receivers: Sequence[Receiver]) -> None:
    """Pushes what ``encode`` gave."""
    if isinstance(batch, Disconnect):
        for receiver in receivers:
            receiver.give_up(batch)
    elif batch is not None:
        encoding.push_all(batch, receivers)


class Fanout:
    """The rooms of this process and what is under way to them. Used from one event loop alone."""

    def __init__(self, slice_size: int, on_gap: OnGap) -> None:
        self._slice = slice_size
        self._on_gap = on_gap
        self._rooms: dict[str, _Room] = {}
        self._noted: list[_Room] = []
        self._waves: deque[_Wave] = deque()
        self._scheduled = False

    def join(self, channel: str, receiver: Receiver, encoding: Encoding) -> bool:
        """Adds a receiver; True if it is the only one of its channel here. Joining twice is joining once."""
        room = self._rooms.get(channel)
        if room is None:
            room = self._rooms[channel] = _Room(channel)
        if receiver not in room.encodings:
            room.add(receiver, encoding)
            if room.noted:
                room.late[receiver] = len(room.noted)
        return len(room) == 1

    def change(self, channel: str, receiver: Receiver, encoding: Encoding, position: Position | None = None) -> None:
        """Writes to a receiver that is there in another way from now on.

        Args:
            position: where it stands, if it is to be told of a loss: it has all up to there.

        Raises:
            InsufficientState: more than that has come here already.
        """
        room = self._rooms[channel]
        before = room.encodings[receiver]
        if position is not None and not room.has_reached(position):
            encoding = Ahead(encoding, position)
        elif position is not None and room.top > position.offset:
            raise InsufficientState
        room.change(receiver, before, encoding)

    def settle(self, channel: str, receiver: Receiver) -> Position | None:
        """Gives a receiver at once what it is still owed, and says where it stands then; None if that is not known."""
        room = self._rooms.get(channel)
        if room is None or receiver not in room.encodings:
            return None
        if room.wave is not None:
            room.wave.push_to(receiver)
        encoding = room.encodings.get(receiver)
        if encoding is None:  # the push made it leave
            return None
        after = room.late.get(receiver, 0)
        room.push_noted(receiver, encoding)
        room.change(receiver, encoding, encoding.after(room.noted[after:]))
        if room.noted and receiver in room.encodings:
            room.late[receiver] = len(room.noted)
        own = encoding.position
        if own is not None and not room.has_reached(own):
            return own
        return Position(room.top, room.epoch) if room.top else None

    def leave(self, channel: str, receiver: Receiver) -> bool:
        """Removes a receiver, after giving it what it is still owed; True if it was the last here."""
        room = self._rooms.get(channel)
        if room is None or (encoding := room.remove(receiver)) is None:
            return False
        if room.wave is not None:
            room.wave.push_to(receiver)
        room.push_noted(receiver, encoding)
        room.late.pop(receiver, None)
        # A push may have made others leave, the last of them too.
        if room.receivers or self._rooms.get(channel) is not room:
            return False
        del self._rooms[channel]
        return True

    def deliver(self, channel: str, event: Event) -> None:
        """Sends to every receiver that is in the channel now. Returns at once and never raises.

        A publication that came before is dropped. Those for whom one does not follow are told of to ``on_gap``
        before it is sent to anybody.
        """
        room = self._rooms.get(channel)
        if room is None:
            return
        if type(event) is Publication and event.offset:
            if event.epoch == room.epoch and event.offset <= room.top:
                return
            losers = room.losers(event)
            if losers:
                self._on_gap(channel, losers)
            room.top = event.offset
            room.epoch = event.epoch
        if not room.noted:
            self._noted.append(room)
            if not self._scheduled:
                self._scheduled = True
                asyncio.get_running_loop().call_soon(self._work)
        room.noted.append(event)

    def receivers(self, channel: str) -> int:
        """How many receivers the channel has here."""
        room = self._rooms.get(channel)
        return len(room) if room is not None else 0

    def has_room_for(self, channel: str, encoding: Encoding, most: int) -> bool:
        """Whether a receiver may be written to in this way, where those of a channel may be in so many ways."""
        room = self._rooms.get(channel)
        if room is None or len(room.receivers) < most:
            return True
        return any(encoding == other.lasting for other in room.receivers)

    def channels(self) -> dict[str, int]:
        """The channels that have receivers here, and how many."""
        return {channel: len(room) for channel, room in self._rooms.items()}

    def follows(self, channel: str, position: Position) -> bool:
        """Whether the publication at this position is the one that the next delta here will be made against."""
        room = self._rooms.get(channel)
        if room is None:
            return False
        last = room.before(len(room.noted))
        return last is not None and 0 < last.offset == position.offset and last.epoch == position.epoch

    def flush(self) -> None:
        """Works off everything that is noted or under way, without slices: for the end."""
        while self._waves or self._noted:
            self._turn(sys.maxsize)

    def _work(self) -> None:
        try:
            self._turn(self._slice)
        finally:  # whatever one receiver does, the others are still owed the rest
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
            budget -= wave.push(budget)
            if not wave.owed:
                self._waves.popleft()
                wave.room.wave = None
