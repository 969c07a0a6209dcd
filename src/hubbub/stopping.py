"""Hearing of a stop before the server acts on it, however it was asked for.

Servers run an app's shutdown only after its connections have ended, and an open stream does not end by itself: a
hub that heard of the stop there would hear of it never. So it listens in two places. A signal is heard on every
server. uvicorn, alone or below gunicorn, is also asked to tell of its stop itself, which covers the others:
``should_exit``, ``--limit-max-requests``, gunicorn's ``max_requests``.
"""

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn

from hubbub.hub.engine import Engine

_HEAD_START = 0.1
"""Seconds for close frames to get out before the server hears of the stop: some loop turns, on a busy machine."""
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGQUIT") if hasattr(signal, name))

_Handler = Callable[[int, FrameType | None], Any]
_handlers: set[_Handler] = set()
_heard: set[_Handler] = set()


@contextlib.contextmanager
def on_stop(engine: Engine, server: uvicorn.Server | None) -> Iterator[None]:
    """Begins the hub's stop as soon as the server's is asked for, so that clients hear a reason before they are cut."""
    with _on_signal(engine, server), _on_shutdown(engine, server):
        yield


@contextlib.contextmanager
def _on_shutdown(engine: Engine, server: uvicorn.Server | None) -> Iterator[None]:
    """Begins the hub's stop where the server begins its own."""
    if server is None:
        yield
        return
    shutdown = server.shutdown

    async def hub_first(sockets: list[socket.socket] | None = None) -> None:
        if not engine.stopping:
            engine.begin_stop()
            await asyncio.sleep(_HEAD_START)
        await shutdown(sockets)

    server.shutdown = hub_first  # type: ignore[method-assign]
    try:
        yield
    finally:
        server.shutdown = shutdown  # type: ignore[method-assign]


@contextlib.contextmanager
def _on_signal(engine: Engine, server: uvicorn.Server | None) -> Iterator[None]:
    """Begins the hub's stop at a signal, which the server gets when the goodbyes have had their time to get out.

    A second signal goes to the server at once.
    """
    previous: dict[int, _Handler] = {}
    loop = engine.loop

    def handle(signum: int, frame: FrameType | None) -> None:
        if handle in _heard or handle not in _handlers:  # asked for again, or a leftover of a hub that has ended
            previous[signum](signum, frame)
            return
        _heard.add(handle)
        loop.call_soon_threadsafe(engine.begin_stop)
        if previous[signum] in _handlers:  # another hub, which has goodbyes of its own to say
            previous[signum](signum, frame)
        else:
            loop.call_soon_threadsafe(loop.call_later, _HEAD_START, pass_on, signum)

    def pass_on(signum: int) -> None:
        previous[signum](signum, None)
        if server is not None and signal.Signals(signum).name == "SIGQUIT":
            server.should_exit = True  # gunicorn's worker notes a SIGQUIT, and its uvicorn never looks at that note

    if threading.current_thread() is threading.main_thread():
        for signum in _SIGNALS:
            handler = signal.getsignal(signum)
            if callable(handler):  # SIGQUIT, below gunicorn alone: elsewhere it ends the process at once
                previous[signum] = handler
                signal.signal(signum, handle)
    _handlers.add(handle)
    try:
        yield
    finally:
        _handlers.discard(handle)
        _heard.discard(handle)
        for number, handler in previous.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, handler)
