"""Tags filters: which publications of a channel a subscriber wants, in the subscriber's own words.

A filter is a tree of comparisons under ``and``, ``or`` and ``not``. It comes from a client and is evaluated for every
publication, so it is checked, bounded and turned into a value once, when it comes; matching is then a walk over small
objects. Subscribers with equal filters can share one evaluation, because filters are hashable.

The comparisons are ``eq`` and ``neq`` (equal or not), ``in`` and ``nin`` (one of several or none), ``ex`` and ``nex``
(there or not), ``sw``, ``ew`` and ``ct`` (starts with, ends with, contains), ``gt``, ``gte``, ``lt`` and ``lte`` (as
numbers). Without the tag, ``neq``, ``nin`` and ``nex`` match and no other does.

Source: https://centrifugal.dev/docs/server/publication_filtering
"""

import operator
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Protocol, TypeAlias

from hubbub.protocol.publication import size_of

_MOST_LEVELS, _MOST_NODES, _MOST_VALUES = 32, 256, 512
"""Of a whole filter. With so many comparisons of numbers, the slowest kind, it matches within 40 µs."""
_MOST_TEXT = 16 * 1024
"""Bytes of all names and values in a filter. With so many values and so much text, it takes about 100 KiB."""
_LONGEST_NUMBER = 200
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]{1,19})?")
"""What Centrifugo takes for a number. There is no exponent, so none can make a short text an enormous number."""


