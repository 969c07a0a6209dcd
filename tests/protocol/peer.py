"""The client's side of RFC 6455 for the tests: frames as a client may, and may not, send them."""

from collections.abc import Iterable

from websockets.client import ClientProtocol
from websockets.extensions.base import Extension
from websockets.frames import Frame
from websockets.protocol import State
from websockets.uri import parse_uri

MASK = b"\x37\xfa\x21\x3d"


def client_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes = MASK,
    length: bytes | None = None,
) -> bytes:
    """One frame; `length` replaces the length field (the seven bits, then the extended length)."""
    size = len(payload)
    if length is None:
        if size < 126:
            length = bytes((size,))
        elif size < 0x10000:
            length = b"\x7e" + size.to_bytes(2, "big")
        else:
            length = b"\x7f" + size.to_bytes(8, "big")
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    masked = bytes(byte ^ mask[index & 3] for index, byte in enumerate(payload))
    return bytes((first, 0x80 | length[0])) + length[1:] + mask + masked


def message(opcode: int, payloads: Iterable[bytes], *, reserved: int = 0) -> bytes:
    """One message in as many frames as there are payloads."""
    parts = list(payloads)
    return b"".join(
        client_frame(
            0 if index else opcode,
            part,
            fin=index == len(parts) - 1,
            reserved=0 if index else reserved,
        )
        for index, part in enumerate(parts)
    )


def as_client_reads(data: bytes, extensions: list[Extension] | None = None) -> list[Frame]:
    """The frames that an independent client finds in what the server wrote."""
    client = ClientProtocol(parse_uri("ws://test/"), state=State.OPEN, max_size=None)
    client.extensions = extensions or []
    client.receive_data(data)
    assert client.parser_exc is None, client.parser_exc
    return [event for event in client.events_received() if isinstance(event, Frame)]
