"""The contract of encodings."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

from msgspec import Raw

from hubbub.protocol.commands import Command, EmulationRequest
from hubbub.protocol.events import ClientInfo, Publication, Reply
from hubbub.protocol.publication import NO_TAGS, Member, Payload
from hubbub.protocol.publication import Publication as Published
from hubbub.protocol.schema import NOTHING

_LONGEST_PONG = 32
"""Bytes; SDKs send 2 in JSON and none in Protobuf."""


class Codec(ABC):
    """Turns commands and replies into what is on the wire, and back. Stateless, so one serves all sessions."""

    name: ClassVar[str]
    binary: ClassVar[bool]
    """Whether data may be any bytes, and not only JSON."""
    ping: Payload
    """An empty reply."""

    @abstractmethod
    def split(self, data: Payload) -> Iterator[Payload]:
        """The commands in one message of a transport, at least one, each as it came.

        None is looked into, and the next is looked for when it is asked for: a command can take many times its
        size in memory and a long time to decode, so that waits until its turn.

        Raises:
            ValueError: the rest of the message is no command.
        """

    def is_pong(self, command: Payload) -> bool:
        """Whether a command that ``split`` gave is a pong. Only short ones are looked into, as all of SDKs are."""
        if len(command) > _LONGEST_PONG:
            return False
        try:
            return self.decode(command).is_pong
        except ValueError:
            return False

    @abstractmethod
    def decode(self, command: Payload) -> Command:
        """One command that ``split`` gave. Of several requests in it, only the one that counts is sure to be read.

        Raises:
            ValueError: it is no command.
        """

    @abstractmethod
    def decode_emulation(self, data: bytes) -> EmulationRequest:
        """A request of ``POST /emulation``; its ``data`` is what ``split`` takes.

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
        """Who is in a channel, as a message. Info that this encoding cannot carry is left out: it may be another's."""
        return ClientInfo(member.user, member.client, self._info(member.info), self._info(member.channel_info))

    def _info(self, info: Payload | None) -> Raw:
        return NOTHING if info is None or (isinstance(info, bytes) and not self.binary) else self.data(info)

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
