"""JSON as it was written: a parser that keeps the place and the text of every value.

The comparison is of texts: the order of keys, omitted fields, the spelling of numbers and the whitespace matter.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

SPACE = re.compile(r"[ \t\r\n]*")
STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
LITERAL = re.compile(r"-?[0-9][0-9.eE+-]*|true|false|null")


class NotJson(ValueError):
    """The text is not JSON."""


@dataclass(frozen=True)
class Node:
    """One value: `text` is exactly what was written; members and items are in the order they were written."""

    text: str
    start: int
    end: int
    members: tuple[tuple[str, "Node"], ...] = ()
    items: tuple["Node", ...] = ()
    kind: str = field(default="scalar")


def parse(text: str) -> Node:
    """The one value of the text."""
    node = _value(text, _skip(text, 0))
    if _skip(text, node.end) != len(text):
        raise NotJson(f"more text at {node.end}")
    return node


def _skip(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    return found.end() if found else at


def _value(text: str, at: int) -> Node:
    if text[at : at + 1] == "{":
        return _object(text, at)
    if text[at : at + 1] == "[":
        return _array(text, at)
    found = STRING.match(text, at) or LITERAL.match(text, at)
    if not found:
        raise NotJson(f"no value at {at}")
    return Node(found.group(), at, found.end())


def _object(text: str, start: int) -> Node:
    members = []
    at = _skip(text, start + 1)
    while text[at : at + 1] != "}":
        key = STRING.match(text, at)
        if not key:
            raise NotJson(f"no key at {at}")
        at = _skip(text, key.end())
        if text[at : at + 1] != ":":
            raise NotJson(f"no colon at {at}")
        value = _value(text, _skip(text, at + 1))
        members.append((key.group()[1:-1], value))
        at = _next(text, value.end, "}")
    return Node(text[start : at + 1], start, at + 1, members=tuple(members), kind="object")


def _array(text: str, start: int) -> Node:
    items = []
    at = _skip(text, start + 1)
    while text[at : at + 1] != "]":
        value = _value(text, at)
        items.append(value)
        at = _next(text, value.end, "]")
    return Node(text[start : at + 1], start, at + 1, items=tuple(items), kind="array")


def _next(text: str, at: int, closing: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] == ",":
        return _skip(text, at + 1)
    if text[at : at + 1] != closing:
        raise NotJson(f"neither comma nor {closing} at {at}")
    return at


def walk(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    """Every value with its path, the outer before the inner."""
    yield path, node
    for key, member in node.members:
        yield from walk(member, f"{path}.{key}" if path else key)
    for index, item in enumerate(node.items):
        yield from walk(item, f"{path}[{index}]")
