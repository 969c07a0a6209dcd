"""JSON: a message of a transport is replies or commands, one on a line; data is embedded as it is."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec
from msgspec import Raw

from hubbub.errors import WrongProtocol
from hubbub.protocol.codecs.base import Codec
from hubbub.protocol.commands import Command, ConnectRequest, EmulationRequest
from hubbub.protocol.events import Reply
from hubbub.protocol.nulls import read
from hubbub.protocol.publication import Json, Payload, one_line
from hubbub.protocol.schema import NOTHING

PayloadT = TypeVar("PayloadT", str, bytes)

_commands = msgspec.json.Decoder(Command)
_emulation = msgspec.json.Decoder(EmulationRequest)
_connect = msgspec.json.Decoder(ConnectRequest)
_text = msgspec.json.Decoder(str)
_encode = msgspec.json.Encoder().encode


class JsonCodec(Codec):
    """The JSON encoding. Data is never read and written anew, so that numbers and keys stay what they were."""

    name = "json"
    binary = False
    ping = "{}"

    def split(self, data: Payload) -> Iterator[Payload]:
        text = data.decode() if isinstance(data, bytes) else data
        if not text.isascii():
            # What waits is bytes then: one emoji makes each character of a text take four.
            yield from _lines(text.encode(), b"\n")
        else:
            yield from _lines(text, "\n")

    def decode(self, command: Payload) -> Command:
        return read(_commands, command)

    def decode_emulation(self, data: bytes) -> EmulationRequest:
        request = read(_emulation, data)
        request.data = Raw(read(_text, bytes(request.data)).encode())
        return request

    def encode(self, reply: Reply) -> str:
        return _encode(reply).decode()

    def join(self, replies: Sequence[Payload]) -> Payload:
        return replies[0] if len(replies) == 1 else "\n".join(replies)  # type: ignore[arg-type]

    def data(self, payload: Payload) -> Raw:
        if isinstance(payload, Json):
            return Raw(payload.encode()) if payload else NOTHING
        if isinstance(payload, str):
            return Raw(_encode(payload))
        raise WrongProtocol

    def embed(self, data: bytes) -> Raw | None:
        try:
            return Raw(_encode(data.decode() or "null"))
        except UnicodeDecodeError:  # a delta may begin or end within a character
            return None

    def payload(self, data: Raw) -> Json:
        return one_line(bytes(data).decode())  # it was read as JSON, with the command


class UnidirectionalCodec(JsonCodec):
    """As JSON, for transports that only push: neither a push nor the one request, connect, is wrapped."""

    def split(self, data: Payload) -> Iterator[Payload]:
        yield data

    def decode(self, command: Payload) -> Command:
        return Command(1, connect=read(_connect, command))

    def encode(self, reply: Reply) -> str:
        return _encode(reply if reply.push is None else reply.push).decode()


def _lines(text: PayloadT, end: PayloadT) -> Iterator[PayloadT]:
    """The lines of a text, one at a time."""
    at = 0
    while (to := text.find(end, at)) >= 0:
        yield text[at:to]
        at = to + 1
    if at < len(text) or not at:
        yield text[at:]


JSON = JsonCodec()
UNIDIRECTIONAL = UnidirectionalCodec()
