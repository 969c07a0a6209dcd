"""Real servers in processes of their own: started, watched from outside, and stopped."""

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

from tests.tls import certificate, trust

from .peers import Peer

APPS = Path(__file__).parent / "apps"
HUBBUB_RUN = "hubbub-run"
OWN_RUNNER = "own-runner"
WIRE = "wire"
WIRE_TLS = "wire-tls"
WIRE_ASYNCIO_TLS = "wire-asyncio-tls"
UVICORN_KINDS = ("uvicorn-default", "uvicorn-websockets", "uvicorn-wsproto")
TLS_KINDS = (WIRE_TLS, WIRE_ASYNCIO_TLS)
OTHER_KINDS = ("hypercorn", "granian")

UVICORN_OPTIONS = {
    WIRE: ("--ws", "hubbub.wire:Protocol", "--loop", "uvloop", "--http", "httptools"),
    WIRE_TLS: ("--ws", "hubbub.wire:Protocol", "--loop", "uvloop", "--http", "httptools"),
    WIRE_ASYNCIO_TLS: ("--ws", "hubbub.wire:Protocol", "--loop", "asyncio", "--http", "h11"),
    "uvicorn-default": (),
    "uvicorn-websockets": ("--ws", "websockets"),
    "uvicorn-wsproto": ("--ws", "wsproto"),
}
NO_RATE_LIMITS = {"HUBBUB_MESSAGE_RATE": "0", "HUBBUB_BYTE_RATE": "0"}
START_DEADLINE = 20.0
FAULT = re.compile(r"\b(ERROR|CRITICAL)\b|Traceback \(most recent call last\)|was never (awaited|retrieved)")


@dataclass(frozen=True)
class State:
    """What the app under test answers at `/state`."""

    clients: int
    tasks: int
    rss: int


@dataclass(frozen=True)
class Stopped:
    """How a server ended after SIGTERM; `code` is None if it had to be killed at the deadline."""

    seconds: float
    code: int | None
    log: str


class StartFailure(AssertionError):
    """The server ended, or did not answer in time; the message has its log."""

    def __init__(self, code: int | None, log: str) -> None:
        super().__init__(f"the server did not start (exit code {code}); it said:\n{log}")
        self.code = code
        self.log = log


def command_for(kind: str, app: str, port: int, options: Sequence[str]) -> list[str]:
    if kind in UVICORN_OPTIONS:
        base = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--app-dir", str(APPS)]
        if kind in TLS_KINDS:
            base += ["--ssl-certfile", certificate()[0], "--ssl-keyfile", certificate()[1]]
        return [*base, *UVICORN_OPTIONS[kind], *options]
    if kind == HUBBUB_RUN:
        return [str(Path(sys.executable).with_name("hubbub")), "run", app, "--port", str(port), *options]
    if kind == OWN_RUNNER:
        return [sys.executable, str(APPS / "own_runner.py"), app, str(port), *options]
    if kind == "hypercorn":
        # No workers: hypercorn serves in the process that gets the signals, so that the hub sees them too.
        options = options or ("--workers", "0")
        base = [sys.executable, "-m", "hypercorn", "--bind", f"127.0.0.1:{port}", *options]
        return [*base, "--access-logfile", "-", "--error-logfile", "-", app]
    if kind == "granian":
        base = [sys.executable, "-m", "granian", "--interface", "asgi", "--port", str(port)]
        return [*base, "--access-log", "--working-dir", str(APPS), *options, app]
    raise ValueError(f"no such kind of server: {kind}")


