"""What hostile clients send: commands with anything in them, what is nearly a command, and what is none at all.

The messages are drawn from the table of the protocol that the tests have for themselves.
"""

import json
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from hypothesis import strategies as st
from tests.differential import protobuf

Json = dict[str, Any]

CHANNELS = ("room", "room", "typed:a", "board:a", "lone:a", "prices:a", "kept:a", "door:a")
STRANGE = (
    "",
    "$room",
    "room#anna",
    "own#anna",
    "nowhere",
    "x" * 300,
    "é",
    "board:",
    "room\n",
    ":",
    "\x00",
    "typed:a:b",
)
TOKENS = ("", "anna", "anna", "expired", "bad", "x" * 2000)
NUMBERS = (0, 1, 2, 3, 127, 128, 2**31 - 1, 2**32 - 1, 2**32, 2**63 - 1, 2**64 - 1, 10**30, -1, -(2**63))

texts = st.one_of(st.text(max_size=20), st.sampled_from(("a", "b", "eq", "fossil", "e" * 500, "1e999", "\\")))
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
_NAMED: dict[str, st.SearchStrategy[Any]] = {
    "channel": st.sampled_from((*CHANNELS, *CHANNELS, *STRANGE)),
    "token": st.sampled_from(TOKENS),
    "delta": st.sampled_from(("", "fossil", "fossil", "other")),
    "type": st.sampled_from((0, 1, 2, 3, 4, 5, -1)),
    "phase": st.sampled_from((0, 1, 2, 2, 3)),
    "flag": st.sampled_from((0, 1, 2, 3, -1)),
    "method": st.sampled_from(("echo", "slow", "fails", "none", "")),
    "cmp": st.sampled_from(("", "eq", "in", "gt", "ex", "other")),
    "op": st.sampled_from(("", "and", "or", "not", "other")),
    "limit": st.sampled_from((0, 1, 2, 1000, -1)),
    "offset": st.sampled_from((0, 1, 2, 3, 2**63)),
}
_KINDS: dict[str, st.SearchStrategy[Any]] = {
    "u": st.sampled_from(NUMBERS),
    "z": st.sampled_from(NUMBERS),
    "?": st.booleans(),
    "s": texts,
    "b": anything,
}


