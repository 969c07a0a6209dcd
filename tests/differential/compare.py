"""Compares two transcripts of a scenario, and says precisely where they differ."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .json_text import Node, NotJson, parse

ABSENT = "*absent*"


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
    found = [] if len(recorded) == len(ours) else [Difference("steps", str(len(recorded)), str(len(ours)))]
    for index, (theirs, mine) in enumerate(zip(recorded, ours, strict=False)):
        found.extend(_values(f"step[{index}]", theirs, mine))
    return found


def _values(path: str, recorded: Any, ours: Any) -> Iterator[Difference]:
    if recorded == ours:
        return
    if isinstance(recorded, dict) and isinstance(ours, dict):
        for key in dict.fromkeys([*recorded, *ours]):
            yield from _values(f"{path}.{key}", recorded.get(key, ABSENT), ours.get(key, ABSENT))
    elif isinstance(recorded, list) and isinstance(ours, list):
        for index in range(max(len(recorded), len(ours))):
            yield from _values(f"{path}[{index}]", _at(recorded, index), _at(ours, index))
    elif isinstance(recorded, str) and isinstance(ours, str):
        yield from _texts(path, recorded, ours)
    else:
        yield Difference(path, str(recorded), str(ours))


def _at(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else ABSENT


def _texts(path: str, recorded: str, ours: str) -> Iterator[Difference]:
    try:
        inner = list(_nodes(path, parse(recorded), parse(ours)))
    except NotJson:
        inner = []
    yield from inner or [Difference(path, recorded, ours)]


def _nodes(path: str, recorded: Node, ours: Node) -> Iterator[Difference]:
    """The innermost differences; what only whitespace tells apart is one difference of the innermost value."""
    if recorded.text == ours.text:
        return
    inner: list[Difference] = []
    if recorded.kind == ours.kind == "object":
        inner = list(_members(path, recorded, ours))
    elif recorded.kind == ours.kind == "array" and len(recorded.items) == len(ours.items):
        pairs = enumerate(zip(recorded.items, ours.items, strict=True))
        inner = [found for index, (a, b) in pairs for found in _nodes(f"{path}[{index}]", a, b)]
    yield from inner or [Difference(path, recorded.text, ours.text)]


def _members(path: str, recorded: Node, ours: Node) -> Iterator[Difference]:
    theirs, mine = dict(recorded.members), dict(ours.members)
    for key in dict.fromkeys([*theirs, *mine]):
        if key not in mine:
            yield Difference(f"{path}.{key}", theirs[key].text, ABSENT)
        elif key not in theirs:
            yield Difference(f"{path}.{key}", ABSENT, mine[key].text)
        else:
            yield from _nodes(f"{path}.{key}", theirs[key], mine[key])
    order = [[key for key, _ in node.members if key in theirs and key in mine] for node in (recorded, ours)]
    if order[0] != order[1]:
        yield Difference(f"{path} (order of keys)", " ".join(order[0]), " ".join(order[1]))
