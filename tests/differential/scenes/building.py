"""Short forms for the scenarios: most are one connection that says one thing after another."""

import json
from collections.abc import Mapping

from tests.differential.scenario import Open, Scenario, Send, Step
from tests.differential.tokens import user

CONNECT = '{"id":1,"connect":{}}'
"""Anonymous."""


def connect_as(name: str, **fields: object) -> str:
    """The connect command of a user."""
    return json.dumps({"id": 1, "connect": {"token": user(name), **fields}}, separators=(",", ":"))


def joined(name: str = "a", connect: str = CONNECT, transport: str = "ws", *, protobuf: bool = False) -> list[Step]:
    """A connection that is connected."""
    if transport != "ws":
        return [Open(name, transport, connect, protobuf=protobuf)]
    protocols = ("centrifuge-protobuf",) if protobuf else ()
    return [Open(name, protobuf=protobuf, subprotocols=protocols), Send(name, connect)]


def conversation(name: str, *frames: str | bytes, connect: str = CONNECT) -> Scenario:
    """One connection that connects and then sends these frames."""
    return Scenario(name, (*joined("a", connect), *(Send("a", frame) for frame in frames)))


def each(
    theme: str, frames: Mapping[str, str | bytes | tuple[str | bytes, ...]], connect: str = CONNECT
) -> list[Scenario]:
    """One scenario per entry, on a connection that is connected."""
    return [
        conversation(f"{theme}: {name}", *(frame if isinstance(frame, tuple) else (frame,)), connect=connect)
        for name, frame in frames.items()
    ]


def first(theme: str, frames: Mapping[str, str | bytes]) -> list[Scenario]:
    """One scenario per entry: the first frame of a connection."""
    return [Scenario(f"{theme}: {name}", (Open("a"), Send("a", frame))) for name, frame in frames.items()]


def command(id: int, method: str, /, **fields: object) -> str:
    """A command as SDKs write it."""
    return json.dumps({"id": id, method: fields}, separators=(",", ":"), ensure_ascii=False)
