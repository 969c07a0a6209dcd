"""Unmasking and frame parsing, without sockets: Hubbub's parser and the alternatives on the same bytes.

Run `python benchmarks/parser.py`. Packages that are not installed are left out. Each figure is the best
of several short runs, which interleave the contestants so that a busy machine slows all of them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import timeit
from collections.abc import Callable
from functools import partial
from itertools import cycle

from hubbub.protocol import frames
from hubbub.protocol.frames import FrameParser

ROUNDS = 15
ROUND_SECONDS = 0.01
Work = Callable[[], object]


def best_seconds(contestants: dict[str, Work]) -> dict[str, float]:
    """The shortest time that one call of each took."""
    calls = {}
    for name, work in contestants.items():
        work()
        calls[name] = max(1, int(ROUND_SECONDS / max(timeit.timeit(work, number=3) / 3, 1e-9)))
    best = dict.fromkeys(contestants, float("inf"))
    for _ in range(ROUNDS):
        for name, work in contestants.items():
            best[name] = min(best[name], timeit.timeit(work, number=calls[name]) / calls[name])
    return best


def print_table(title: str, columns: list[str], rows: dict[str, list[str]]) -> None:
    print(f"\n{title}\n")
    print(f"| | {' | '.join(columns)} |")
    print("|---|" + "---:|" * len(columns))
    for name, cells in rows.items():
        print(f"| {name} | {' | '.join(cells)} |")


# --- unmasking ------------------------------------------------------------------------------------------


def unmasking() -> None:
    ways: dict[str, Callable[[bytes, bytes], bytes]] = {"big integers (the fallback)": frames._xor}
    if frames.unmask is not frames._xor:
        ways["websockets.speedups.apply_mask"] = frames.unmask
    mask = os.urandom(4)
    sizes = [16, 125, 1024, 65_536]
    rows: dict[str, list[str]] = {name: [] for name in ways}
    for size in sizes:
        data = os.urandom(size)
        best = best_seconds({name: partial(way, data, mask) for name, way in ways.items()})
        for name, seconds in best.items():
            rows[name].append(f"{seconds * 1e9:,.0f}")
    print_table("Unmasking, ns per payload", [f"{size:,} B" for size in sizes], rows)


# --- parsing --------------------------------------------------------------------------------------------


def client_text(size: int) -> bytes:
    mask = os.urandom(4)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return b"\x81" + length + mask + frames.unmask(b"x" * size, mask)


Parser = Callable[[bytes], int]
"""Takes a chunk; returns the number of `str` messages that it made of it."""


def hubbub_parser() -> Parser:
    receive = FrameParser(1 << 20).receive_data
    return lambda data: len(receive(data))


def websockets_parser() -> Parser:
    from websockets.frames import Frame
    from websockets.protocol import State
    from websockets.server import ServerProtocol

    server = ServerProtocol(state=State.OPEN, max_size=1 << 20)

    def parse(data: bytes) -> int:
        server.receive_data(data)
        texts = [bytes(event.data).decode() for event in server.events_received() if isinstance(event, Frame)]
        return len(texts)

    return parse


def wsproto_parser() -> Parser:
    from wsproto.connection import Connection, ConnectionType

    server = Connection(ConnectionType.SERVER)

    def parse(data: bytes) -> int:
        server.receive_data(data)
        texts = [event.data for event in server.events()]
        return len(texts)

    return parse


class _Sink:
    """What picows needs of a transport."""

    def __init__(self) -> None:
        self._socket = socket.socket()

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._socket if name == "socket" else default

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: object) -> None: ...

    def is_closing(self) -> bool:
        return False

    def close(self) -> None: ...

    def abort(self) -> None: ...


def picows_parser() -> Parser:
    """Its parser has no public door: this drives the private protocol class behind its server."""
    from picows import WSAutoPingStrategy, WSListener, WSUpgradeResponse, WSUpgradeResponseWithListener
    from picows.picows import WSProtocol

    texts: list[str] = []

    class Listener(WSListener):
        def on_ws_frame(self, transport: object, frame: object) -> None:
            texts.append(frame.get_payload_as_utf8_text())

    def accept(request: object) -> object:
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(), Listener())

    logger = logging.getLogger("picows")
    pings = (False, None, None, WSAutoPingStrategy.PING_WHEN_IDLE)
    server = WSProtocol(None, None, False, accept, logger, True, None, *pings, True, 1 << 20, None, 65_536)
    server.connection_made(_Sink())

    def parse(data: bytes) -> int:
        texts.clear()
        server.get_buffer(-1)[: len(data)] = data
        server.buffer_updated(len(data))
        return len(texts)

    parse(
        b"GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    return parse


PARSERS: dict[str, Callable[[], Parser]] = {
    "hubbub `FrameParser`": hubbub_parser,
    "websockets `ServerProtocol`": websockets_parser,
    "wsproto `Connection`": wsproto_parser,
    "picows (Cython, private class)": picows_parser,
}
CASES = [(32, 1), (32, 64), (1024, 1)]
"""Bytes in a message, messages in a chunk."""


def available() -> dict[str, Parser]:
    parsers: dict[str, Parser] = {}
    for name, make in PARSERS.items():
        try:
            parsers[name] = make()
        except ImportError as missing:
            print(f"without {name}: {missing}", file=sys.stderr)
    return parsers


def parsing() -> None:
    parsers = available()
    rows: dict[str, list[str]] = {name: [] for name in parsers}
    for size, count in CASES:
        chunks = cycle([b"".join(client_text(size) for _ in range(count)) for _ in range(50)])
        works: dict[str, Work] = {}
        for name, parse in parsers.items():
            if parse(next(chunks)) != count:
                raise SystemExit(f"{name} did not find {count} messages")
            works[name] = lambda parse=parse, chunks=chunks: parse(next(chunks))
        for name, seconds in best_seconds(works).items():
            rows[name].append(f"{count / seconds:,.0f}")
    columns = [f"{size:,} B, {count} per chunk" for size, count in CASES]
    print_table("Parsing masked text frames into `str`, messages per second", columns, rows)


async def main() -> None:
    """Within a loop because picows will not start without one; nothing is awaited."""
    unmasking()
    parsing()


if __name__ == "__main__":
    asyncio.run(main())
