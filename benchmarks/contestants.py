"""Who takes part: how each server is started, what it needs, what it speaks."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

UVICORN = (
    *("{python}", "-m", "uvicorn", "--host", "{host}", "--port", "{port}", "--loop", "uvloop", "--http", "httptools"),
    *("--ws-per-message-deflate", "false", "--no-access-log", "--log-level", "warning"),
)
GRANIAN = (
    *("{python}", "-m", "granian", "--host", "{host}", "--port", "{port}", "--loop", "uvloop"),
    *("--interface", "asginl", "--workers", "1", "--backlog", "2048", "--backpressure", "20000"),
    *("--no-access-log", "--log-level", "warning"),
)
# The limits that protect a public server are off, as they are in every peer: this is about the engine.
UNLIMITED = {"HUBBUB_MESSAGE_RATE": "0", "HUBBUB_BYTE_RATE": "0", "HUBBUB_MAX_CONNECTIONS": "20000"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where a server's chat and echo are, and the load generator's options for what it speaks there."""

    chat: tuple[str, ...]
    echo: tuple[str, ...]


PLAIN = Dialect(("--path", "/ws/chat"), ("--path", "/ws/echo"))
# Engine.IO greets with "0{...}"; "40" joins the namespace and "40{...}" confirms; "2" is a ping, "3" its answer.
_SOCKETIO = ("--path", "/socket.io/?EIO=4&transport=websocket", "--first", "40", "--await", "2", "--reply", "2=3")
SOCKETIO = Dialect(
    (*_SOCKETIO, "--template", '42["msg","@@"]'),
    (*_SOCKETIO, "--template", '42["echo","@@"]'),
)


def _centrifuge(answers: int) -> Dialect:
    """The Centrifuge protocol: connect and subscribe at once, answered in so many messages; "{}" is ping and pong."""
    begin = (
        *("--path", "/connection/websocket", "--await", str(answers), "--reply", "{}={}"),
        *("--first", '{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"lobby"}}'),
    )
    return Dialect(
        (*begin, "--template", '{"id":3,"publish":{"channel":"lobby","data":"@@"}}'),
        (*begin, "--template", '{"id":3,"rpc":{"method":"echo","data":"@@"}}'),
    )


@dataclass(frozen=True, slots=True)
class Contestant:
    """One server in one way of running it. `needs` is Python that must run for it to take part."""

    key: str
    label: str
    command: tuple[str, ...]
    needs: str
    dialect: Dialect = PLAIN
    env: Mapping[str, str] = field(default_factory=dict)
    ours: bool = False

    def command_line(self, host: str, port: int) -> list[str]:
        return [part.format(python=sys.executable, host=host, port=port) for part in self.command]

    def shown_command(self) -> str:
        env = "".join(f"{name}={value} " for name, value in self.env.items())
        return env + " ".join(part.format(python="python", host="HOST", port="PORT") for part in self.command)

    def why_missing(self) -> str | None:
        """The last line of what goes wrong when its imports are tried, or None when it can run."""
        probe = subprocess.run(
            [sys.executable, "-c", self.needs], capture_output=True, text=True, timeout=60, check=False
        )
        if probe.returncode == 0:
            return None
        return without_paths((probe.stderr.strip().splitlines() or ["it did not say why"])[-1])


def without_paths(text: str) -> str:
    """The same with file names only: results are published, and where things lie on a machine is its own affair."""
    return re.sub(r"(?:/[\w.+-]+)+/", "", text)


def _script(module: str) -> tuple[str, ...]:
    return ("{python}", "-m", f"benchmarks.servers.{module}", "{host}", "{port}")


TUTORIAL = "benchmarks.servers.tutorial:app"
CENTRIFUGO = "benchmarks/servers/centrifugo.json"
OURS = "benchmarks.servers.ours:app"
FAST_PATH = ("--ws", "hubbub.wire:Protocol")

CONTESTANTS = (
    Contestant(
        "hubbub",
        "Hubbub, fast path",
        (*UVICORN, *FAST_PATH, OURS),
        needs="from hubbub import Hub; from hubbub.wire import Protocol",
        env=UNLIMITED,
        ours=True,
    ),
    Contestant(
        "hubbub-sessions",
        "Hubbub, sessions on the fast path",
        (*UVICORN, *FAST_PATH, OURS),
        needs="from hubbub import Hub; from hubbub.wire import Protocol",
        dialect=_centrifuge(2),
        env=UNLIMITED,
        ours=True,
    ),
    Contestant(
        "centrifugo",
        "Centrifugo (Go)",
        ("centrifugo", "-c", CENTRIFUGO, "--http_server.address", "{host}", "--http_server.port", "{port}"),
        needs="import shutil; shutil.which('centrifugo') or exit('centrifugo is not on the path')",
        dialect=_centrifuge(1),
        env={"GOMAXPROCS": "1"},
    ),
    Contestant(
        "hubbub-asgi",
        "Hubbub on plain ASGI (uvicorn's default)",
        (*UVICORN, OURS),
        needs="from hubbub import Hub",
        env=UNLIMITED,
        ours=True,
    ),
    Contestant(
        "tutorial-wire",
        "tutorial on Hubbub's protocol class",
        (*UVICORN, *FAST_PATH, TUTORIAL),
        needs="from hubbub.wire import Protocol",
        env=UNLIMITED,
        ours=True,
    ),
    Contestant("tutorial-uvicorn", "tutorial on uvicorn's default", (*UVICORN, TUTORIAL), needs="import uvicorn"),
    Contestant(
        "tutorial-websockets",
        "tutorial on uvicorn --ws websockets",
        (*UVICORN, "--ws", "websockets", TUTORIAL),
        needs="import uvicorn, websockets.legacy.server",
    ),
    Contestant("tutorial-granian", "tutorial on Granian", (*GRANIAN, TUTORIAL), needs="import granian"),
    Contestant(
        "websockets",
        "websockets.broadcast",
        _script("websockets_broadcast"),
        needs="import uvloop; from websockets.asyncio.server import broadcast",
    ),
    Contestant("picows", "picows", _script("picows_server"), needs="import uvloop, picows"),
    Contestant(
        "socketio",
        "python-socketio",
        (*UVICORN, "benchmarks.servers.socketio_server:app"),
        needs="import socketio",
        dialect=SOCKETIO,
    ),
    Contestant("uwebsockets", "uWebSockets (socketify)", _script("uwebsockets"), needs="import socketify"),
)
