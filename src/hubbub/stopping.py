"""Hearing of a stop before the server acts on it."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


@contextlib.contextmanager
def on_stop_signal(begin_stop: Callable[[], None], loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Says goodbye as soon as the stop is asked for, before the server cuts connections without a reason.

    Servers run an app's shutdown only after its connections have ended, so that is too late to end them. The
    server gets the signal when the goodbyes have had their time to get out, and a second signal at once.
    """
    previous: dict[int, _Handler] = {}

    def handle(signum: int, frame: FrameType | None) -> None:
        if handle in _heard or handle not in _handlers:  # asked for again, or a leftover of a hub that has ended
            previous[signum](signum, frame)
            return
        _heard.add(handle)
        loop.call_soon_threadsafe(begin_stop)
        if previous[signum] in _handlers:  # another hub, which has goodbyes of its own to say
            previous[signum](signum, frame)
        else:
            loop.call_soon_threadsafe(loop.call_later, _HEAD_START, previous[signum], signum, None)

    if threading.current_thread() is threading.main_thread():
        for signum in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(signum)
            if callable(handler):
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


_Handler = Callable[[int, FrameType | None], Any]
_HEAD_START = 0.1
"""Seconds for close frames to get out before the server hears of the stop: some loop turns, on a busy machine."""
_handlers: set[_Handler] = set()
_heard: set[_Handler] = set()
