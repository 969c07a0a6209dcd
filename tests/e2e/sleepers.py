"""What goes wrong when peers do not read, or are frozen, and what that does to memory and to a stop."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.tls import certificate

from .peers import Close, Guests, Peer
from .scenarios import LEFT, MESSAGE_SIZE, PATIENCE, address, said, speak_until_stuck
from .servers import Server, Stopped


@dataclass(frozen=True)
class AfterStall:
    usual_delay: float
    delay: float
    worst_delay: float
    stuck: bool
    heard_others: bool
    freed_after: float | None
    extra_tasks: int


def nearly_all_within(delays: Sequence[float]) -> float:
    """The delay that 95 of 100 messages keep to."""
    return sorted(delays)[len(delays) * 95 // 100] if delays else 0.0


def stall_one_reader(server: Server, *, watch_for: float) -> AfterStall:
    """S stops reading while B speaks to C; then the server has `watch_for` seconds to get rid of S."""
    with Guests(server.port, tls=server.tls) as guests:
        b, c = guests.enter("B"), guests.enter("C")
        _, usual_delays, _ = speak_until_stuck(b, [b, c])
        before = server.state()
        sleeper = guests.enter("S", reads=False)
        d = guests.enter("D")
        started = time.monotonic()
        _, delays, stuck = speak_until_stuck(b, [b, c, d])
        heard_others = not address(c, [d], "can D hear C?")
        freed_after = None
        while freed_after is None and time.monotonic() - started < watch_for:
            if not server.holds(sleeper):
                freed_after = time.monotonic() - started
            time.sleep(0.05)
        d.leave()
        with suppress(AssertionError):
            server.wait_for_state(lambda state: state.tasks == before.tasks, "the tasks of before", within=1.5)
        extra_tasks = server.state().tasks - before.tasks
        return AfterStall(
            usual_delay=nearly_all_within(usual_delays),
            delay=nearly_all_within(delays),
            worst_delay=max(delays, default=0.0),
            stuck=stuck,
            heard_others=heard_others,
            freed_after=freed_after,
            extra_tasks=extra_tasks,
        )


@dataclass(frozen=True)
class AfterStop:
    stopped: Stopped
    goodbyes: list[Close]


def stop_with_guests(server: Server, *, stalled: bool, within: float, frozen_for: float = 0.0) -> AfterStop:
    """SIGTERM, with five healthy clients and perhaps one who has stopped reading."""
    with Guests(server.port, tls=server.tls) as guests:
        healthy = [guests.enter(name) for name in "ABCDE"]
        if stalled:
            guests.enter("S", reads=False)
            speak_until_stuck(healthy[0], healthy[-1:])
        stopped = server.stop(within, frozen_for=frozen_for)
        return AfterStop(stopped, [peer.expect_close() for peer in healthy])


@dataclass(frozen=True)
class AfterFreeze:
    noticed_after: float | None
    left_events: int


@contextmanager
def frozen_process(server: Server) -> Iterator[None]:
    """A client process that has joined and is then stopped with SIGSTOP."""
    command = [sys.executable, str(Path(__file__).with_name("listener.py"))]
    env = {**os.environ, "SSL_CERT_FILE": certificate()[0]}
    with subprocess.Popen([*command, f"{server.ws}/ws/chat"], env=env, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            ready, _, _ = select.select([process.stdout], [], [], 10.0)
            first_line = process.stdout.readline() if ready else b"nothing"
            assert first_line == b"joined\n", f"the client process was expected to join, said {first_line!r}"
            process.send_signal(signal.SIGSTOP)
            yield
        finally:
            process.kill()


@contextmanager
def silent_socket(server: Server) -> Iterator[None]:
    """A client that has joined and then neither reads nor answers pings: an unplugged cable, from the server."""
    with Peer(server.port, name="the silent one", reads=False, tls=server.tls):
        yield


def freeze_a_client(server: Server, *, as_process: bool, watch_for: float) -> AfterFreeze:
    """One client is frozen; the server has `watch_for` seconds to notice.

    B and C talk all the while if it is a process, so that there is something to deliver to it; a silent
    socket is left in a quiet room, where nothing but a ping can find it out.
    """
    with Guests(server.port, tls=server.tls) as guests:
        b, c, d = (guests.enter(name) for name in "BCD")
        with frozen_process(server) if as_process else silent_socket(server):
            frozen_at = time.monotonic()
            noticed_after = None
            while noticed_after is None and time.monotonic() - frozen_at < watch_for:
                if as_process:
                    assert not address(b, [c], f"it is {time.monotonic()}"), "C does not hear B"
                if server.state().clients == 3:
                    noticed_after = time.monotonic() - frozen_at
                time.sleep(0.05)
            if noticed_after is not None:
                d.expect_text(LEFT)
                address(b, [d], "the end")
            return AfterFreeze(noticed_after, d.texts.count(LEFT))


@dataclass(frozen=True)
class AfterBomb:
    offender: Close | None
    kept: int
    peak: int
    missed: list[str]


def send_a_huge_message(server: Server, *, size: int = 8 << 20, sleepers: int = 10) -> AfterBomb:
    """One sends 8 MB into a room with ten who do not read; how much memory does the server keep?"""
    with Guests(server.port, tls=server.tls) as guests:
        b, c = guests.enter("B"), guests.enter("C")
        for number in range(sleepers):
            guests.enter(f"sleeper {number}", reads=False)
        d = guests.enter("D")
        address(b, [c, d], "small")
        before = server.state().rss
        peak_before = server.peak_memory()
        with suppress(OSError):
            b.send_text("b" * size)
        offender = None
        with suppress(AssertionError):
            offender = b.expect_close(within=PATIENCE)
        missed = address(c, [d], "still there?")
        return AfterBomb(offender, server.state().rss - before, server.peak_memory() - peak_before, missed)


@dataclass(frozen=True)
class AfterFlood:
    peak: int
    missed: list[str]


def flood_sleepers(server: Server, *, messages: int = 800, sleepers: int = 10) -> AfterFlood:
    """B sends 48 MB in messages of an allowed size to C, who reads, and to ten who do not."""
    with Guests(server.port, tls=server.tls) as guests:
        b, c = guests.enter("B"), guests.enter("C")
        for number in range(sleepers):
            guests.enter(f"sleeper {number}", reads=False)
        address(b, [c], "small")
        peak_before = server.peak_memory()
        sent = [f"{number}:".ljust(MESSAGE_SIZE, "f") for number in range(messages)]
        missed = []
        for text in sent:
            b.send_text(text)
            b.expect_text(said(text))
        for text in sent:
            if not c.hears(said(text), PATIENCE):
                missed.append(text[:8])
        return AfterFlood(server.peak_memory() - peak_before, missed)
