"""permessage-deflate (RFC 7692) without context takeover: compress a message once, send it to all.

Theory of operation. With context takeover every connection owns a compressor whose window depends on
all that was sent before, so a broadcast is compressed once per receiver and a connection holds
hundreds of kilobytes. Without it, in both directions, a compressed message is the same bytes for all
receivers with equal settings and an idle connection holds nothing. The price is the ratio: a message
cannot refer to the one before it.

A fresh compressor per message is dear only because of its size: zlib's defaults take 268 KB, which the
allocator fetches from the kernel and gives back each time. No match reaches further back than the
message is long, so the window is cut to the message: 256 bytes then cost a steady 5 µs instead of
5 to 60 µs, as the allocator happens to fare, with the same output.
"""

import re
import zlib
from dataclasses import dataclass

LEAST_WORTH_COMPRESSING = 128
"""Bytes. A lone JSON message of 64 bytes loses 4 of them and one of 128 bytes loses 28, for 4 µs here and
2 µs at each receiver; the 40 bytes of its TCP and IP headers stay."""

_LEVEL = 4  # within 4 % of level 6 up to 16 KB in two thirds of its time; a third of the time at 64 KB

_LOOKAHEAD = 262  # zlib's matches reach back so many bytes less than its window is wide

_SYNC_TAIL = b"\x00\x00\xff\xff"  # taken off by the sender, put back by the receiver (RFC 7692 7.2.1, 7.2.2)
# After a complete message one final empty block must end the stream; if it does not, bytes are missing.
_END_PROOF = _SYNC_TAIL + b"\x03\x00"
# A sender may use a final block of its own (RFC 7692 7.2.3.4), with or without the empty block after it.
_UNUSED_AFTER_END = frozenset((b"", _END_PROOF, b"\x00" + _END_PROOF))


@dataclass(frozen=True, slots=True)
class Deflate:
    """Compresses and decompresses whole messages; equal settings give equal bytes.

    Stateless, hence shared by connections and threads, and a key to group receivers by.
    """

    window_bits: int = 15
    """The largest window (base-2 logarithm, 9 to 15) that the receiver has room for."""

    def compress(self, payload: bytes) -> bytes | None:
        """The payload of a compressed frame, or None where the plain payload is the better one to send."""
        size = len(payload)
        if size < LEAST_WORTH_COMPRESSING:
            return None
        window_bits = min(max((size + _LOOKAHEAD - 1).bit_length(), 9), self.window_bits)
        compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -window_bits, min(window_bits - 6, 8))
        squeezed = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
        return squeezed[:-4] if len(squeezed) - 4 < size else None

    def decompress(self, data: bytes | bytearray, max_size: int) -> bytes:
        """The message in `data`, the joined payloads of its frames.

        Inflates at most `max_size + 1` bytes: a longer result than `max_size` says that the message is
        over the limit, whatever else it holds.

        Raises:
            ValueError: the data is corrupt, or ends early in a way that shows.
        """
        if not data:  # should be one zero byte (RFC 7692 7.2.3.6), but nothing is unambiguous
            return b""
        # The client compresses with a window of its own choice: the largest one inflates them all.
        decompressor = zlib.decompressobj(-15)
        try:
            message = decompressor.decompress(data + _END_PROOF, max_size + 1)
        except zlib.error as error:
            raise ValueError(str(error)) from error
        complete = decompressor.eof and decompressor.unused_data in _UNUSED_AFTER_END
        if not complete and len(message) <= max_size:
            raise ValueError("the compressed data does not end where the message does")
        return message

    def bound(self, size: int) -> int:
        """The most bytes a message of `size` bytes can take compressed, by any sender's zlib settings."""
        return size + (size >> 3) + (size >> 6) + 64


_SHARED = {bits: Deflate(bits) for bits in range(9, 16)}

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# Possessive, and an open quote runs to the end: a hostile header is read once, never again and again.
_OFFERS = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.?)*+"?)++', re.DOTALL)
_NAME = re.compile(rf"[ \t]*({_WORD})[ \t]*")
_PARAMETER = re.compile(rf';[ \t]*({_WORD})[ \t]*(?:=[ \t]*(?:({_WORD})|"((?:[^"\\]|\\.)*+)")[ \t]*)?', re.DOTALL)
_FLAGS = ("server_no_context_takeover", "client_no_context_takeover")
_WINDOW_BITS = {str(bits): bits for bits in range(8, 16)}  # decimal without leading zeroes


def negotiate(header_values: list[str]) -> tuple[str, Deflate] | None:
    """The answer to the client's `Sec-WebSocket-Extensions` headers, and the settings it establishes.

    Accepts the first acceptable offer. None, and no answer, where there is none: a handshake never
    fails because of an extension (RFC 7692 5.1, 7.1).
    """
    for value in header_values:
        for offer in _OFFERS.findall(value):
            parameters = _parameters(offer)
            accepted = None if parameters is None else _accept(parameters)
            if accepted is not None:
                return accepted
    return None


def _parameters(offer: str) -> dict[str, str | None] | None:
    """The parameters of one permessage-deflate offer, by the grammar of RFC 6455 9.1."""
    name = _NAME.match(offer)
    if name is None or name[1] != "permessage-deflate":
        return None
    parameters: dict[str, str | None] = {}
    at = name.end()
    while at < len(offer):
        parameter = _PARAMETER.match(offer, at)
        if parameter is None or parameter[1] in parameters:
            return None
        quoted = parameter[3]
        parameters[parameter[1]] = parameter[2] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        at = parameter.end()
    return parameters


def _accept(parameters: dict[str, str | None]) -> tuple[str, Deflate] | None:
    """The response and the settings for one offer; None declines it (RFC 7692 7.1)."""
    answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    window_bits = 15
    for name, value in parameters.items():
        if name in _FLAGS and value is None:
            continue
        if name == "client_max_window_bits" and value is None:
            continue  # the client could be told to use less; there is no need
        if name not in ("server_max_window_bits", "client_max_window_bits") or value not in _WINDOW_BITS:
            return None
        if name == "server_max_window_bits":
            window_bits = _WINDOW_BITS[value]
        answer += f"; {name}={value}"
    # zlib has no raw deflate with a window of 8 bits.
    return (answer, _SHARED[window_bits]) if window_bits in _SHARED else None
