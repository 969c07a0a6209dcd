"""What a scenario is made of: a name, the configuration of the server it is played against, and steps.

Texts of steps are templates. ``${a.client}``, ``${a.session}``, ``${a.node}`` and ``${a.epoch}`` are what connection
``a`` was last told; ``${api.epoch}`` is the epoch last seen in an answer of the HTTP API; ``${now+60}`` is a time in
seconds; ``${token.NAME}`` is a token of the scenario, signed when the scenario is played.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Headers = Mapping[str, str]
Counts = Mapping[str, int]


@dataclass(frozen=True)
class After:
    """A time that many seconds after the moment of play, in the claims of a token."""

    seconds: int


@dataclass(frozen=True, kw_only=True)
class Step:
    """`wait` says of a connection how many messages to await, where a barrier cannot tell that all have come."""

    wait: Counts = field(default_factory=dict)
    await_close: tuple[str, ...] = ()
    within: float = 4.0


@dataclass(frozen=True)
class Open(Step):
    """Opens a connection; `body` is the request of the HTTP transports, or their query parameter with GET."""

    name: str
    transport: str = "ws"
    body: str | bytes = ""
    method: str = ""
    query: str = ""
    headers: Headers = field(default_factory=dict)
    subprotocols: tuple[str, ...] = ()
    extensions: bool = False
    protobuf: bool = False
    answers_pings: bool = True


@dataclass(frozen=True)
class Send(Step):
    """Sends one frame as it is; to an emulated connection, one POST. Text on a Protobuf connection is encoded first.

    `as_text` sends bytes in a text frame, which is how invalid UTF-8 comes into one.
    """

    name: str
    frame: str | bytes
    as_text: bool = False


@dataclass(frozen=True)
class Http(Step):
    method: str
    path: str
    body: str | bytes = ""
    headers: Headers = field(default_factory=dict)


@dataclass(frozen=True)
class Close(Step):
    """The client goes away."""

    name: str


@dataclass(frozen=True)
class Wait(Step):
    """Only waits."""


@dataclass(frozen=True)
class Lapse(Step):
    """Lets time pass: only for what expires without a trace."""

    seconds: float


@dataclass(frozen=True)
class AwaitPing(Step):
    """Waits for a ping; pings are not messages otherwise."""

    name: str


@dataclass(frozen=True)
class Backend(Step):
    """From now on the backend of the shared polls answers with this body."""

    body: str


@dataclass(frozen=True)
class AwaitBackend(Step):
    """Waits for a request to the backend that has this text, and records it."""

    text: str


@dataclass(frozen=True)
class Scenario:
    name: str
    steps: tuple[Step, ...]
    configuration: str = "main"
    tokens: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


def api(method: str, body: str, *, wait: Counts | None = None, await_close: tuple[str, ...] = ()) -> Http:
    """A call of the HTTP API with the right key."""
    headers = {"X-API-Key": "api_key"}
    return Http("POST", f"/api/{method}", body, headers, wait=wait or {}, await_close=await_close)