class Node(Protocol):
    """A filter as it was sent: an operation on ``nodes`` or, if ``op`` is empty, a comparison of the tag ``key``."""

    @property
    def op(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def cmp(self) -> str: ...
    @property
    def val(self) -> str: ...
    @property
    def vals(self) -> Sequence[str]: ...
    @property
    def nodes(self) -> "Sequence[Node]": ...


class Filter(ABC):
    """A filter that is known to be valid: immutable, hashable, and equal to another that says the same."""

    __slots__ = ()

    @staticmethod
    def parse(node: Node) -> "Filter":
        """The filter that was sent as ``node``.

        Raises:
            ValueError: It is not valid, or has more than 32 levels, 256 nodes, 512 values in ``vals``, or 16 KiB of
                names and values. The sentence is for its author.
        """
        _ensure_within_bounds(node)
        return _parse(node)

    @abstractmethod
    def matches(self, tags: Mapping[str, str]) -> bool:
        """Whether a publication with these tags is wanted. Raises for no tags."""


def _ensure_within_bounds(root: Node) -> None:
    level, nodes, values, text = [root], 1, 0, 0
    for _ in range(_MOST_LEVELS):
        for node in level:
            values += len(node.vals)
            if values > _MOST_VALUES:
                raise ValueError(f"a filter has at most {_MOST_VALUES} values in all 'vals' together")
            text += sum(map(size_of, (node.key, node.val, *node.vals)))
            if text > _MOST_TEXT:
                raise ValueError(f"a filter has at most {_MOST_TEXT} bytes of names and values")
        level = [child for node in level for child in node.nodes]
        if not level:
            return
        nodes += len(level)
        if nodes > _MOST_NODES:
            raise ValueError(f"a filter has at most {_MOST_NODES} nodes")
    raise ValueError(f"a filter has at most {_MOST_LEVELS} levels")


def _parse(node: Node) -> Filter:
    if not node.op:
        return _parse_comparison(node)
    if node.op not in ("and", "or", "not"):
        raise ValueError(f"no operation is called {node.op!r:.40}: give 'and', 'or' or 'not' in 'op', or leave it out")
    nodes = tuple([_parse(child) for child in node.nodes])
    if node.op == "not":
        if len(nodes) != 1:
            raise ValueError(f"the operation 'not' needs exactly one node in 'nodes', not {len(nodes)}")
        return _Not(nodes[0])
    if not nodes:
        raise ValueError(f"the operation {node.op!r} needs at least one node in 'nodes'")
    return _And(nodes) if node.op == "and" else _Or(nodes)


def _parse_comparison(node: Node) -> Filter:
    if node.cmp not in _COMPARISONS:
        raise ValueError(f"no comparison is called {node.cmp!r:.40}: give one of {', '.join(_COMPARISONS)} in 'cmp'")
    if not node.key:
        raise ValueError(f"the comparison {node.cmp!r} needs the name of a tag in 'key'")
    operand, build = _COMPARISONS[node.cmp]
    for name, given in (("val", node.val), ("vals", node.vals)):
        if name == operand and not given:
            raise ValueError(f"the comparison {node.cmp!r} needs {name!r}, and it may not be empty")
        if name != operand and given:
            raise ValueError(f"the comparison {node.cmp!r} has no use for {name!r}: leave it out")
    return build(node)


@dataclass(frozen=True, slots=True)
class _And(Filter):
    nodes: tuple[Filter, ...]

    def matches(self, tags: Mapping[str, str]) -> bool:
        for node in self.nodes:  # noqa: SIM110 - all() of a generator takes 60 % longer
            if not node.matches(tags):
                return False
        return True


@dataclass(frozen=True, slots=True)
class _Or(Filter):
    nodes: tuple[Filter, ...]

    def matches(self, tags: Mapping[str, str]) -> bool:
        for node in self.nodes:  # noqa: SIM110 - as above
            if node.matches(tags):
                return True
        return False


@dataclass(frozen=True, slots=True)
class _Not(Filter):
    node: Filter

    def matches(self, tags: Mapping[str, str]) -> bool:
        return not self.node.matches(tags)


@dataclass(frozen=True, slots=True)
class _Exists(Filter):
    key: str

    def matches(self, tags: Mapping[str, str]) -> bool:
        return self.key in tags


@dataclass(frozen=True, slots=True)
class _OneOf(Filter):
    key: str
    values: frozenset[str]

    def matches(self, tags: Mapping[str, str]) -> bool:
        return tags.get(self.key) in self.values


@dataclass(frozen=True, slots=True)
class _Text(Filter):
    key: str
    test: Callable[[str, str], bool]
    value: str

    def matches(self, tags: Mapping[str, str]) -> bool:
        text = tags.get(self.key)
        return text is not None and self.test(text, self.value)


@dataclass(frozen=True, slots=True)
class _Number(Filter):
    key: str
    test: Callable[[Decimal, Decimal], bool]
    value: Decimal | None
    """None: what was given is not a number, so nothing matches."""

    def __hash__(self) -> int:
        # Anyone can find numbers with one hash, and subscribers with filters of one hash cost as many comparisons
        # as there are pairs of them. The hash of text is not to be foreseen.
        ratio = None if self.value is None else self.value.as_integer_ratio()
        return hash((self.key, self.test, str(ratio)))

    def matches(self, tags: Mapping[str, str]) -> bool:
        number = _number(tags.get(self.key, ""))
        return number is not None and self.value is not None and self.test(number, self.value)


def _number(text: str) -> Decimal | None:
    return _decimal(text) if len(text) <= _LONGEST_NUMBER else None


@lru_cache(256)  # all subscribers of a channel compare the same few tags
def _decimal(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


_Build: TypeAlias = Callable[[Node], Filter]


def _one_of(node: Node) -> Filter:
    return _OneOf(node.key, frozenset(node.vals or (node.val,)))


def _exists(node: Node) -> Filter:
    return _Exists(node.key)


def _not(build: _Build) -> _Build:
    return lambda node: _Not(build(node))


def _as_text(test: Callable[[str, str], bool]) -> _Build:
    return lambda node: _Text(node.key, test, node.val)


def _as_number(test: Callable[[Decimal, Decimal], bool]) -> _Build:
    return lambda node: _Number(node.key, test, _number(node.val))


_COMPARISONS: Mapping[str, tuple[str, _Build]] = {
    "eq": ("val", _one_of),
    "neq": ("val", _not(_one_of)),
    "in": ("vals", _one_of),
    "nin": ("vals", _not(_one_of)),
    "ex": ("", _exists),
    "nex": ("", _not(_exists)),
    "sw": ("val", _as_text(str.startswith)),
    "ew": ("val", _as_text(str.endswith)),
    "ct": ("val", _as_text(operator.contains)),
    "gt": ("val", _as_number(operator.gt)),
    "gte": ("val", _as_number(operator.ge)),
    "lt": ("val", _as_number(operator.lt)),
    "lte": ("val", _as_number(operator.le)),
}
"""Of each comparison, the field that it needs, and what it becomes."""
