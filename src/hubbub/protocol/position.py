"""Where in a channel's history one stands."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from hubbub.protocol.publication import Publication


@dataclass(frozen=True, slots=True)
class Position:
    """An offset and the epoch it counts in: ``offset, epoch = position``.

    Offsets of one channel go up by one with each publication that its history keeps, from 1. The epoch is an
    opaque word that changes when the history was lost, so that an old offset is never mistaken for a new one:
    with the offset alone, a client at 7 that meets a restarted server at 9 would believe to have missed two
    publications, while it has missed nine. A channel without history stays at offset 0.
    """

    # No named tuple: what a route returns would be a list, [7, "xyz"], and an object says what is what.

    offset: int
    epoch: str

    def __iter__(self) -> Iterator[Any]:
        return iter((self.offset, self.epoch))


class HistoryPage(tuple[Sequence[Publication], Position]):
    """A part of what a channel keeps, and the channel's newest position: ``publications, top = page``.

    ``more`` is whether the channel keeps others that this page would have had without its limit.
    """

    more: bool

    def __new__(cls, publications: Sequence[Publication], top: Position, *, more: bool = False) -> Self:
        page = super().__new__(cls, (publications, top))
        page.more = more
        return page

    @property
    def publications(self) -> Sequence[Publication]:
        """In the order of their offsets, or with ``reverse`` the newest first."""
        return self[0]

    @property
    def top(self) -> Position:
        """The channel's newest position."""
        return self[1]


class Recovery(NamedTuple):
    """What a returning session is owed: the publications it missed; or that it cannot be known (not recovered)."""

    recovered: bool
    missed: Sequence[Publication] = ()


def recover_stream(since: Position, missed: Sequence[Publication], top: Position, limit: int) -> Recovery:
    """Whether ``missed``, read from the history after ``since``, is all that came until ``top``.

    It is only if it follows ``since`` without a gap and ends at ``top``: a history that was trimmed, or has
    expired in part, begins later; an empty one may hide that all has expired. More than ``limit`` is not recovered.
    """
    if since.epoch not in ("", top.epoch) or len(missed) > limit:
        return Recovery(False)
    if not missed:
        return Recovery(since.offset == top.offset)
    whole = missed[0].offset == since.offset + 1 and missed[-1].offset == top.offset
    return Recovery(True, missed) if whole else Recovery(False)


def recover_cache(since: Position, newest: Sequence[Publication], top: Position) -> Recovery:
    """As ``recover_stream``, where only the newest publication matters."""
    if since == top and top.offset:
        return Recovery(True)
    if newest and newest[0].offset == top.offset:
        return Recovery(True, newest[:1])
    return Recovery(False)
