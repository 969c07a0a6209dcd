"""A session that speaks JSON over WebSocket: commands out, replies and pushes in, each wait with a deadline."""

import json
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import connect

DEADLINE = 5.0


class Session:
    """One connection; ``push`` and ``ask`` keep what comes in between for the other."""

    def __init__(self, port: int, **connecting: Any) -> None:
        self._opening = connect(f"ws://127.0.0.1:{port}/connection/websocket", open_timeout=DEADLINE)
        self._connecting = connecting
        self._number = 0
        self._pushes: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self._socket = self._opening.__enter__()
        self.welcome = self.ask("connect", **self._connecting)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opening.__exit__(kind, error, trace)

    def ask(self, method: str, /, **request: Any) -> dict[str, Any]:
        """The result of a command, or its error under that name."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, method: request}))
        while True:
            for reply in self._receive():
                if reply.get("id") == self._number:
                    return dict(reply.get(method, reply))

    def push(self) -> dict[str, Any]:
        """The next push."""
        while not self._pushes:
            self._receive()
        return self._pushes.pop(0)

    def _receive(self) -> list[dict[str, Any]]:
        """The replies in the next message; pushes are kept."""
        replies = [json.loads(line) for line in str(self._socket.recv(timeout=DEADLINE)).split("\n")]
        self._pushes += [reply["push"] for reply in replies if "push" in reply]
        return [reply for reply in replies if "push" not in reply]
