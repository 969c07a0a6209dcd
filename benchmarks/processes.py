"""Starts a server on its core, reads what it costs, and ends it; builds and runs the load generator."""

from __future__ import annotations

import itertools
import json
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from benchmarks import machine
from benchmarks.contestants import Contestant

HERE = Path(__file__).parent
BUILD = HERE / "build"
HOST = "127.0.0.1"
CELL_TIMEOUT = 120.0  # seconds; far beyond any cell that still makes progress
_ports = itertools.cycle(range(21000, 29000))  # below the range the kernel gives to outgoing connections

Figures = dict[str, float]


class CellFailed(Exception):
    """A server or the generator did not get through; the text says why, and the run goes on without it."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running contestant."""

    contestant: Contestant
    port: int
    pid: int

    def family(self) -> list[int]:
        """Its process and all below it: some servers work in a child."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except OSError:  # it ended meanwhile
                    continue
                children.setdefault(parent, []).append(int(entry.name))
        found = [self.pid]
        for pid in found:  # grows while it is walked
            found.extend(children.get(pid, ()))
        return found

    def resident_bytes(self) -> int:
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.family())
        return pages * os.sysconf("SC_PAGE_SIZE")


def build_generator() -> Path:
    """Compiles load.c unless that is done already."""
    source, program = HERE / "load.c", BUILD / "load"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(exist_ok=True)
        subprocess.run(["cc", "-O2", "-std=gnu11", "-o", str(program), str(source)], check=True)
    return program


@contextmanager
def running(contestant: Contestant) -> Iterator[Server]:
    """A fresh, warm server on its own core and a port of its own; it is killed on leaving."""
    port = _free_port()
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "server.log").open("w+") as log:
        process = subprocess.Popen(
            contestant.command_line(HOST, port),
            cwd=HERE.parent,
            env={**os.environ, **contestant.env},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_on_core(0),
        )
        try:
            _wait_for_listener(process, port)
            server = Server(contestant, port, process.pid)
            # Also the warm-up: some servers listen before they can answer, and import on first use. The echo is
            # used because ten people leaving the tutorial's chat at once can break it.
            generate("connect", server, (*contestant.dialect.echo, "-c", "10"))
            yield server
        except CellFailed as failure:
            raise CellFailed(f"{failure}{_last_words(log.name)}") from None
        finally:
            with suppress(ProcessLookupError):  # it may have ended by itself
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def generate(mode: str, server: Server, options: Sequence[str]) -> Figures:
    """Runs the load generator to its end; returns its figures, and how much other work the two cores did."""
    before = _Meter(server)
    done = subprocess.run(
        _generator_command(mode, server, options),
        capture_output=True,
        text=True,
        timeout=CELL_TIMEOUT,
        preexec_fn=_on_core(1),
        check=False,
    )
    if done.returncode:
        raise CellFailed(done.stderr.strip() or f"the load generator ended with {done.returncode}")
    return cast(Figures, json.loads(done.stdout)) | {"foreign_share": before.foreign_share()}


def hold(server: Server, options: Sequence[str], look: Callable[[], None]) -> Figures:
    """Opens idle connections, calls `look` while they are held, then lets go of them."""
    with subprocess.Popen(
        _generator_command("idle", server, options),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_on_core(1),
    ) as process:
        opened = _stream(process.stdout).readline()
        if not opened:
            raise CellFailed(_stream(process.stderr).read().strip())
        look()
        _stream(process.stdin).close()
        held = json.loads(_stream(process.stdout).readline() or "{}")
    if held.get("disconnected", 1):
        raise CellFailed(f"connections were lost while idle: {held}")
    return cast(Figures, json.loads(opened))


def _stream(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None, "the process was started with pipes"
    return pipe


def _generator_command(mode: str, server: Server, options: Sequence[str]) -> list[str]:
    watch = [part for pid in server.family() for part in ("--watch", str(pid))]
    return [str(build_generator()), mode, "--host", HOST, "--port", str(server.port), *options, *watch]


class _Meter:
    """Notes the clocks when made; tells later which share of the busier core went to other people's work."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._cores = machine.cores() or ()
        self._start = self._read()

    def _read(self) -> tuple[float, list[float], list[float]]:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = [_cpu_seconds(self._server), children.ru_utime + children.ru_stime]
        return time.monotonic(), [machine.busy_seconds(core) for core in self._cores], own

    def foreign_share(self) -> float:
        (then, busy_then, own_then), (now, busy_now, own_now) = self._start, self._read()
        busy = [after - before for before, after in zip(busy_then, busy_now, strict=True)]
        own = [after - before for before, after in zip(own_then, own_now, strict=True)]
        return max([0.0, *(b - o for b, o in zip(busy, own, strict=False))]) / (now - then)


def _cpu_seconds(server: Server) -> float:
    ticks = 0
    for pid in server.family():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / machine.TICKS


def _on_core(which: int) -> Callable[[], None] | None:
    pinned = machine.cores()
    return (lambda: os.sched_setaffinity(0, {pinned[which]})) if pinned else None


def _free_port() -> int:
    for port in itertools.islice(_ports, 1000):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise CellFailed("no free port")


def _last_words(log: str) -> str:
    said = Path(log).read_text().strip().splitlines()
    return f" (the server's log ends: {said[-1]})" if said else ""


def _wait_for_listener(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise CellFailed("the server ended at once")
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise CellFailed("the server did not listen within 20 s")
