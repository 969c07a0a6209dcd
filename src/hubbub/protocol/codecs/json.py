"""JSON: a message of a transport is replies or commands, one on a line; data is embedded as it is."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from hubbub.errors import WrongProtocol
from hubbub.protocol.codecs.base import Codec
from hubbub.protocol.commands import Command, ConnectRequest, EmulationRequest
from hubbub.protocol.events import Reply
from hubbub.protocol.publication import Json, Payload, one_line
from hubbub.protocol.schema import NOTHING

_commands = msgspec.json.Decoder(Command)
_emulation = msgspec.json.Decoder(EmulationRequest)
_connect = msgspec.json.Decoder(ConnectRequest)
_text = msgspec.json.Decoder(str)
_encode = msgspec.json.Encoder().encode


class JsonCodec(Codec):
    """The JSON encoding. Data is never read and written anew, so that numbers and keys stay what they were."""

    name = "json"
    ping = "{}"

    def decode(self, data: Payload) -> list[Command]:
        text = data.decode() if isinstance(data, bytes) else data
        lines = text.removesuffix("\n").split("\n")
        try:
            return [_commands.decode(line) for line in lines]
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def decode_emulation(self, data: bytes) -> EmulationRequest:
        try:
            request = _emulation.decode(data)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        request.data = Raw(_text.decode(request.data).encode())
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
        return one_line(bytes(data).decode())


class UnidirectionalCodec(JsonCodec):
    """As JSON, for transports that only push: neither a push nor the one request, connect, is wrapped."""

    def decode(self, data: Payload) -> list[Command]:
        try:
            return [Command(1, connect=_connect.decode(data))]
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def encode(self, reply: Reply) -> str:
        return _encode(reply if reply.push is None else reply.push).decode()


JSON = JsonCodec()
UNIDIRECTIONAL = UnidirectionalCodec()
