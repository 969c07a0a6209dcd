"""The way to the hub from threads other than its event loop's."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from hubbub.errors import UsageError
from hubbub.hub.engine import Engine

ResultT = TypeVar("ResultT")


def from_thread(engine: Engine, call: Callable[[], Coroutine[Any, Any, ResultT]], timeout: float | None) -> ResultT:
    """What ``call`` gives on the hub's event loop; waits until it is done there.

    Raises:
        UsageError: this is the event loop's own thread, which must not block.
        TimeoutError: the event loop did not get to it in ``timeout`` seconds; it may do so yet.
    """
    if threading.get_ident() == engine.thread:
        raise UsageError("publish_sync would block the event loop that it waits for: here, use await and publish")
    return asyncio.run_coroutine_threadsafe(call(), engine.loop).result(timeout)
