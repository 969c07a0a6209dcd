"""Where in a channel's history one stands."""

from typing import NamedTuple


class Position(NamedTuple):
    """An offset and the epoch it counts in.

    Offsets of one channel go up by one with each publication that its history keeps, from 1. The epoch is an
    opaque word that changes when the history was lost, so that an old offset is never mistaken for a new one:
    with the offset alone, a client at 7 that meets a restarted server at 9 would believe to have missed two
    publications, while it has missed nine. A channel without history stays at offset 0.
    """

    offset: int
    epoch: str
