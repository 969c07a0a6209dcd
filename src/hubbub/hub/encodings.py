"""How what happens in a channel becomes what its receivers are sent: made once for all of one kind."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from hubbub.hub.transport import Framing
from hubbub.protocol.codecs import Codec
from hubbub.protocol.delta import make_delta
from hubbub.protocol.events import Join, Leave, Push, Reply
from hubbub.protocol.events import Publication as PublicationMessage
from hubbub.protocol.filters import Filter
from hubbub.protocol.position import Position
from hubbub.protocol.publication import NO_DATA, Event, Payload, Presence, Publication, size_of
from hubbub.protocol.schema import NOTHING

_MESSAGE_SIZE = 32 * 1024
"""Bytes of pushes that are joined to one message of a session, since clients bound the size of a message."""


class Encoding(ABC):
    """What receivers of one kind are sent for the events of a channel. Equal ones share their batches."""

    framing: Framing
    needs_before: bool = False
    """Whether ``join`` looks at the publication before."""
    cost: int = 1
    """What making a batch costs for each event, in pushes to one receiver."""
    position: Position | None = None
    """Where these receivers stand, if they are ahead of what was delivered; see ``Ahead``."""

    @abstractmethod
    def join(self, channel: str, events: Sequence[Event], before: Publication | None) -> Any:
        """One batch for all ``events``; None where they are nothing to these receivers.

        Args:
            before: the publication of this channel before ``events``, if that is known.

        Raises:
            Disconnect: these receivers cannot be sent that, and must be disconnected.
        """

    def after(self, events: Sequence[Event]) -> "Encoding":
        """The encoding of a receiver that has got ``events`` in this one."""
        return self

    @property
    def lasting(self) -> "Encoding":
        """What it becomes when its receivers are no longer ahead of what was delivered."""
        return self

    def push_all(self, batch: Any, receivers: Iterable[Any]) -> None:
        """Pushes a batch to receivers of this encoding; what one of them raises reaches no other."""
        self.framing.push_all(batch, receivers)


class Plain(Encoding):
    """The data of publications alone: for clients of ``hub.connect``."""

    def __init__(self, framing: Framing) -> None:
        self.framing = framing

    def join(self, channel: str, events: Sequence[Event], before: Publication | None) -> Any:
        payloads = [event.data for event in events if type(event) is Publication and not event.removed]
        return self.framing.join(payloads) if payloads else None


class Pushes(Encoding):
    """Messages of the Centrifuge protocol: for sessions."""

    def __init__(self, framing: Framing, codec: Codec, *, presence: bool) -> None:
        self.framing = framing
        self.codec = codec
        self._presence = presence

    def join(self, channel: str, events: Sequence[Event], before: Publication | None) -> Any:
        messages: list[Payload] = []
        for event in events:
            if type(event) is Publication:
                push = Push(channel=channel, pub=self.publication(event, before))
                before = event
            elif type(event) is Presence and self._presence:
                info = self.codec.info(event.member)
                joined = event.joined
                push = Push(channel=channel, join=Join(info) if joined else None, leave=None if joined else Leave(info))
            else:
                continue
            messages.append(self.codec.encode(Reply(push=push)))
        return frame(self.framing, self.codec, messages) if messages else None

    def publication(self, publication: Publication, before: Publication | None) -> PublicationMessage:
        """The message for one publication."""
        return self.codec.publication(publication)


class Deltas(Pushes):
    """As ``Pushes``, where a publication may be sent as what differs from the one before (Fossil deltas).

    A receiver that has seen none starts with ``fresh``, which sends the first in full.
    """

    needs_before = True

    def __init__(self, framing: Framing, codec: Codec, *, presence: bool, fresh: bool) -> None:
        super().__init__(framing, codec, presence=presence)
        self._next: Deltas = deltas(framing, codec, presence=presence, fresh=False) if fresh else self

    def join(self, channel: str, events: Sequence[Event], before: Publication | None) -> Any:
        return super().join(channel, events, before if self._next is self else None)

    def after(self, events: Sequence[Event]) -> Encoding:
        return self._next if any(type(event) is Publication for event in events) else self

    def publication(self, publication: Publication, before: Publication | None) -> PublicationMessage:
        return delta_publication(self.codec, publication, before)


class MapDeltas(Pushes):
    """As ``Pushes``, where an entry may be sent as what differs from the one of its key before.

    Whoever subscribes has got all entries, so all have the same base.
    """

    def publication(self, publication: Publication, before: Publication | None) -> PublicationMessage:
        return delta_publication(self.codec, publication, publication.before)


class Filtered(Encoding):
    """As another encoding, for the publications whose tags match."""

    cost = 8  # of a filter as large as may be, where every comparison is made

    def __init__(self, encoding: Encoding, tags: Filter) -> None:
        self.framing = encoding.framing
        self._encoding = encoding
        self._filter = tags
        self._hash = hash((id(encoding), tags))  # once: a filter is a tree

    def join(self, channel: str, events: Sequence[Event], before: Publication | None) -> Any:
        kept: list[Event] = []
        for event in events:
            seen = self.seen(event, self._filter) if type(event) is Publication else event
            if seen is not None:
                kept.append(seen)
        return self._encoding.join(channel, kept, before) if kept else None

    def seen(self, publication: Publication, tags: Filter) -> Publication | None:
        """What these receivers get for a publication."""
        return publication if tags.matches(publication.tags) else None

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Filtered)
            and type(other) is type(self)
            and self._encoding is other._encoding
            and self._filter == other._filter
        )

    def __hash__(self) -> int:
        return self._hash


class FilteredMap(Filtered):
    """As ``Filtered``; an entry that does not match any more is removed."""

    def seen(self, publication: Publication, tags: Filter) -> Publication | None:
        if tags.matches(publication.tags):
            return publication
        before = publication.before
        return unseen(publication) if before is not None and tags.matches(before.tags) else None


class Ahead(Encoding):
    """As another encoding, for receivers that have all up to a position already, which has not all come here yet.

    A broker's deliveries may lag behind its history: what a session was answered may be delivered once more.
    """

    def __init__(self, encoding: Encoding, position: Position) -> None:
        self.framing = encoding.framing
        self.needs_before = encoding.needs_before
        self.cost = encoding.cost
        self.position: Position = position
        self._encoding = encoding

    def join(self, channel: str, events: Sequence[Event], before: Publication | None) -> Any:
        rest: list[Event] = []
        for event in events:
            if self._is_new(event):
                rest.append(event)
            elif type(event) is Publication:
                before = event
        return self._encoding.join(channel, rest, before) if rest else None

    @property
    def lasting(self) -> Encoding:
        return self._encoding

    def _is_new(self, event: Event) -> bool:
        offset, epoch = self.position
        return type(event) is not Publication or not event.offset or event.epoch != epoch or event.offset > offset

    def after(self, events: Sequence[Event]) -> Encoding:
        offset, epoch = self.position
        counted = [event for event in events if type(event) is Publication and event.offset]
        if all(event.epoch == epoch and event.offset < offset for event in counted):
            return self
        return self._encoding.after([event for event in events if self._is_new(event)])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ahead) and self._encoding == other._encoding and self.position == other.position

    def __hash__(self) -> int:
        return hash((self._encoding, self.position))


class Hold(Encoding):
    """Keeps the events themselves, for a session that is about to join and reads what it missed first."""

    def join(self, channel: str, events: Sequence[Event], before: Publication | None) -> Sequence[Event]:
        return events

    def push_all(self, batch: Any, receivers: Iterable[Any]) -> None:
        for receiver in receivers:
            receiver.extend(batch)


class Held(list[Event]):
    """What happened in a channel while a session was about to join it."""

    __slots__ = ()
    __hash__ = object.__hash__  # type: ignore[assignment]  # a receiver is itself, whatever it holds
    __eq__ = object.__eq__


HOLD = Hold()

plain = cache(Plain)
pushes = cache(Pushes)
deltas = cache(Deltas)
map_deltas = cache(MapDeltas)


def unseen(change: Publication) -> Publication:
    """What those see of a change to an entry of a map who may not see the new entry."""
    return Publication(NO_DATA, change.offset, change.epoch, key=change.key, removed=True)


def delta_publication(codec: Codec, publication: Publication, before: Publication | None) -> PublicationMessage:
    """A publication as the difference to ``before`` where that is known, allowed and shorter; else in full.

    In JSON the data is a string, either way: the text of the delta, or that of the whole payload.
    """
    message = codec.publication(publication)
    full = bytes(message.data)
    if before is not None and before.data and publication.delta:
        delta = make_delta(bytes(codec.data(before.data)), full)
        if delta is not None and (embedded := codec.embed(delta)) is not None:
            message.delta = True
            message.data = embedded
            return message
    embedded = codec.embed(full)
    message.data = NOTHING if embedded is None else embedded
    return message


def frame(framing: Framing, codec: Codec, messages: Sequence[Payload]) -> Any:
    """Encoded replies as one batch of a transport: as few messages as their size allows."""
    if len(messages) == 1:
        return framing.join(messages)
    joined: list[Payload] = []
    size = 0
    group: list[Payload] = []
    for message in messages:
        length = size_of(message)
        size += 1 + length
        if group and size > _MESSAGE_SIZE:
            joined.append(codec.join(group))
            group = []
        if not group:
            size = length
        group.append(message)
    joined.append(codec.join(group))
    return framing.join(joined)
