"""The encodings of the Centrifuge protocol: one tree of messages, as JSON or as Protobuf."""

from hubbub.protocol.codecs.base import Codec
from hubbub.protocol.codecs.chosen import PROTOBUF
from hubbub.protocol.codecs.json import JSON, UNIDIRECTIONAL

__all__ = ["JSON", "PROTOBUF", "UNIDIRECTIONAL", "Codec"]
