"""What Hubbub can promise on each server, measured: `python -m tests.e2e.capabilities` prints the table.

A capability names the servers that lack it, and those that have it on some days only; the tests hold
it to that, in both directions.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .peers import Close, Guests, HandshakeRefused, Opcode, Peer, encode_frame
from .scenarios import TOKEN, address, knock, said, speak_until_stuck
from .servers import HUBBUB_RUN, OTHER_KINDS, UVICORN_KINDS, WIRE, Server, StartFailure, faults_in

APP = "probe:app"
KINDS = (HUBBUB_RUN, WIRE, *UVICORN_KINDS, *OTHER_KINDS)
QUICK_PINGS = {"HUBBUB_PING_INTERVAL": "1", "HUBBUB_PING_TIMEOUT": "1"}
LARGE_QUEUE = {"HUBBUB_MAX_QUEUED_BYTES": str(64 << 20)}
BOUND = 4.0  # seconds: pings of 1 + 1, one turn of the wheel, and room for a busy machine


@dataclass(frozen=True)
class Finding:
    """One cell of the table: whether the promise holds here, in a word or two; and all that was seen."""

    holds: bool
    says: str
    saw: str = ""


Probe = Callable[[Server, float], Finding]


@dataclass(frozen=True)
class Capability:
    """One row. `probe` is given a fresh server and the seconds that it may wait for what may never come."""

    promise: str
    probe: Probe
    lacking: frozenset[str] = frozenset()
    unsteady: frozenset[str] = frozenset()
    settings: Mapping[str, str] = field(default_factory=dict)


CAPABILITIES: dict[str, Capability] = {}


def capability(
    promise: str,
    *settings: Mapping[str, str],
    lacking: tuple[str, ...] = (),
    unsteady: tuple[str, ...] = (),
) -> Callable[[Probe], Probe]:
    def register(probe: Probe) -> Probe:
        together = {name: value for some in settings for name, value in some.items()}
        row = Capability(promise, probe, frozenset(lacking), frozenset(unsteady), together)
        CAPABILITIES[probe.__name__] = row
        return probe

    return register


def judge(server: Server, row: Capability, patience: float) -> Finding:
    """Measure one cell on a fresh server."""
    try:
        return row.probe(server, patience)
    except (AssertionError, OSError) as error:
        return Finding(False, "no", str(error))


# Messages.


@capability("Text, fragments and pings")
def talk(server: Server, patience: float) -> Finding:
    with Guests(server.port) as guests:
        a, b = guests.enter("A"), guests.enter("B")
        a.send_fragments(["he", "ll", "o"])
        a.send_ping(b"?")
        b.expect_text(said("hello"))
        return Finding(not address(a, [a, b], "after the ping"), "yes")


@capability("Subprotocol and headers of the accept", lacking=("granian",))
def dialect(server: Server, patience: float) -> Finding:
    with Peer(server.port, "/ws/dialect", headers=[("Sec-WebSocket-Protocol", "chat.v1, chat.v2")]) as peer:
        subprotocol = peer.response_headers.get("sec-websocket-protocol")
        greeting = peer.response_headers.get("x-greeting")
        both = (subprotocol, greeting) == ("chat.v2", "hello")
        return Finding(both, "yes" if both else "no", f"{subprotocol} and {greeting}")


# `hubbub run` has it off unless asked for: --deflate.
@capability("Compression, if the peer offers it", lacking=(HUBBUB_RUN, "granian"))
def compression(server: Server, patience: float) -> Finding:
    offer = [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")]
    with Peer(server.port, headers=offer) as peer:
        answer = peer.response_headers.get("sec-websocket-extensions", "no")
        return Finding("permessage-deflate" in answer, answer.partition(";")[0], answer)


# Refusals.


@capability("A response of the app's own instead of the accept")
def denial(server: Server, patience: float) -> Finding:
    try:
        with Peer(server.port, "/ws/denied"):
            return Finding(False, "accepted")
    except HandshakeRefused as refusal:
        return Finding((refusal.status, refusal.body) == (401, b'{"why":"no ticket"}'), f"{refusal.status}")


@capability("A foreign page is refused before the accept")
def origin(server: Server, patience: float) -> Finding:
    try:
        with Peer(server.port, headers=[("Origin", "https://evil.example")]):
            return Finding(False, "accepted")
    except HandshakeRefused as refusal:
        return Finding(refusal.status == 403, f"{refusal.status}")


@capability("No secrets in the log")
def secrets(server: Server, patience: float) -> Finding:
    log = knock(server).log
    return Finding(TOKEN not in log, "no" if TOKEN in log else "yes", log)


@capability("Two workers without a broker are refused at start")
def workers(server: Server, patience: float) -> Finding:
    log = server.log_path.with_suffix(".workers.log")
    try:
        Server(server.kind, APP, log, options=("--workers", "2")).kill()
    except StartFailure as refusal:
        refused = "Run one worker" in refusal.log and refusal.code is not None
        return Finding(refused, "yes" if refused else "no", refusal.log)
    return Finding(False, "no", "they run")


# What the peer may not do.


def close_after(server: Server, frame: bytes) -> Close:
    with Peer(server.port) as peer:
        peer.send_raw(frame)
        return peer.expect_close(within=BOUND)


def judge_close(close: Close, code: int) -> Finding:
    words = f"{close.code}, with a reason" if close.reason and close.code != 1006 else f"{close.code}"
    return Finding(close.code == code and bool(close.reason), words, f"{close}")


@capability("A binary message to a text endpoint: 1003 and a reason")
def binary(server: Server, patience: float) -> Finding:
    return judge_close(close_after(server, encode_frame(Opcode.BINARY, b"\x00")), 1003)


@capability("A message over the limit: 1009 and a reason")
def too_large(server: Server, patience: float) -> Finding:
    return judge_close(close_after(server, encode_frame(Opcode.TEXT, b"x" * 70_000)), 1009)


@capability("… refused by its header, before its bytes are there", lacking=(*UVICORN_KINDS, *OTHER_KINDS))
def too_large_by_header(server: Server, patience: float) -> Finding:
    start = encode_frame(Opcode.TEXT, b"x" * (8 << 20))[: 64 << 10]
    with Peer(server.port) as peer:
        peer.send_raw(start)
        return judge_close(peer.expect_close(within=min(1.0, patience)), 1009)


@capability("Text that is not UTF-8: 1007", lacking=("uvicorn-wsproto", *OTHER_KINDS))
def not_text(server: Server, patience: float) -> Finding:
    close = close_after(server, encode_frame(Opcode.TEXT, b"\xff\xfe"))
    return Finding(close.code == 1007, f"{close.code}", f"{close}")


@capability("A frame against the protocol: 1002", lacking=("uvicorn-wsproto", *OTHER_KINDS))
def unmasked(server: Server, patience: float) -> Finding:
    close = close_after(server, encode_frame(Opcode.TEXT, b"hello", masked=False))
    return Finding(close.code == 1002, f"{close.code}", f"{close}")


# Ends.


def goodbyes(server: Server) -> list[Close]:
    return [Close(told["code"], told["reason"]) for told in json.loads(server.get("/goodbyes")[1])]


@capability("The peer's close code and reason reach the app", lacking=OTHER_KINDS)
def farewell(server: Server, patience: float) -> Finding:
    with Peer(server.port) as peer:
        peer.send_close(4001, "bye")
        peer.expect_close()
        server.wait_for_clients(0)
        told = goodbyes(server)
        words = "yes" if told == [Close(4001, "bye")] else f"as {told[0].code} {told[0].reason!r}"
        return Finding(told == [Close(4001, "bye")], words, f"{told}")


@capability("A reset connection is noticed at once")
def reset(server: Server, patience: float) -> Finding:
    with Peer(server.port, reads=False) as peer:
        server.wait_for_clients(1)
        peer.reset()
        seconds = server.wait_for_clients(0, within=patience)
        return Finding(seconds < 1.0, "yes" if seconds < 1.0 else f"after {seconds:.1f} s")


def judge_eviction(server: Server, peer: Peer, patience: float) -> Finding:
    """Whether the hub forgets the peer, and the server its socket, within the bound."""
    started = time.monotonic()
    forgotten = freed = None
    while (forgotten is None or freed is None) and time.monotonic() - started < patience:
        seconds = time.monotonic() - started
        if forgotten is None and server.state().clients == 1:
            forgotten = seconds
        if freed is None and not server.holds(peer):
            freed = seconds
        time.sleep(0.05)
    if forgotten is None:
        return Finding(False, f"not in {patience:.0f} s")
    if freed is None:
        return Finding(False, f"the hub forgets it after {forgotten:.0f} s, its socket stays")
    return Finding(max(forgotten, freed) < BOUND, f"after {max(forgotten, freed):.0f} s")


@capability("A silent peer is noticed by pings (of 1 + 1 s)", QUICK_PINGS, lacking=OTHER_KINDS)
def silent(server: Server, patience: float) -> Finding:
    with Peer(server.port, name="the quiet one"), Peer(server.port, name="the silent one", reads=False) as peer:
        return judge_eviction(server, peer, patience)


@capability("A peer that does not read is cut off when its queue is full", lacking=OTHER_KINDS)
def slow(server: Server, patience: float) -> Finding:
    return stall(server, patience)


@capability("… and, with room in its queue, by pings", QUICK_PINGS, LARGE_QUEUE, lacking=OTHER_KINDS)
def stalled(server: Server, patience: float) -> Finding:
    return stall(server, patience)


def stall(server: Server, patience: float) -> Finding:
    with Guests(server.port) as guests:
        speaker = guests.enter("B")
        sleeper = guests.enter("S", reads=False)
        _, _, stuck = speak_until_stuck(speaker, [speaker])
        if stuck:
            return Finding(False, "it stops the room")
        return judge_eviction(server, sleeper, patience)


@capability("A client is kept while its handler is busy", QUICK_PINGS)
def busy(server: Server, patience: float) -> Finding:
    with Peer(server.port, "/ws/busy") as peer:
        for number in range(3):
            peer.send_text(f"{number}")
        try:
            peer.expect_text("done with 0", within=6.0)
        except AssertionError:
            return Finding(False, f"{peer.closed}")
        return Finding(peer.closed is None, "yes")


@capability("A stop tells clients to come back: 1012 and a reason", unsteady=("granian",))
def stop(server: Server, patience: float) -> Finding:
    with Guests(server.port) as guests:
        peers = [guests.enter(name) for name in "ABCDE"]
        server.stop(within=10.0)
        closes = [peer.expect_close() for peer in peers]
        codes = ", ".join(sorted({f"{close.code}" for close in closes}))
        return Finding(all(close.code == 1012 and close.reason for close in closes), codes, f"{closes}")


@capability(
    "A stop ends within its bound (of 2 s) though a peer does not read",
    {"HUBBUB_STOP_TIMEOUT": "2"},
    LARGE_QUEUE,
    lacking=("hypercorn",),
)
def stop_with_a_stalled_peer(server: Server, patience: float) -> Finding:
    with Guests(server.port) as guests:
        speaker = guests.enter("B")
        guests.enter("S", reads=False)
        speak_until_stuck(speaker, [speaker])
        stopped = server.stop(within=patience)
        if stopped.code is None:
            return Finding(False, f"not in {patience:.0f} s")
        return Finding(stopped.seconds < 3.5, f"after {stopped.seconds:.1f} s")


@capability("… without an error in the log", {"HUBBUB_STOP_TIMEOUT": "2"}, unsteady=("granian",))
def quiet_stop(server: Server, patience: float) -> Finding:
    with Guests(server.port) as guests:
        for name in "ABCDE":
            guests.enter(name)
        faults = faults_in(server.stop(within=patience).log)
        return Finding(not faults, "no" if faults else "yes", f"{faults}")


def print_table(patience: float) -> None:
    """Print the table as Markdown, a row as soon as it has been measured."""

    def measure(kind: str, row: Capability) -> Finding:
        server = Server(kind, APP, Path(logs) / f"{kind}.log", settings=row.settings)
        try:
            return judge(server, row, patience)
        finally:
            server.kill()

    print("| | " + " | ".join(KINDS) + " |")
    print("|---" * (len(KINDS) + 1) + "|")
    with tempfile.TemporaryDirectory() as logs, ThreadPoolExecutor(len(KINDS)) as threads:
        for row in CAPABILITIES.values():
            waiting = [threads.submit(measure, kind, row) for kind in KINDS]
            found = [future.result() for future in waiting]
            cells = [f"{'✓' if finding.holds else '✗'} {finding.says}" for finding in found]
            print(f"| {row.promise} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    print_table(float(sys.argv[1]) if len(sys.argv) > 1 else 30.0)
