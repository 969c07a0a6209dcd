"""Batches of the fast path: finished frames in one piece of bytes, written once to each receiver."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from hubbub.hub.transport import Framing, drop_broken
from hubbub.protocol.deflate import Deflate
from hubbub.protocol.frames import binary_frame, text_frame
from hubbub.protocol.publication import Payload

if TYPE_CHECKING:
    from hubbub.transports.wire import Protocol


class Frames(Framing):
    """Payloads as finished frames in one piece of bytes, compressed once where the connections agreed to."""

    def __init__(self, deflate: Deflate | None) -> None:
        self._deflate = deflate

    def join(self, payloads: Sequence[Payload]) -> bytes:
        deflate = self._deflate
        frames = [
            text_frame(payload.encode(), deflate) if isinstance(payload, str) else binary_frame(payload, deflate)
            for payload in payloads
        ]
        return frames[0] if len(frames) == 1 else b"".join(frames)

    def push_all(self, batch: bytes, receivers: "Iterable[Protocol]") -> None:  # type: ignore[override]
        # The hottest loop: nearly always one call, and one system call in it, for each receiver.
        size = len(batch)
        for receiver in receivers:
            write_now = receiver.write_now  # called as an attribute: a method call looks slots up the slow way
            try:
                sent = write_now(batch) if write_now is not None else 0
            except OSError:
                # Nothing was taken: the socket's buffer is full, or the peer is gone, which the transport finds out.
                sent = 0
            if sent != size:
                try:
                    receiver.queue(memoryview(batch)[sent:] if sent else batch)
                except Exception:
                    drop_broken(receiver)


FRAMINGS: dict[Deflate | None, Frames] = {deflate: Frames(deflate) for deflate in (None, *map(Deflate, range(9, 16)))}
PLAIN = FRAMINGS[None]
