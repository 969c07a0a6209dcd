"""What the requests of the HTTP API have in common."""

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, NamedTuple

import msgspec
from msgspec import Raw, Struct

from hubbub.channels import check_name
from hubbub.errors import InvalidRequest
from hubbub.hub.declaration import Declaration
from hubbub.hub.engine import Engine
from hubbub.protocol.publication import Payload, from_bytes, one_line

NO_DATA = Raw()
_LARGEST = 2**64 - 1


class Empty(Struct):
    """No result but success."""


class Request(Struct):
    """What a method takes. A number that its field has no room for is no request."""

    unsigned: ClassVar[tuple[str, ...]] = ()
    """The fields of type ``U64``, whose upper bound msgspec cannot check."""

    def __post_init__(self) -> None:
        for name in self.unsigned:
            if getattr(self, name) > _LARGEST:
                raise ValueError(f"{name} is beyond 64 bits")


class Content(Request):
    """Data as JSON, or in Base64."""

    data: Raw = NO_DATA
    b64data: str = ""

    def payload(self) -> Payload:
        """What is to be published.

        Raises:
            InvalidRequest: there is nothing, or it is no Base64.
        """
        if self.b64data:
            return from_bytes(decode_base64(self.b64data))
        if self.data is NO_DATA or not bytes(self.data):
            raise InvalidRequest
        return one_line(bytes(self.data).decode())


def decode_base64(text: str) -> bytes:
    """Bytes from Base64.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise InvalidRequest from None


def find(engine: Engine, channel: str) -> Declaration:
    """What is declared for a channel.

    Raises:
        InvalidRequest: it is empty, or longer than a channel's name may be.
        UnknownChannel: nothing is.
    """
    check_name(channel, engine.settings.max_channel_length)
    return engine.registry.catalogue.find(channel)[0]


class Method(NamedTuple):
    """One method: what it takes, and what it does."""

    decoder: msgspec.json.Decoder[Any]
    run: Callable[[Engine, Any], Awaitable[Any]]


def method(kind: type[Any], run: Callable[[Engine, Any], Awaitable[Any]]) -> Method:
    return Method(msgspec.json.Decoder(kind), run)
