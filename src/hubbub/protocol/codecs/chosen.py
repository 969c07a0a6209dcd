"""The Protobuf encoding, if its library is installed and new enough."""

from hubbub.protocol.codecs.base import Codec

PROTOBUF: Codec
try:
    from hubbub.protocol.codecs.protobuf import PROTOBUF as INSTALLED
except (ImportError, AttributeError):  # the latter: is_repeated is new in protobuf 6.31
    from hubbub.protocol.codecs.missing import MISSING

    PROTOBUF = MISSING
else:
    PROTOBUF = INSTALLED
