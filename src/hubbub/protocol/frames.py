"""RFC 6455, the server side, without I/O: bytes in, messages out; a payload in, the bytes of a frame out.

Theory of operation. Nearly all traffic is whole small messages, so `receive_data` has two ways:

- While nothing is under way, a loop takes whole unfragmented text and binary frames of up to 64 KB:
  two slices, one unmasking and one decode per message, and no object but the message.
- Everything else goes one frame at a time through `_advance`. What has begun and not ended is kept in
  a `_Partial`, which an idle parser does not have. A header or control frame that is cut off (130 bytes
  at most) is kept as it is and read again; the payload of a data frame is unmasked, checked and
  gathered as it comes, so that each byte is handled once however the stream is cut, and invalid
  UTF-8 is noticed at the offending byte. Once ended, a parser is deaf.

Unmasking is the one job for which pure Python is too slow. `websockets` brings it in C; measured
against XOR on big integers (the fallback): 16 bytes 43 to 314 ns, 125 bytes 45 to 500 ns, 1 KB 78 ns to
1.9 µs, 64 KB 1.1 to 81 µs. A small message is then parsed in about 0.3 µs, of which unmasking and
decoding take a third and the slices another (`benchmarks/parser.py`).
"""

from codecs import utf_8_decode
from struct import pack
from typing import NamedTuple, TypeAlias

from hubbub.errors import UsageError
from hubbub.protocol.deflate import Deflate


def _xor(data: bytes | bytearray | memoryview, mask: bytes | bytearray) -> bytes:
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


try:
    from websockets.speedups import apply_mask as unmask
except ImportError:  # no wheel for this platform, and no compiler when it was installed
    unmask = _xor

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_OPCODES = frozenset((_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG))
_COMPRESSIBLE = frozenset((_TEXT, _BINARY))  # the bit is set on the first frame only (RFC 7692 6.1)
_FIN, _RSV1, _RSV2_RSV3, _CONTROL = 0x80, 0x40, 0x30, 0x08

_CLOSE_CODES = frozenset((*range(1000, 1004), *range(1007, 1015)))
_CODES_FOR_NO_CODE = frozenset((1005, 1006, 1015))

_FREE_FRAGMENTS, _LEAST_FRAGMENT = 1024, 16
"""So many fragments a message may have whatever their size; with more, they must be 16 bytes on average.

A fragment costs much the same whatever it holds, and is no message that a rate could count: a million bytes of
empty ones are 0.8 s of CPU time."""
_INFLATED_AT_ONCE = 4 * 1024 * 1024
"""Bytes that one read may be decompressed to: 256 KB of a bomb would be 200 MB, before any rate is looked at."""


class Ping(NamedTuple):
    payload: bytes


class Pong(NamedTuple):
    payload: bytes


class Close(NamedTuple):
    """The peer says goodbye; the code is 1005 if it gave none (RFC 6455 7.1.5)."""

    code: int
    reason: str


class Fault(NamedTuple):
    """The peer broke the protocol: fail the connection with this close code (RFC 6455 7.1.7)."""

    code: int
    reason: str


Event: TypeAlias = str | bytes | Ping | Pong | Close | Fault


class _Violation(Exception):
    def __init__(self, code: int, reason: str) -> None:
        self.fault = Fault(code, reason)


class _Partial:
    """What has begun and not ended."""

    __slots__ = ("buffer", "checked", "deflate", "final", "fragments", "mask", "missing", "opcode", "rest")

    def __init__(self, opcode: int, deflate: Deflate | None = None) -> None:
        self.rest = b""  # a header or control frame cut off by the end of the data
        self.opcode = opcode  # of the message under way; continuation: there is none
        self.deflate = deflate  # None: the message is not compressed
        self.buffer = bytearray()  # its payload so far, unmasked
        self.checked = 0  # so much of the buffer is whole UTF-8 characters
        self.fragments = 0
        self.final = False  # its current frame is the last one
        self.missing = 0  # bytes of the current frame that have not arrived
        self.mask = b""  # of the current frame, turned to the next byte

    def add(self, masked: bytes) -> None:
        self.buffer += unmask(masked, self.mask)
        self.missing -= len(masked)
        turn = len(masked) & 3
        self.mask = self.mask[turn:] + self.mask[:turn]
        if self.opcode == _TEXT and self.deflate is None:
            # Fails at the first byte that no valid text could have there, but for the start of a surrogate,
            # on which CPython waits for the third byte.
            tail = self.buffer[self.checked :]
            whole = utf_8_decode(tail, "strict", False)[1]
            if tail[whole : whole + 1] == b"\xed" and tail[whole + 1 :] > b"\x9f":
                raise _Violation(1007, "invalid UTF-8")
            self.checked += whole


_ENDED = _Partial(_CONTINUATION)


