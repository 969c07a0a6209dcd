"""The hub belongs to one event loop: calls from another are refused, and threads have a way there."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from hubbub.errors import UsageError

if TYPE_CHECKING:
    from hubbub.hub.engine import Engine

ResultT = TypeVar("ResultT")


def ensure_on_loop(engine: "Engine", call: str, instead: str = "") -> None:
    """Refuses a call of the app that does not run on the hub's event loop: it would change what that loop reads.

    Args:
        engine: the hub that is called.
        call: what the app called, such as ``"hub.publish"``.
        instead: what to call from another thread; ``hub.run_sync`` with ``call``, unless given.

    Raises:
        UsageError: the running event loop is another.
    """
    if asyncio.get_running_loop() is not engine.loop:
        raise UsageError(
            f"{call} from another event loop than the hub's: use {instead or f'hub.run_sync({call}, …)'}, "
            "which is safe from any thread"
        )


def from_thread(
    engine: "Engine", call: Callable[[], Coroutine[Any, Any, ResultT]], timeout: float | None, name: str
) -> ResultT:
    """What ``call`` returns on the hub's event loop; blocks the thread until then. ``name`` is what the app called.

    Raises:
        UsageError: this is the event loop's own thread, which must not block.
        TimeoutError: the event loop did not get to it in ``timeout`` seconds; it may do so yet.
    """
    if threading.get_ident() == engine.thread:
        raise UsageError(f"{name} would block the event loop that it waits for: here, await the async function itself")
    return asyncio.run_coroutine_threadsafe(call(), engine.loop).result(timeout)
