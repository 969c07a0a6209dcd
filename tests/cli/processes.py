"""The command line as its users have it: a process of its own, its output, its exit code."""

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

DEADLINE = 20.0
COMMAND = (sys.executable, "-m", "hubbub")
FAULT = re.compile(r"\b(ERROR|CRITICAL)\b|Traceback \(most recent call last\)|was never (awaited|retrieved)")


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's, without any setting of ours, and wide enough that no line is wrapped."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HUBBUB_", "WEB_CONC"))}
    return {**clean, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", **(more or {})}


def run(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, typed: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; ``typed`` is piped into it."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(env),
        input=typed,
        stdin=subprocess.DEVNULL if typed is None else None,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",  # "\udcff" is piped as the byte 0xff
        timeout=DEADLINE,
        check=False,
    )


class Process:
    """A command that runs until it is told to stop."""

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = COMMAND,
        files: Sequence[int] = (),
    ) -> None:
        self._process = subprocess.Popen(
            [*command, *arguments],
            pass_fds=files,
            cwd=cwd,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._coming: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(DEADLINE)
        assert self._process.stdout is not None
        self._until_the_end()
        self._process.stdout.close()

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first match of a line that has not been looked at."""
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                line = self._coming.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"expected {pattern!r} within {DEADLINE} s, it said:\n{self.said}") from None
            assert line is not None, f"expected {pattern!r}, it ended and had said:\n{self.said}"
            match = re.search(pattern, line)
            if match is not None:
                return match

    def port(self) -> int:
        """The port it listens on, once it does."""
        return int(self.wait_for(r"Uvicorn running on http://\S+:(\d+) ")[1])

    def signal(self, number: signal.Signals) -> tuple[int, float]:
        """Sends a signal; gives the exit code, and the seconds until the end."""
        started = time.monotonic()
        self._process.send_signal(number)
        code = self._process.wait(DEADLINE)
        seconds = time.monotonic() - started
        self._until_the_end()
        return code, seconds

    def ended(self) -> int:
        """Its exit code, when it has ended by itself."""
        return self._process.wait(DEADLINE)

    def faults(self) -> list[str]:
        """What it said that something broke."""
        return [line for line in self.lines if FAULT.search(line)]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))
            self._coming.put(line)
        self._coming.put(None)

    def _until_the_end(self) -> None:
        with contextlib.suppress(queue.Empty):
            while self._coming.get(timeout=DEADLINE) is not None:
                pass
            self._coming.put(None)
