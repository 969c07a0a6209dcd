"""The client's side of deltas for the tests: what turns a base and a delta into the payload again."""

import re
from typing import NamedTuple

DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
SEGMENT = re.compile(rb"([0-9A-Z_a-z~]+)(?:@([0-9A-Z_a-z~]+),|(:)|(;))")
SIZE = re.compile(rb"([0-9A-Z_a-z~]+)\n")


class Copy(NamedTuple):
    """So many bytes of the base, from an offset on."""

    size: int
    offset: int


class Delta(NamedTuple):
    size: int
    segments: list[Copy | bytes]
    checksum: int


def number(digits: bytes) -> int:
    value = 0
    for digit in digits:
        value = value * 64 + DIGITS.index(digit)
    return value


def checksum(data: bytes) -> int:
    words = [data[at : at + 4].ljust(4, b"\0") for at in range(0, len(data), 4)]
    return sum(int.from_bytes(word, "big") for word in words) % 2**32


def read_delta(delta: bytes) -> Delta:
    """What a delta says. Raises ValueError if it is not one, and nothing else."""
    head = SIZE.match(delta)
    if head is None:
        raise ValueError("no size at the start")
    segments: list[Copy | bytes] = []
    at = head.end()
    while True:
        segment = SEGMENT.match(delta, at)
        if segment is None:
            raise ValueError(f"no segment at {at}")
        count, offset, literal, end = number(segment[1]), segment[2], segment[3], segment[4]
        at = segment.end()
        if end:
            break
        if literal:
            if len(delta) - at < count:
                raise ValueError(f"the literal at {at} is cut off")
            segments.append(delta[at : at + count])
            at += count
        else:
            segments.append(Copy(count, number(offset)))
    if at != len(delta):
        raise ValueError(f"data after the end at {at}")
    return Delta(number(head[1]), segments, count)


def apply_delta(base: bytes, delta: bytes) -> bytes:
    """The payload that ``delta`` makes of ``base``. Raises ValueError if it makes none."""
    size, segments, expected = read_delta(delta)
    parts: list[bytes] = []
    for segment in segments:
        if isinstance(segment, Copy):
            if segment.offset + segment.size > len(base):
                raise ValueError(f"{segment} is not in the base")
            parts.append(base[segment.offset : segment.offset + segment.size])
        else:
            parts.append(segment)
    target = b"".join(parts)
    if len(target) != size:
        raise ValueError(f"{len(target)} bytes instead of {size}")
    if checksum(target) != expected:
        raise ValueError("wrong checksum")
    return target
