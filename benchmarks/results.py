"""What a run leaves behind: plain values that go to JSON and come back."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.processes import Figures


@dataclass(slots=True)
class Failure:
    scenario: str
    contestant: str
    reason: str


@dataclass(slots=True)
class Results:
    """`cells[scenario][contestant]` holds the figures of each repeat, in the order they were taken."""

    date: str
    command: str
    machine: dict[str, object]
    method: dict[str, object]
    servers: dict[str, dict[str, str]]
    cells: dict[str, dict[str, list[Figures]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def add(self, scenario: str, contestant: str, figures: Figures) -> None:
        self.cells.setdefault(scenario, {}).setdefault(contestant, []).append(figures)

    def values(self, scenario: str, contestant: str, figure: str) -> list[float]:
        repeats = self.cells.get(scenario, {}).get(contestant, [])
        return [repeat[figure] for repeat in repeats if figure in repeat]

    def median(self, scenario: str, contestant: str, figure: str) -> float | None:
        values = self.values(scenario, contestant, figure)
        return statistics.median(values) if values else None

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Results:
        stored = json.loads(path.read_text())
        stored["failures"] = [Failure(**failure) for failure in stored["failures"]]
        return cls(**stored)