class FrameParser:
    """Turns the bytes of one client into messages and control events.

    `max_size` (bytes, may be changed at any time) limits a whole message: all its fragments, and what
    a compressed one inflates to. Without `deflate`, compressed frames are a fault.
    """

    __slots__ = ("_deflate", "_inflated", "_partial", "max_size")

    def __init__(self, max_size: int, deflate: Deflate | None = None) -> None:
        self.max_size = max_size
        self._deflate = deflate
        self._inflated = 0  # bytes that the data at hand was decompressed to
        self._partial: _Partial | None = None

    def receive_data(self, data: bytes) -> list[Event]:
        """The events that `data` completes: text as `str`, binary as `bytes`. Raises for no input.

        After a `Close` or `Fault`, which is always the last event, all data is ignored.
        """
        events: list[Event] = []
        if self._partial is not None:
            if self._partial is _ENDED:
                return events
            data = self._rejoin(self._partial, data)
        if self._deflate is not None:
            self._inflated = 0
        at = 0
        end = len(data)
        try:
            while at < end:
                if self._partial is None:  # hot: one turn for a message, `benchmarks/parser.py`
                    limit = self.max_size
                    while end - at > 5:
                        length = data[at + 1] - 0x80
                        body = at + 6
                        if length > 125:
                            if length == 127:
                                break
                            body = at + 8
                            length = data[at + 2] << 8 | data[at + 3]
                            if length < 126:
                                break
                        stop = body + length
                        if not body <= stop <= end or length > limit:  # unmasked; incomplete; too large
                            break
                        first = data[at]
                        if first == 0x81:
                            events.append(unmask(data[body:stop], data[body - 4 : body]).decode())
                        elif first == 0x82:
                            events.append(unmask(data[body:stop], data[body - 4 : body]))
                        else:
                            break
                        at = stop
                    if at == end:
                        break
                at = self._advance(data, at, events)
        except _Violation as violation:
            events.append(violation.fault)
            self._partial = _ENDED
        except UnicodeDecodeError:
            events.append(Fault(1007, "invalid UTF-8"))
            self._partial = _ENDED
        return events

    def _rejoin(self, partial: _Partial, data: bytes) -> bytes:
        if partial.rest:
            data = partial.rest + data
            partial.rest = b""
            if partial.opcode == _CONTINUATION:
                self._partial = None
        return data

    def _keep(self, rest: bytes) -> None:
        if self._partial is None:
            self._partial = _Partial(_CONTINUATION)
        self._partial.rest = rest

    def _advance(self, data: bytes, at: int, events: list[Event]) -> int:
        """Takes one frame, or what there is of it, and returns where to go on."""
        partial = self._partial
        if partial is not None and partial.missing:
            return self._gather(partial, data, at, events)
        end = len(data)
        header = self._header(data, at)
        if header is None:
            self._keep(data[at:])
            return end
        first, body, length = header
        stop = body + length
        mask = data[body - 4 : body]
        if first & _CONTROL:
            if stop > end:
                self._keep(data[at:])
                return end
            event = _control_event(first & 0x0F, unmask(data[body:stop], mask))
            events.append(event)
            if isinstance(event, Close):
                self._partial = _ENDED
                return end
            return stop
        if partial is None:
            opcode = first & 0x0F
            deflate = self._deflate if first & _RSV1 else None
            if first & _FIN and stop <= end:
                self._ensure_within_limit(length, deflate)
                events.append(self._message(unmask(data[body:stop], mask), opcode, deflate))
                return stop
            partial = self._partial = _Partial(opcode, deflate)
        partial.fragments += 1
        if partial.fragments > _FREE_FRAGMENTS and partial.fragments * _LEAST_FRAGMENT > len(partial.buffer):
            raise _Violation(1009, "message in too many small fragments")
        partial.final = bool(first & _FIN)
        partial.missing = length
        partial.mask = mask
        return self._gather(partial, data, body, events)

    def _header(self, data: bytes, at: int) -> tuple[int, int, int] | None:
        """First byte, position of the payload and its length (RFC 6455 5.2); None while incomplete."""
        available = len(data) - at
        if available < 2:
            return None
        first, length = data[at], data[at + 1] & 0x7F
        self._ensure_valid(first, data[at + 1])
        size = 6 if length < 126 else 8 if length == 126 else 14
        if available < size:
            return None
        body = at + size
        if length > 125:
            minimum = 126 if length == 126 else 0x10000
            length = int.from_bytes(data[at + 2 : body - 4], "big")
            if length < minimum:
                raise _Violation(1002, "length not in its shortest form")
            if length > 0x7FFF_FFFF_FFFF_FFFF:
                raise _Violation(1002, "length of more than 63 bits")
        return first, body, length

    def _ensure_valid(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        if first & _RSV2_RSV3 or (first & _RSV1 and (self._deflate is None or opcode not in _COMPRESSIBLE)):
            raise _Violation(1002, "reserved bit set")
        if opcode not in _OPCODES:
            raise _Violation(1002, f"reserved opcode {opcode}")
        if not second & 0x80:
            raise _Violation(1002, "client frame without a mask")
        if opcode & _CONTROL:
            if not first & _FIN:
                raise _Violation(1002, "fragmented control frame")
            if second & 0x7F > 125:
                raise _Violation(1002, "control frame of more than 125 bytes")
        elif (opcode == _CONTINUATION) != (self._partial is not None):
            what = "nothing to continue" if opcode == _CONTINUATION else "new message within a message"
            raise _Violation(1002, what)

    def _ensure_within_limit(self, size: int, deflate: Deflate | None) -> None:
        limit = self.max_size
        if size > limit and (deflate is None or size > deflate.bound(limit)):
            raise _Violation(1009, f"message of more than {limit} bytes")

    def _gather(self, partial: _Partial, data: bytes, at: int, events: list[Event]) -> int:
        """Takes what there is of the current frame's payload."""
        self._ensure_within_limit(len(partial.buffer) + partial.missing, partial.deflate)
        stop = min(at + partial.missing, len(data))
        partial.add(data[at:stop])
        if partial.final and not partial.missing:
            self._partial = None
            events.append(self._message(partial.buffer, partial.opcode, partial.deflate))
        return stop

    def _message(self, payload: bytes | bytearray, opcode: int, deflate: Deflate | None) -> str | bytes:
        if deflate is not None:
            try:
                payload = deflate.decompress(payload, self.max_size)
            except ValueError as error:
                raise _Violation(1007, "invalid compressed data") from error
            self._ensure_within_limit(len(payload), None)
            self._inflated += len(payload)
            if self._inflated > max(_INFLATED_AT_ONCE, 4 * self.max_size):
                raise _Violation(1009, "too much to decompress at once")
        return payload.decode() if opcode == _TEXT else bytes(payload)


def _control_event(opcode: int, payload: bytes) -> Ping | Pong | Close:
    if opcode == _PING:
        return Ping(payload)
    if opcode == _PONG:
        return Pong(payload)
    if not payload:
        return Close(1005, "")
    code = int.from_bytes(payload[:2], "big")  # of a lone byte, which is a violation too: under 256
    if not _is_close_code(code):
        raise _Violation(1002, "invalid close code")
    return Close(code, payload[2:].decode())


def _is_close_code(code: int) -> bool:
    """Whether the code may be on the wire: RFC 6455 7.4 and the IANA registry."""
    return code in _CLOSE_CODES or 3000 <= code <= 4999


_SHORT_TEXT = tuple(bytes((_FIN | _TEXT, size)) for size in range(126))
_SHORT_BINARY = tuple(bytes((_FIN | _BINARY, size)) for size in range(126))


def text_frame(payload: bytes, deflate: Deflate | None = None) -> bytes:
    """A message of UTF-8 text; with `deflate` compressed, where that makes it smaller."""
    if deflate is not None and (squeezed := deflate.compress(payload)) is not None:
        return _frame(_FIN | _RSV1 | _TEXT, squeezed)
    size = len(payload)
    return _SHORT_TEXT[size] + payload if size < 126 else _frame(_FIN | _TEXT, payload)


def binary_frame(payload: bytes, deflate: Deflate | None = None) -> bytes:
    """A message of bytes; with `deflate` compressed, where that makes it smaller."""
    if deflate is not None and (squeezed := deflate.compress(payload)) is not None:
        return _frame(_FIN | _RSV1 | _BINARY, squeezed)
    size = len(payload)
    return _SHORT_BINARY[size] + payload if size < 126 else _frame(_FIN | _BINARY, payload)


def ping_frame(payload: bytes = b"") -> bytes:
    """A ping with at most 125 bytes of payload."""
    return _control_frame(_PING, payload)


def pong_frame(payload: bytes = b"") -> bytes:
    """A pong with at most 125 bytes of payload, those of the ping it answers (RFC 6455 5.5.3)."""
    return _control_frame(_PONG, payload)


def close_frame(code: int, reason: str = "") -> bytes:
    """A goodbye; the reason is cut to the 123 bytes there is room for, between characters.

    1005, 1006 and 1015 only ever describe a goodbye that gave no code: the frame is empty.

    Raises:
        UsageError: the code may not be on the wire (RFC 6455 7.4).
    """
    if code in _CODES_FOR_NO_CODE:
        return _control_frame(_CLOSE, b"")
    if not _is_close_code(code):
        raise UsageError(f"{code} is not a close code: use 1000 to 1003, 1007 to 1014 or 3000 to 4999")
    return _control_frame(_CLOSE, code.to_bytes(2, "big") + fitting_reason(reason).encode())


def fitting_reason(reason: str) -> str:
    """As much of a reason as a close frame has room for: 123 bytes of UTF-8 (RFC 6455 5.5), in whole characters."""
    return reason.encode(errors="replace")[:123].decode(errors="ignore")


def _control_frame(opcode: int, payload: bytes) -> bytes:
    if len(payload) > 125:
        raise UsageError("a control frame carries at most 125 bytes (RFC 6455 5.5)")
    return bytes((_FIN | opcode, len(payload))) + payload


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 0x10000:
        return pack(">BBH", first, 126, size) + payload
    return pack(">BBQ", first, 127, size) + payload
