"""Compares two transcripts of a scenario, and says precisely where they differ."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .deltas import in_full
from .json_text import Node, NotJson, parse

ABSENT = "*absent*"
EPOCH = re.compile(r'"epoch-\d+"')


@dataclass(frozen=True)
class Difference:
    """At `path` the reference showed `recorded` and we showed `ours`."""

    path: str
    recorded: str
    ours: str

    def __str__(self) -> str:
        return f"{self.path}\n    recorded: {self.recorded}\n    ours:     {self.ours}"


def compare(recorded: Sequence[dict[str, Any]], ours: Sequence[dict[str, Any]]) -> list[Difference]:
    """Every difference between two normalised transcripts of one scenario."""
    comparison = _Comparison()
    found = [] if len(recorded) == len(ours) else [Difference("steps", str(len(recorded)), str(len(ours)))]
    for index, (theirs, mine) in enumerate(zip(in_full(recorded), in_full(ours), strict=False)):
        found.extend(comparison.values(f"step[{index}]", theirs, mine))
    return found


class _Comparison:
    """What belongs together in a scenario: where one epoch was recorded, one is ours.

    Not the other way about: an epoch is a word of one channel, and two channels may have the same.
    """

    def __init__(self) -> None:
        self._epochs: dict[str, str] = {}

    def values(self, path: str, recorded: Any, ours: Any) -> Iterator[Difference]:
        if isinstance(recorded, dict) and isinstance(ours, dict):
            for key in dict.fromkeys([*recorded, *ours]):
                yield from self.values(f"{path}.{key}", recorded.get(key, ABSENT), ours.get(key, ABSENT))
        elif isinstance(recorded, list) and isinstance(ours, list):
            for index in range(max(len(recorded), len(ours))):
                yield from self.values(f"{path}[{index}]", _at(recorded, index), _at(ours, index))
        elif isinstance(recorded, str) and isinstance(ours, str):
            yield from self._texts(path, recorded, ours)
        elif recorded != ours:
            yield Difference(path, str(recorded), str(ours))

    def _texts(self, path: str, recorded: str, ours: str) -> Iterator[Difference]:
        try:
            theirs, mine = parse(recorded), parse(ours)
        except NotJson:
            if recorded != ours:
                yield Difference(path, recorded, ours)
        else:
            yield from self._nodes(path, theirs, mine)

    def _nodes(self, path: str, recorded: Node, ours: Node) -> Iterator[Difference]:
        """The innermost differences; what only whitespace tells apart is one difference of the innermost value."""
        inner: list[Difference] = []
        if recorded.kind == ours.kind == "object":
            inner = list(self._members(path, recorded, ours))
        elif recorded.kind == ours.kind == "array" and len(recorded.items) == len(ours.items):
            pairs = enumerate(zip(recorded.items, ours.items, strict=True))
            inner = [found for index, (a, b) in pairs for found in self._nodes(f"{path}[{index}]", a, b)]
        elif EPOCH.fullmatch(recorded.text) and EPOCH.fullmatch(ours.text):
            self._epochs.setdefault(recorded.text, ours.text)
        if inner or self._renamed(recorded.text) != ours.text:
            yield from inner or [Difference(path, recorded.text, ours.text)]

    def _renamed(self, text: str) -> str:
        return EPOCH.sub(lambda found: self._epochs.get(found.group(), found.group()), text)

    def _members(self, path: str, recorded: Node, ours: Node) -> Iterator[Difference]:
        theirs, mine = dict(recorded.members), dict(ours.members)
        for key in dict.fromkeys([*theirs, *mine]):
            if key not in mine:
                yield Difference(f"{path}.{key}", theirs[key].text, ABSENT)
            elif key not in theirs:
                yield Difference(f"{path}.{key}", ABSENT, mine[key].text)
            else:
                yield from self._nodes(f"{path}.{key}", theirs[key], mine[key])
        order = [[key for key, _ in node.members if key in theirs and key in mine] for node in (recorded, ours)]
        if order[0] != order[1]:
            yield Difference(f"{path} (order of keys)", " ".join(order[0]), " ".join(order[1]))


def _at(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else ABSENT