@cache
def message(name: str, depth: int = 0) -> st.SearchStrategy[Json]:
    """A message of the protocol with some of its fields, each with a value of its type."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for marked, kind, _ in protobuf.FIELDS[name]:
        field = marked.lstrip("*")
        if kind in protobuf.FIELDS or kind[1:] in protobuf.FIELDS:
            if depth == 3:
                continue
            inner = message(kind.lstrip("%"), depth + 1)
        else:
            inner = _NAMED[field] if field in _NAMED else _KINDS[kind.lstrip("%")]
        if marked[0] == "*":
            inner = st.lists(inner, max_size=3)
        elif kind[0] == "%":
            inner = st.dictionaries(_NAMED["channel"], inner, max_size=2)
        fields[field] = inner
    return st.fixed_dictionaries({}, optional=fields)


METHODS = [(marked, kind) for marked, kind, _ in protobuf.FIELDS["Command"] if kind in protobuf.FIELDS]
IN_A_CHANNEL = ("subscribe", "unsubscribe", "publish", "presence", "presence_stats", "history", "sub_refresh")


@st.composite
def sound_commands(draw: st.DrawFn) -> Json:
    """A command that a client may send once it has connected: it must be answered, or end the session."""
    method, kind = draw(st.sampled_from([one for one in METHODS if one[0] != "connect"]))
    request = draw(message(kind))
    if method in IN_A_CHANNEL and draw(st.integers(0, 9)):
        request["channel"] = draw(st.sampled_from(CHANNELS))
    return {"id": draw(st.integers(1, 2**32 - 1)), method: request}


commands = st.one_of(sound_commands(), sound_commands(), message("Command"))


class Frame(NamedTuple):
    """One message of a transport."""

    data: str | bytes
    sound: tuple[int, ...] = ()
    """The numbers of the commands that must be answered, if the session lives."""


@st.composite
def sound_frames(draw: st.DrawFn, *, binary: bool) -> Frame:
    batch = draw(st.lists(sound_commands(), min_size=1, max_size=3))
    try:
        data = encode(batch, binary=binary)
    except UnicodeEncodeError:
        return Frame("", ())
    return Frame(data, tuple(command["id"] for command in batch))


def encode(batch: list[Json], *, binary: bool, spread: bool = False) -> str | bytes:
    """Commands as they are on the wire."""
    text = "\n".join(json.dumps(command, ensure_ascii=spread) for command in batch)
    return protobuf.commands(text) if binary else text


Change = Callable[[bytes, int, bytes], bytes]
CHANGES: dict[str, Change] = {
    "cut": lambda data, at, piece: data[:at],
    "leave out": lambda data, at, piece: data[:at] + data[at + len(piece) + 1 :],
    "put in": lambda data, at, piece: data[:at] + piece + data[at:],
    "overwrite": lambda data, at, piece: data[:at] + piece + data[at + len(piece) :],
    "flip": lambda data, at, piece: (
        data[:at] + bytes(byte ^ 1 << len(piece) % 8 for byte in data[at : at + 1]) + data[at + 1 :]
    ),
    "repeat": lambda data, at, piece: data[: at + len(piece) * 4] + data[at:],
}
PIECES = (b"\n", b'"', b"{", b"}", b"[", b"\x00", b"\xff", b"\\ud800", b"null", b"1e999", b"-", b"\x80\x80\x80\x80\x80")


@st.composite
def damaged_frames(draw: st.DrawFn, *, binary: bool) -> Frame:
    """What was a frame, with some bytes changed."""
    batch = draw(st.lists(commands, min_size=1, max_size=2))
    try:
        data = encode(batch, binary=binary, spread=draw(st.booleans()))
    except UnicodeEncodeError:
        data = b""
    damaged = data.encode(errors="replace") if isinstance(data, str) else data
    for _ in range(draw(st.integers(0, 3))):
        change = CHANGES[draw(st.sampled_from(sorted(CHANGES)))]
        at = draw(st.integers(0, max(0, len(damaged))))
        damaged = change(damaged, at, draw(st.sampled_from(PIECES) | st.binary(max_size=6)))
    as_text = not binary and draw(st.integers(0, 3)) > 0
    return Frame(damaged.decode(errors="replace") if as_text else damaged)


@st.composite
def wrong_types(draw: st.DrawFn) -> Frame:
    """JSON in which one value is something else than it should be."""
    command = draw(commands)
    holder = command
    while True:
        key = draw(st.sampled_from(sorted(holder))) if holder else "id"
        inner = holder.get(key)
        if not isinstance(inner, dict) or not draw(st.booleans()):
            holder[key] = draw(anything)
            break
        holder = inner
    return Frame(json.dumps(command))


def deep(depth: int, *, binary: bool) -> Frame:
    """Data that is nested as deeply as this, in a command."""
    nested = "[" * depth + "]" * depth
    if binary:
        data = nested.encode()
        request = b"\x0a\x04room" + b"\x12" + protobuf._prefixed(data)
        command = b"\x08\x05" + b"\x3a" + protobuf._prefixed(request)
        return Frame(protobuf._prefixed(command))
    return Frame(f'{{"id":5,"publish":{{"channel":"room","data":{nested}}}}}')


def frames(*, binary: bool) -> st.SearchStrategy[Frame]:
    """Anything that a peer may send as one message."""
    return st.one_of(
        sound_frames(binary=binary),
        sound_frames(binary=binary),
        damaged_frames(binary=binary),
        damaged_frames(binary=binary),
        sound_frames(binary=binary) if binary else wrong_types(),
        st.builds(deep, st.sampled_from((10, 99, 101, 300, 480, 900, 980, 1000, 5000, 30_000)), binary=st.just(binary)),
        st.builds(Frame, st.text(max_size=30) | st.binary(max_size=30)),
        st.just(Frame("x" * 70_000 if not binary else b"x" * 70_000)),
        st.just(Frame("\n".join(["{}"] * 300) if not binary else b"\x00" * 300)),
    )
