"""How values of the Centrifuge protocol say their Protobuf types and numbers: once, beside their JSON names.

``channel: Annotated[str, 1]`` is field 1 of type string. Integers name their wire type, and with it the range
that both encodings accept.
"""

from typing import Annotated

from msgspec import Meta, Raw, Struct

U32 = Annotated[int, Meta(ge=0, le=2**32 - 1), "uint32"]
U64 = Annotated[int, Meta(ge=0), "uint64"]  # msgspec has no larger bound; beyond 2**64 - 1 it is an unknown position
I32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1), "int32"]
I64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1), "int64"]
SINT64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1), "sint64"]

NOTHING = Raw()
"""No data at all, which is something else than the JSON value null."""


class Message(Struct, omit_defaults=True, gc=False):
    """A message of the protocol. In JSON what has its default is left out, and what has none is always there."""
