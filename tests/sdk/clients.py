"""Clients of the SDKs, as the tests use them: the same calls and events whatever the SDK, and wherever it runs."""

import itertools
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

Event = dict[str, Any]

CALL_DEADLINE = 10.0
RECONNECT_WITHIN = 0.3
"""Seconds between two attempts of a client to connect, at most."""

_numbers = itertools.count(1)


class Kind(NamedTuple):
    """One way to be a client."""

    host: str
    """What the SDK runs in: ``node``, ``chromium`` or ``python``."""
    encoding: str
    transport: str = "websocket"

    def __str__(self) -> str:
        return "-".join(self if self.transport != "websocket" else self[:2])


WEBSOCKET_KINDS = [Kind(host, encoding) for host in ("node", "chromium", "python") for encoding in ("json", "protobuf")]
FALLBACK_KINDS = [
    Kind(host, encoding, transport)
    for host in ("node", "chromium")
    for encoding, transport in (("json", "http_stream"), ("protobuf", "http_stream"), ("json", "sse"))
]
KINDS = [*WEBSOCKET_KINDS, *FALLBACK_KINDS]


class CallRefused(Exception):
    """The server, or the SDK, answered a call with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Host(ABC):
    """What clients of one SDK run in."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self.complaints: list[str] = []
        """What went wrong in there that no call was told of."""

    @abstractmethod
    def ask(self, client: str, method: str, arguments: Mapping[str, Any]) -> Any:
        """What a call led to.

        Raises:
            CallRefused: an error.
        """

    @abstractmethod
    def stop(self) -> None:
        """Ends all that was started."""

    def note(self, event: Event) -> None:
        """Hands an event to its client; called on any thread."""
        client = self.clients.get(event.pop("client"))
        if client is not None:
            client.hear(event)


class Client:
    """One client of an SDK. It is on its way to be connected from the constructor on.

    Args:
        address: where the server is, such as ``127.0.0.1:8000``.
        token_url: where the SDK gets its tokens.
    """

    def __init__(self, host: Host, kind: Kind, user: str, address: str, token_url: str) -> None:
        self.kind = kind
        self.user = user
        self.name = f"{user} {next(_numbers)}"
        self.id = ""
        self.host = host
        self._events: list[Event] = []
        self._cursors: dict[tuple[str, Any], int] = {}
        self._news = threading.Condition()
        host.clients[self.name] = self
        self.call(
            "open",
            encoding=kind.encoding,
            endpoints=_endpoints(kind, address),
            emulation=f"http://{address}/emulation",
            token_url=token_url,
            reconnect_within=RECONNECT_WITHIN,
        )

    def __repr__(self) -> str:
        return f"<{self.name} in {self.kind}>"

    def expect_welcome(self, within: float = 10.0) -> Event:
        """Waits until it is connected, and notes its id."""
        welcome = self.expect("connected", within)
        self.id = welcome["id"]
        return welcome

    # Calling.

    def call(self, method: str, **arguments: Any) -> Any:
        """What a method of the driver led to.

        Raises:
            CallRefused: an error.
        """
        return self.host.ask(self.name, method, arguments)

    def enter(self, channel: str, **options: Any) -> Event:
        """Subscribes, and gives the event that says so."""
        self.call("subscribe", channel=channel, **options)
        return self.expect("subscribed", channel=channel)

    def close(self) -> None:
        del self.host.clients[self.name]
        self.host.ask(self.name, "close", {})

    # Hearing.

    def hear(self, event: Event) -> None:
        with self._news:
            self._events.append(event)
            self._news.notify_all()

    def heard(self, event: str, **fields: Any) -> list[Event]:
        """All events of this name with these fields, so far."""
        return [one for one in list(self._events) if _is(one, event, fields)]

    def expect(self, event: str, within: float = 5.0, **fields: Any) -> Event:
        """Waits for such an event after the last one of this name and channel that was expected."""
        cursor = (event, fields.get("channel"))
        deadline = time.monotonic() + within
        with self._news:
            while True:
                start = self._cursors.get(cursor, 0)
                for number, one in enumerate(self._events[start:], start + 1):
                    if _is(one, event, fields):
                        self._cursors[cursor] = number
                        return one
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    seen = "\n  ".join(map(str, self._events[-20:]))
                    raise AssertionError(f"{self} expected {event} {fields} within {within:.0f} s, saw\n  {seen}")
                self._news.wait(remaining)


def _is(one: Event, event: str, fields: Mapping[str, Any]) -> bool:
    return one["event"] == event and all(one.get(name) == value for name, value in fields.items())


def _endpoints(kind: Kind, address: str) -> list[dict[str, str]]:
    """As apps give them: WebSocket first, then what to fall back to."""
    endpoints = [{"transport": "websocket", "endpoint": f"ws://{address}/connection/websocket"}]
    if kind.transport != "websocket":
        endpoints.append({"transport": kind.transport, "endpoint": f"http://{address}/connection/{kind.transport}"})
    return endpoints
