"""What changed between two publications, in Fossil's delta format: copies from the base, and literal bytes between.

Theory of operation. Published JSON is mostly the JSON before it with one to three values changed, so the cheap part
comes first: what both begin with, and what both end with, are two copies, found by comparing slices that double.

Between them, the base is cut into blocks of 16 bytes, and a dict says where each is. A window of as many bytes slides
over the target until it is such a block; the match then grows both ways, up to the copies around it. So every
stretch of 31 bytes is noticed, however far it has moved within the change, and within as many bytes before and after
as the change is long: an item that was added to a list is made of its neighbours.

A block that occurs often has one place in the dict, the first. That bounds the work: a step of the window is one look
into the dict, and a match is compared with hardly more bytes than it copies. No input makes it quadratic.

Measured (CPython 3.11, one core of an AMD EPYC, the best of five): 500 bytes of JSON in which one, two or three values
changed take 8, 13 and 17 µs and come to 26, 33 and 45 bytes; 500 bytes of noise after others, 54 µs. At 64 KB, a list
of items takes 0.25 ms with one value changed and 5 ms with one changed in each of 1080 items, noise after other noise
7 ms, and the worst that was made on purpose 10 ms.
"""

from typing import TypeAlias

_BLOCK = 16
_LEAST = 10
"""Bytes. A shorter copy can take as many to say as it saves: ``A@~~~,``, and ``12:`` for the literal after it."""
_DIGITS = [bytes((digit,)) for digit in b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"]

_Copy: TypeAlias = tuple[int, int, int]
"""``source, start, end``: ``target[start:end]`` is what the base has from ``source`` on."""


def make_delta(base: bytes, target: bytes) -> bytes | None:
    """The delta that turns ``base`` into ``target``; None if it would not be shorter than ``target`` itself.

    Between two JSON texts it is a text too: if ``target`` is UTF-8, so is the delta. Which of all the deltas it is
    may change from version to version.

    Source: https://fossil-scm.org/home/doc/trunk/www/delta_format.wiki
    """
    parts = [_number(len(target)), b"\n"]
    written = 0
    for source, start, end in _copies(base, target):
        if start > written:
            parts += _number(start - written), b":", target[written:start]
        parts += _number(end - start), b"@", _number(source), b","
        written = end
    if written < len(target):
        parts += _number(len(target) - written), b":", target[written:]
    parts += _number(_checksum(target)), b";"
    delta = b"".join(parts)
    return delta if len(delta) < len(target) else None


def _number(value: int) -> bytes:
    text = _DIGITS[value & 63]
    while value := value >> 6:
        text = _DIGITS[value & 63] + text
    return text


def _checksum(data: bytes) -> int:
    """The sum of all big-endian 32-bit words, the last one filled up with zeros."""
    # Column by column: slicing and adding small integers is as fast as unpacking words, and needs no padding.
    return (sum(data[::4]) << 24) + (sum(data[1::4]) << 16) + (sum(data[2::4]) << 8) + sum(data[3::4]) & 0xFFFFFFFF


def _copies(base: bytes, target: bytes) -> list[_Copy]:
    """In the order of the target, where no two overlap."""
    shorter = min(len(base), len(target))
    head = _same_after(base, 0, target, 0, shorter)
    tail = _same_before(base, len(base), target, len(target), shorter - head)
    first = [_whole_characters(target, 0, 0, head)] if head >= _LEAST else []
    last = [_whole_characters(target, len(base) - tail, len(target) - tail, len(target))] if tail >= _LEAST else []
    return first + _moved(base, target, first, last) + last


def _moved(base: bytes, target: bytes, first: list[_Copy], last: list[_Copy]) -> list[_Copy]:
    """The copies between the first and the last one."""
    source_end, at = (first[0][2], first[0][2]) if first else (0, 0)
    source_stop, stop = last[0][:2] if last else (len(base), len(target))
    lowest = max(0, source_end - (stop - at))
    highest = min(len(base), source_stop + (stop - at)) - _BLOCK
    # Backwards, so that the first place of a block is the one that stays.
    places = {base[place : place + _BLOCK]: place for place in range(highest, lowest - 1, -_BLOCK)}
    copies: list[_Copy] = []
    start = at
    while start <= stop - _BLOCK:
        block = target[start : start + _BLOCK]
        source = places.get(block)
        if source is None:
            start += 1
            continue
        # Where a value of the same length replaced another, the base goes on beside it; lists repeat their blocks.
        beside = source_end + start - at
        if base.startswith(block, beside):
            source = beside
        grown = _same_before(base, source, target, start, min(source, start - at))
        end = start + _same_after(base, source, target, start, min(len(base) - source, stop - start))
        copy = _whole_characters(target, source - grown, start - grown, end)
        copies.append(copy)
        at = start = copy[2]
        source_end = copy[0] + copy[2] - copy[1]
    return copies


def _same_after(base: bytes, source: int, target: bytes, start: int, limit: int) -> int:
    """How many bytes, at most ``limit``, are the same from the two places on."""
    same, step = 0, 32
    while same < limit:
        step = min(step, limit - same)
        left = base[source + same : source + same + step]
        right = target[start + same : start + same + step]
        if left != right:
            difference = int.from_bytes(left, "big") ^ int.from_bytes(right, "big")
            return same + step - (difference.bit_length() + 7) // 8
        same += step
        step *= 2
    return same


def _same_before(base: bytes, source: int, target: bytes, start: int, limit: int) -> int:
    """How many bytes, at most ``limit``, are the same before the two places."""
    same, step = 0, 32
    while same < limit:
        step = min(step, limit - same)
        left = base[source - same - step : source - same]
        right = target[start - same - step : start - same]
        if left != right:
            difference = int.from_bytes(left, "big") ^ int.from_bytes(right, "big")
            return same + ((difference & -difference).bit_length() - 1) // 8
        same += step
        step *= 2
    return same


def _whole_characters(target: bytes, source: int, start: int, end: int) -> _Copy:
    """The copy without what it has of characters, at its ends, that are not wholly in it.

    Where one letter with an accent replaced another, the bytes part in the middle of a character: a literal that
    began there would not be text, and JSON could not carry it. Of what is not UTF-8, this copies less.
    """
    first, last = start, end
    while target[start] & 0xC0 == 0x80 and start < first + 3:  # the longest character has three after its first
        start += 1
    while end < len(target) and target[end] & 0xC0 == 0x80 and end > last - 3:
        end -= 1
    return source + start - first, start, end