def free_port() -> int:
    """A port outside the range that outgoing connections take theirs from."""
    for _ in range(100):
        port = random.randrange(20000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port in a hundred tries")


class Server:
    """One server process. It is running, and has answered, from the constructor on."""

    def __init__(
        self,
        kind: str,
        app: str,
        log_path: Path,
        *,
        settings: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.kind = kind
        self.port = free_port()
        self.tls = trust() if kind in TLS_KINDS else None
        """What its peers trust, if it is reached by TLS."""
        self.ws = f"{'ws' if self.tls is None else 'wss'}://127.0.0.1:{self.port}"
        self.log_path = log_path
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}
        python_path = os.pathsep.join(filter(None, [str(APPS), inherited.get("PYTHONPATH")]))
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                command_for(kind, app, self.port, options),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**inherited, "PYTHONPATH": python_path, **NO_RATE_LIMITS, **(settings or {})},
                start_new_session=True,
            )
        self.pid = self._process.pid
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    def __repr__(self) -> str:
        return f"<{self.kind} on {self.port}>"

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_DEADLINE
        while time.monotonic() < deadline:
            code = self._process.poll()
            if code is not None:
                raise StartFailure(code, self.log())
            try:
                self.state()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise StartFailure(None, self.log())

    # Looking.

    def get(self, path: str) -> tuple[int, bytes]:
        connection = (
            HTTPConnection("127.0.0.1", self.port, timeout=5)
            if self.tls is None
            else HTTPSConnection("127.0.0.1", self.port, timeout=5, context=self.tls)
        )
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()

    def state(self) -> State:
        status, body = self.get("/state")
        if status != 200:
            raise AssertionError(f"/state answered {status}: {body!r}\n{self.log()}")
        return State(**json.loads(body))

    def wait_for_state(self, condition: Callable[[State], bool], what: str, within: float = 5.0) -> tuple[State, float]:
        """Poll `/state` until `condition` holds; gives the state and the seconds it took."""
        started = time.monotonic()
        while True:
            state = self.state()
            seconds = time.monotonic() - started
            if condition(state):
                return state, seconds
            if seconds > within:
                raise AssertionError(f"{self} was expected to show {what} within {within:.1f} s, saw {state}")
            time.sleep(0.05)

    def wait_for_clients(self, count: int, within: float = 5.0) -> float:
        return self.wait_for_state(lambda state: state.clients == count, f"{count} clients", within)[1]

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait_for_log(self, pattern: str, within: float = 5.0) -> str:
        """The first line that `pattern` is found in."""
        deadline = time.monotonic() + within
        while True:
            lines = [line for line in self.log().splitlines() if re.search(pattern, line)]
            if lines:
                return lines[0]
            if time.monotonic() > deadline:
                raise AssertionError(f"{self} was expected to log {pattern!r}, saw:\n{self.log()}")
            time.sleep(0.02)

    def workers(self) -> list[int]:
        """The process ids of uvicorn's workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def holds(self, peer: Peer) -> bool:
        """Whether some process still has the server's end of this connection open."""
        return server_inode(self.port, peer) != 0

    def peak_memory(self) -> int:
        """The most memory the process has ever had resident, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024

    # Ending.

    @contextlib.contextmanager
    def hiccup(self, worker: int | None = None) -> Iterator[None]:
        """Freeze the server, or one worker, for the length of the block: what happens in it comes all at once."""
        send = os.killpg if worker is None else os.kill
        send(worker or self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            send(worker or self.pid, signal.SIGCONT)

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def stop(self, within: float = 10.0, *, frozen_for: float = 0.0) -> Stopped:
        """Send SIGTERM and wait for the end.

        A server that was frozen before meets the signal together with all that has become due meanwhile.
        """
        with self.hiccup() if frozen_for else contextlib.nullcontext():
            time.sleep(frozen_for)
            self.terminate()
        started = time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(within)
        seconds = time.monotonic() - started
        code = self._process.poll()
        self.kill()
        return Stopped(seconds, code, self.log())

    def kill(self) -> None:
        """End the process and its children at once; harmless when they have ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def faults_in(log: str) -> list[str]:
    """The lines of a log that say that something broke."""
    return [line for line in log.splitlines() if FAULT.search(line)]


def server_inode(port: int, peer: Peer) -> int:
    """The inode of the server's end of a connection; 0 when no process has it open any more."""
    local, remote = (f"0100007F:{number:04X}" for number in (port, peer.address[1]))
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == local and fields[2] == remote:
            return int(fields[9])
    return 0


def owner_of(port: int, peer: Peer, pids: Sequence[int]) -> int | None:
    """Which of these processes serves the peer."""
    link = f"socket:[{server_inode(port, peer)}]"
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(descriptor) == link:
                    return pid
    return None
