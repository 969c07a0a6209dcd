"""What waits for slow receivers: the total of all queues, and its bound."""

from typing import Protocol

from hubbub.errors import Disconnect, Slow


class Waiting(Protocol):
    """Something with a queue that can be given up."""

    def give_up(self, fault: Disconnect) -> None:
        """Drops the queue and the connection behind it."""


class Backlog:
    """Adds up the queued bytes of the receivers that are behind; those that keep up cost nothing here.

    A publication that waits for many receivers is counted for each, though its bytes are shared: the bound
    is on what would have to be sent, which is what an amplification attack multiplies.
    """

    __slots__ = ("_queued", "limit", "total")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total = 0
        self._queued: dict[Waiting, int] = {}

    def note(self, receiver: Waiting, queued: int) -> None:
        """``receiver`` now has ``queued`` bytes waiting; over the total, those furthest behind are given up."""
        self.total += queued - self._queued.get(receiver, 0)
        self._queued[receiver] = queued
        if self.total > self.limit:
            self._relieve()

    def _relieve(self) -> None:
        # Down to somewhat less than the limit, so that the search for the worst is not made at every write.
        enough = self.limit - self.limit // 10
        for receiver in sorted(self._queued, key=self._queued.__getitem__, reverse=True):
            if self.total <= enough:
                return
            if receiver in self._queued:
                self.clear(receiver)
                receiver.give_up(Slow(f"all receivers together are more than {self.limit} bytes behind"))

    def clear(self, receiver: Waiting) -> None:
        """Nothing waits for ``receiver`` any more."""
        self.total -= self._queued.pop(receiver, 0)

    def __len__(self) -> int:
        return len(self._queued)
