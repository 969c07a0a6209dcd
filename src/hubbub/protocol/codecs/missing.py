"""What stands for the Protobuf encoding where its library is not installed: its sessions end, and the log says why."""

import functools
import logging
from collections.abc import Iterator, Sequence
from typing import NoReturn

from msgspec import Raw

from hubbub.protocol.codecs.base import Codec
from hubbub.protocol.commands import Command, EmulationRequest
from hubbub.protocol.events import Reply
from hubbub.protocol.publication import Payload

_log = logging.getLogger("hubbub")


class MissingCodec(Codec):
    """Takes every message for a wrong one, so that a client is told not to come back (3501, or HTTP 400)."""

    name = "protobuf"
    binary = True
    ping = b""

    def split(self, data: Payload) -> Iterator[Payload]:
        _refuse()

    def decode(self, command: Payload) -> Command:
        _refuse()

    def decode_emulation(self, data: bytes) -> EmulationRequest:
        _refuse()

    def encode(self, reply: Reply) -> Payload:
        _refuse()

    def join(self, replies: Sequence[Payload]) -> Payload:
        _refuse()

    def data(self, payload: Payload) -> Raw:
        _refuse()

    def payload(self, data: Raw) -> Payload:
        _refuse()

    def embed(self, data: bytes) -> Raw | None:
        _refuse()


def _refuse() -> NoReturn:
    _warn()
    raise ValueError("Protobuf is not spoken here; use JSON")


@functools.cache
def _warn() -> None:
    _log.warning(
        "a client that speaks Protobuf was refused, since protobuf 6.31 or newer is not installed: pip install "
        '"hubbub[protobuf]". Clients that speak JSON are served. (This is said once.)'
    )


MISSING = MissingCodec()
