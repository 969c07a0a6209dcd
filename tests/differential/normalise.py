"""Replaces what two servers, or two runs of one, must tell differently; everything else keeps every byte.

Replaced, in order of appearance within a scenario, so that equal things stay equal:

- UUIDs (client, session and node ids): ``uuid-1``, ``uuid-2`` …
- non-empty epochs: ``epoch-1`` …
- the version of the server in a connect result or push: ``version``
- ``time`` in milliseconds: ``"time"``
- a ``ttl``: rounded up to the next ten seconds; above a hundred days: ``"ttl-long"``
- of a node of ``info``: every value but not the keys; the metrics have no order and are left out.

Not compared:

- the order of keys in maps, random in the reference: ``presence``, ``subs``, ``tags``, ``channels``;
- where, within one step, the reply to a publish stands among the other messages of its connection: it is put last;
- where, within one step, join and leave pushes stand on a connection: they are put at the end, sorted - but one that
  comes before the reply that subscribes to its channel is reported as ``early``;
- the text of a plain-text answer: only that there is one;
- the frames in which messages came: a frame of several is taken apart.
"""

import re
from typing import Any

from .json_text import Node, NotJson, parse
from .runner import Seen

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
MAPS = ("presence", "subs", "tags", "channels")
RAW = ("data", "conn_info", "chan_info", "params", "stream_data")
"""What applications write; nothing within it is replaced."""

LONG = 100 * 86400
MOVED_LAST = re.compile(r'\{"id":\d+,"publish":')
SUBSCRIBED = re.compile(r'\{"id":\d+,"subscribe":')
MOVED_SORTED = re.compile(r'\{(?:"push":\{)?"channel":"((?:[^"\\]|\\.)*)","(?:join|leave)":')


class Normaliser:
    """Normalises the steps of one scenario, in order."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.subscribed: dict[str, set[str]] = {}

    def step(self, seen: Seen) -> dict[str, Any]:
        """The step, normalised."""
        done: dict[str, Any] = dict(seen)
        if "opened" in seen:
            done["opened"] = {name: self._opened(how) for name, how in self._dict(seen, "opened").items()}
        if "messages" in seen:
            texts = {name: [self.text(t) for t in texts] for name, texts in self._dict(seen, "messages").items()}
            early = [finding for name in texts for finding in self._early(name, texts[name])]
            done["messages"] = {name: _ordered(texts[name]) for name in sorted(texts)}
            if early:
                done["early"] = early
        if "http" in seen:
            done["http"] = self._answer(dict(self._dict(seen, "http")))
        if isinstance(seen.get("backend"), str):
            done["backend"] = self.text(str(seen["backend"]))
        return done

    @staticmethod
    def _dict(seen: Seen, key: str) -> dict[str, Any]:
        found = seen[key]
        assert isinstance(found, dict)
        return found

    def _opened(self, how: dict[str, Any]) -> dict[str, Any]:
        return {**how, "body": _plain(how["body"])} if "body" in how else how

    def _answer(self, http: dict[str, Any]) -> dict[str, Any]:
        kind = http["headers"].get("content-type", "")
        body = http["body"]
        http["body"] = self.text(body) if kind.startswith("application/json") else _plain(body)
        return http

    def text(self, text: str) -> str:
        """One JSON text, or several by line, normalised; what is no JSON stays as it is."""
        try:
            return self._node(parse(text), "")
        except NotJson:
            if "\n" in text:
                return "\n".join(self.text(line) for line in text.split("\n"))
            return UUID.sub(lambda found: self._name("uuid", found.group()), text)

    def _name(self, kind: str, value: str) -> str:
        if value not in self.names:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            self.names[value] = f"{kind}-{self.counts[kind]}"
        return self.names[value]

    def _node(self, node: Node, path: str) -> str:
        """The text of the node with its inner values replaced, the whitespace between them kept."""
        key = path.rpartition(".")[2]
        if key in RAW:
            return node.text
        if path.startswith("result.nodes["):
            return self._info(node, path)
        if node.kind == "scalar":
            return self._scalar(key, path, node.text)
        children = [(f"{path}.{name}".lstrip("."), child) for name, child in node.members]
        children += [(f"{path}[{index}]", child) for index, child in enumerate(node.items)]
        parts, at = [], 0
        for inner, child in children:
            parts.append(node.text[at : child.start - node.start] + self._node(child, inner))
            at = child.end - node.start
        if key in MAPS and node.kind == "object" and len(parts) > 1:
            members = sorted(self._renamed(part.lstrip("{,")) for part in parts)
            return "{" + ",".join(members) + node.text[at:]
        return self._renamed("".join(parts) + node.text[at:])

    def _renamed(self, text: str) -> str:
        return UUID.sub(lambda found: self._name("uuid", found.group()), text)

    def _info(self, node: Node, path: str) -> str:
        if node.kind == "object" and path.endswith("]"):
            return (
                "{" + ",".join(f'"{name}":' + self._info(child, f"{path}.{name}") for name, child in node.members) + "}"
            )
        if path.endswith(".metrics"):
            return '"metrics"'
        if node.kind == "object":
            return "{" + ",".join(f'"{name}":"{name}"' for name, _ in node.members) + "}"
        return f'"{path.rpartition(".")[2]}"'

    def _scalar(self, key: str, path: str, text: str) -> str:
        if key == "epoch" and text not in ('""', '"_"'):
            return f'"{self._name("epoch", text)}"'
        if key == "version" and text.startswith('"') and "connect" in path:
            return '"version"'
        if key == "time" and text.isdigit():
            return '"time"'
        if key == "ttl" and text.isdigit():
            return '"ttl-long"' if int(text) > LONG else str(-(-int(text) // 10) * 10)
        return text

    def _early(self, name: str, texts: list[str]) -> list[str]:
        """Joins and leaves of a channel not heard of before that come before the reply to a subscribe, in one step."""
        last = max((at for at, text in enumerate(texts) if SUBSCRIBED.match(text)), default=-1)
        known = self.subscribed.setdefault(name, set())
        found = []
        for at, text in enumerate(texts):
            moved = MOVED_SORTED.match(text)
            if moved and at < last and moved.group(1) not in known:
                found.append(f"{name}: {text}")
            elif moved:
                known.add(moved.group(1))
        return found


def _ordered(texts: list[str]) -> list[str]:
    kept = [text for text in texts if not MOVED_LAST.match(text) and not MOVED_SORTED.match(text)]
    replies = [text for text in texts if MOVED_LAST.match(text)]
    return [*kept, *replies, *sorted(text for text in texts if MOVED_SORTED.match(text))]


def _plain(text: str) -> str:
    return "*text*" if text else ""


def transcript(seen: list[Seen]) -> list[dict[str, Any]]:
    """The steps of one scenario, normalised."""
    normaliser = Normaliser()
    return [normaliser.step(step) for step in seen]
