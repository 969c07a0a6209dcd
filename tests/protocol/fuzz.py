"""Feeds the parser damaged streams for some seconds: `python -m tests.protocol.fuzz --seconds 10 --seed 1`.

Every stream must parse to the same events whole, in random pieces and in single bytes; nothing may
raise, and after a `Close` or a `Fault` there is silence. Prints the seed and how many streams passed.
"""

import argparse
import random
import time
import zlib
from itertools import pairwise

from tests.protocol.peer import client_frame, message

from hubbub.protocol.deflate import Deflate
from hubbub.protocol.frames import Close, Event, Fault, FrameParser

LIMIT = 2000
PIECES_OF_TEXT = ("a", "é", "€", "\U00010348", "plain text ", "\x00")


def valid_message(dice: random.Random) -> bytes:
    opcode = dice.choice((1, 1, 2, 8, 9, 10))
    mask = dice.randbytes(4)
    if opcode > 2:
        code = dice.choice((1000, 1001, 4000)).to_bytes(2, "big")
        return client_frame(opcode, code + b"bye" if opcode == 8 else dice.randbytes(dice.randrange(126)), mask=mask)
    if opcode == 1:
        payload = "".join(dice.choices(PIECES_OF_TEXT, k=dice.randrange(60))).encode()
    else:
        payload = dice.randbytes(dice.choice((0, 1, 30, 125, 126, 1000)))
    compressed = dice.random() < 0.3
    if compressed:
        compressor = zlib.compressobj(wbits=-15)
        payload = (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    cuts = sorted(dice.randrange(len(payload) + 1) for _ in range(dice.choice((0, 0, 1, 3))))
    places = [0, *cuts, len(payload)]
    fragments = [payload[start:stop] for start, stop in pairwise(places)]
    return message(opcode, fragments, reserved=4 if compressed else 0)


def damaged(dice: random.Random, stream: bytes) -> bytes:
    data = bytearray(stream)
    for _ in range(dice.choice((0, 1, 1, 2, 5))):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(4):
            case 0:
                data[at : at + 1] = dice.randbytes(1)
            case 1:
                del data[at : at + dice.randrange(8)]
            case 2:
                data[at:at] = dice.randbytes(dice.randrange(8))
            case _:
                data[at : at + 1] = bytes(byte ^ 1 << dice.randrange(8) for byte in data[at : at + 1])
    return bytes(data)


def events(stream: bytes, cuts: list[int], deflate: Deflate | None) -> list[Event]:
    parser = FrameParser(LIMIT, deflate)
    places = [0, *sorted(cuts), len(stream)]
    found: list[Event] = []
    for start, stop in pairwise(places):
        found += parser.receive_data(stream[start:stop])
    if found and isinstance(found[-1], Close | Fault):
        assert parser.receive_data(stream) == [], "not silent after the end"
    return found


def check(dice: random.Random) -> None:
    if dice.random() < 0.1:
        stream = dice.randbytes(dice.randrange(200))
    else:
        stream = damaged(dice, b"".join(valid_message(dice) for _ in range(dice.randrange(1, 6))))
    deflate = dice.choice((None, Deflate()))
    whole = events(stream, [], deflate)
    some_cuts = [dice.randrange(len(stream) + 1) for _ in range(dice.randrange(6))]
    for cuts in (some_cuts, list(range(len(stream)))):
        assert events(stream, cuts, deflate) == whole, "the pieces mean something else than the whole"
    assert not any(isinstance(event, Close | Fault) for event in whole[:-1]), "events after the end"
    for event in whole:
        if isinstance(event, str | bytes):
            assert len(event.encode() if isinstance(event, str) else event) <= LIMIT, "over the limit"
        elif isinstance(event, Fault):
            assert event.code in (1002, 1007, 1009), event


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=10)
    options.add_argument("--seed", type=int, default=1)
    arguments = options.parse_args()
    deadline = time.monotonic() + arguments.seconds
    passed = 0
    while time.monotonic() < deadline:
        try:
            check(random.Random(f"{arguments.seed}/{passed}"))
        except Exception as error:
            raise SystemExit(f"seed {arguments.seed}, stream {passed}: {error!r}") from error
        passed += 1
    print(f"seed {arguments.seed}: {passed} passed")


if __name__ == "__main__":
    main()
