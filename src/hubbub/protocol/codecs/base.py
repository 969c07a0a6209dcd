"""The contract of encodings."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar

from msgspec import Raw

from hubbub.protocol.commands import Command, EmulationRequest
from hubbub.protocol.events import ClientInfo, Publication, Reply
from hubbub.protocol.publication import NO_TAGS, Member, Payload
from hubbub.protocol.publication import Publication as Published
from hubbub.protocol.schema import NOTHING


class Codec(ABC):
    """Turns commands and replies into what is on the wire, and back. Stateless, so one serves all sessions."""

    name: ClassVar[str]
    ping: Payload
    """An empty reply."""

    @abstractmethod
    def decode(self, data: Payload) -> Iterable[Command]:
        """The commands in one message of a transport, at least one.

        Raises:
            ValueError: it holds anything else; here, or while the commands are iterated, after those before it.
        """

    @abstractmethod
    def decode_emulation(self, data: bytes) -> EmulationRequest:
        """A request of ``POST /emulation``; its ``data`` is what ``decode`` takes.

        Raises:
            ValueError: it is none.
        """

    @abstractmethod
    def encode(self, reply: Reply) -> Payload:
        """One reply, alone."""

    @abstractmethod
    def join(self, replies: Sequence[Payload]) -> Payload:
        """Encoded replies as one message of a transport."""

    @abstractmethod
    def data(self, payload: Payload) -> Raw:
        """What is published, as a field of a message.

        Raises:
            WrongProtocol: this encoding cannot carry it.
        """

    @abstractmethod
    def payload(self, data: Raw) -> Payload:
        """What a field of a command holds, as it is published.

        Raises:
            ValueError: it is not what the encoding promises.
        """

    @abstractmethod
    def embed(self, data: bytes) -> Raw | None:
        """Payload or delta for a subscription that takes deltas; None where this encoding cannot carry it.

        No data is the JSON value null, where it has to be JSON: clients read it as such.
        """

    def info(self, member: Member) -> ClientInfo:
        """Who is in a channel, as a message."""
        return ClientInfo(
            member.user,
            member.client,
            NOTHING if member.info is None else self.data(member.info),
            NOTHING if member.channel_info is None else self.data(member.channel_info),
        )

    def publication(self, published: Published) -> Publication:
        """A publication as a message."""
        return Publication(
            data=NOTHING if published.removed and not published.data else self.data(published.data),
            info=None if published.publisher is None else self.info(published.publisher),
            offset=published.offset,
            tags={} if published.tags is NO_TAGS else dict(published.tags),
            key=published.key,
            removed=published.removed,
            epoch=published.epoch if published.offset == 1 else "",  # for those who came before there was an epoch
            version=published.version,
        )
