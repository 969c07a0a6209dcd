"""What is measured. A scenario turns one contestant into one set of figures, on a server started for it alone."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.contestants import Contestant
from benchmarks.processes import Figures, generate, hold, running


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is spent on one cell."""

    seconds: float = 3.0
    idle_connections: int = 10_000
    new_connections: int = 5_000


QUICK = Effort(seconds=1.0, idle_connections=2_000, new_connections=1_000)


class Scenario(ABC):
    """`headline` names the figure that counts; `columns` are the others worth a column, with their headings."""

    key: ClassVar[str]
    title: ClassVar[str]
    what: ClassVar[str]
    unit: ClassVar[str]
    headline: ClassVar[str] = "rate"
    lower_is_better: ClassVar[bool] = False
    columns: ClassVar[dict[str, str]] = {"per_cpu_s": "per server CPU s", "p50_ms": "p50 ms", "p99_ms": "p99 ms"}

    @abstractmethod
    def measure(self, contestant: Contestant, effort: Effort) -> Figures: ...


class Echo(Scenario):
    key = "echo"
    title = "Echo"
    what = "100 clients send 32 bytes each, get them back, send again."
    unit = "messages/s"

    def measure(self, contestant: Contestant, effort: Effort) -> Figures:
        options = (*contestant.dialect.echo, "-c", "100", "--seconds", str(effort.seconds))
        with running(contestant) as server:
            return _per_cpu(generate("echo", server, options), "echoes")


class _FanOut(Scenario):
    unit = "deliveries/s"
    load: ClassVar[tuple[str, ...]]

    def measure(self, contestant: Contestant, effort: Effort) -> Figures:
        options = (*contestant.dialect.chat, "-c", "1000", "--seconds", str(effort.seconds), *self.load)
        with running(contestant) as server:
            return _per_cpu(generate("fanout", server, options), "deliveries")


class FanOut(_FanOut):
    key = "fanout"
    title = "Fan-out to 1,000"
    what = "One client publishes 32 bytes to a room of 1,000 and publishes again when all 1,000 have it."
    load = ("--window", "1")


class Burst(_FanOut):
    key = "burst"
    title = "Burst: 64 in flight to 1,000"
    what = "The same room with 64 messages in flight: the next one leaves as soon as one is through."
    load = ("--window", "64")


class Volley(_FanOut):
    key = "volley"
    title = "Volleys of 16 to 1,000"
    what = "The same room; 16 messages arrive in one write, the next 16 when all 1,000 have them all."
    load = ("--window", "16", "--volley")


class Sleeper(Scenario):
    key = "sleeper"
    title = "One reader falls asleep"
    what = (
        "100 healthy clients get 100 messages of 4 KiB a second, on schedule. Then again, with one more client "
        "that has joined and never reads."
    )
    unit = "p99 ms of the healthy"
    headline = "p99_ms"
    lower_is_better = True
    columns: ClassVar[dict[str, str]] = {
        "p99_ms_without": "p99 ms without the sleeper",
        "ratio": "ratio",
        "undelivered_share": "not delivered",
        "sleepers_closed": "sleepers cut off",
    }

    def measure(self, contestant: Contestant, effort: Effort) -> Figures:
        alone = self._run(contestant, effort, 0)
        beside = self._run(contestant, effort, 1)
        expected = beside["messages"] * beside["connections"]
        return beside | {
            "p99_ms_without": alone["p99_ms"],
            "ratio": beside["p99_ms"] / alone["p99_ms"],
            "undelivered_share": (beside["undelivered"] + beside["lost"]) / expected if expected else 1.0,
        }

    def _run(self, contestant: Contestant, effort: Effort, sleepers: int) -> Figures:
        rate = ("--rate", "100", "--size", "4096", "--warmup", "2")
        options = (*contestant.dialect.chat, "-c", "100", "--seconds", str(effort.seconds), *rate)
        with running(contestant) as server:
            return generate("fanout", server, (*options, "--sleepers", str(sleepers)))


class Idle(Scenario):
    key = "idle"
    title = "Memory of an idle connection"
    what = "Clients join the room and say nothing: resident memory of the server, before and after, by their number."
    unit = "KiB per connection"
    headline = "kib_per_connection"
    lower_is_better = True
    columns: ClassVar[dict[str, str]] = {"connections": "connections"}

    def measure(self, contestant: Contestant, effort: Effort) -> Figures:
        with running(contestant) as server:
            before = server.resident_bytes()
            after = 0

            def look() -> None:
                nonlocal after
                time.sleep(1)  # what handling the last ones allocates is freed by then
                after = server.resident_bytes()

            figures = hold(server, (*contestant.dialect.chat, "-c", str(effort.idle_connections)), look)
        return figures | {"kib_per_connection": (after - before) / 1024 / effort.idle_connections}


class Connect(Scenario):
    key = "connect"
    title = "New connections"
    what = "Clients connect and join the room, 64 handshakes under way at a time, until all are in."
    unit = "connections/s"

    def measure(self, contestant: Contestant, effort: Effort) -> Figures:
        options = (*contestant.dialect.chat, "-c", str(effort.new_connections), "--concurrency", "64")
        with running(contestant) as server:
            return _per_cpu(generate("connect", server, options), "opened")


SCENARIOS: tuple[Scenario, ...] = (Echo(), FanOut(), Burst(), Volley(), Sleeper(), Idle(), Connect())


def _per_cpu(figures: Figures, counted: str) -> Figures:
    """Adds the figure per CPU second of the server, which other work on its core does not lower."""
    cpu = figures["server_cpu_s"]
    return figures | {"per_cpu_s": figures[counted] / cpu} if cpu else figures
