"""What waits for one peer: references to batches that others may wait for too, handed on piece by piece."""

from collections import deque

Bytes = bytes | memoryview

_PIECE = 1024 * 1024
"""Bytes that are copied at once: large enough for the allocator to give them back to the system one by one."""


class Outbox:
    """Bytes in order. A batch is kept as it is and never copied whole, so that a thousand slow receivers share it."""

    __slots__ = ("_pieces", "size")

    def __init__(self) -> None:
        self._pieces: deque[Bytes] = deque()
        self.size = 0

    def put(self, piece: Bytes) -> None:
        """Adds at the end."""
        self._pieces.append(piece)
        self.size += len(piece)

    def put_copied(self, data: Bytes) -> None:
        """As ``put``, for what nobody else waits for: the memory of what is taken is free at once."""
        view = memoryview(data)
        for start in range(0, len(view), _PIECE):
            self.put(bytes(view[start : start + _PIECE]))

    def take(self, most: int) -> Bytes:
        """The next bytes: so many at most, and so many if there are."""
        pieces = self._pieces
        first = pieces[0]
        if len(first) > most:
            view = memoryview(first)
            pieces[0] = view[most:]
            self.size -= most
            return view[:most]
        group = []
        size = 0
        while pieces and size + len(pieces[0]) <= most:
            group.append(pieces.popleft())
            size += len(group[-1])
        self.size -= size
        return group[0] if len(group) == 1 else b"".join(group)

    def clear(self) -> None:
        """Forgets all."""
        self._pieces.clear()
        self.size = 0
