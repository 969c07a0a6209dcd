"""What a client makes of deltas: any delta that leads to the right payload is right."""

import copy
import json
import re
from collections.abc import Sequence
from typing import Any

from tests.protocol.fossil import apply_delta

from .json_text import Node, NotJson, parse, walk

PUBLICATION = re.compile(r"(?:.*\.)?(?:pub|(?:publications|state)(?:\[\d+\])?)")


def in_full(transcript: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The transcript with each delta replaced by what it leads to; one that leads nowhere stays."""
    steps = copy.deepcopy(list(transcript))
    payloads: dict[tuple[str, str], bytes] = {}
    for step in steps:
        for name, texts in step.get("messages", {}).items():
            texts[:] = [_undone(text, name, payloads) for text in texts]
    return steps


def _undone(text: str, name: str, payloads: dict[tuple[str, str], bytes]) -> str:
    """One message of a connection, with what its publications were before: by key, where they have one."""
    try:
        found = [node for path, node in walk(parse(text)) if node.kind == "object" and PUBLICATION.fullmatch(path)]
    except NotJson:
        return text
    parts, at = [], 0
    for node in found:
        members = dict(node.members)
        key = name, members["key"].text if "key" in members else ""
        data = _bytes(members.get("data"))
        if data is not None and "delta" in members:
            data = _applied(payloads.get(key, b""), data)
            if data is not None:
                parts += [text[at : members["data"].start], json.dumps(data.decode(), ensure_ascii=False)]
                at = members["data"].end
        if data is not None:
            payloads[key] = data
    return "".join([*parts, text[at:]])


def _applied(base: bytes, delta: bytes) -> bytes | None:
    try:
        return apply_delta(base, delta)
    except ValueError:
        return None


def _bytes(data: Node | None) -> bytes | None:
    """The payload of a subscription with deltas: text, or the bytes of the Protobuf variant."""
    value = None if data is None else json.loads(data.text)
    if isinstance(value, dict) and set(value) == {"$hex"}:
        return bytes.fromhex(value["$hex"])
    return value.encode(errors="surrogatepass") if isinstance(value, str) else None
