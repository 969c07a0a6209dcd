"""Whether what this package relies on in its dependencies, past their public API, still holds: tried at the start.

A version of FastAPI or uvicorn that changes its inner workings must not keep anybody from installing it. What no longer
holds is said in the log, or in an error where it is needed, and everything else goes on without it.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

_DEADLINE = 5.0
"""Seconds for one canary; each takes some milliseconds."""


def fault_of(canary: Callable[[], Coroutine[Any, Any, None]]) -> str:
    """Why ``canary`` does not pass; empty if it does.

    It runs on an event loop of its own, in a thread: the caller may be in the middle of its own loop.
    """
    faults: list[BaseException] = []

    def note(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "exception" in context:
            faults.append(context["exception"])

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(note)
        async with asyncio.timeout(_DEADLINE):
            await canary()

    def run_in_thread() -> None:
        try:
            asyncio.run(run())
            faults.clear()
        except Exception as error:
            faults.append(error)

    thread = threading.Thread(target=run_in_thread, name="hubbub-canary")
    thread.start()
    thread.join()
    if not faults:
        return ""
    first = faults[0]
    return f"{type(first).__name__}: {first}" if str(first) else type(first).__name__


def ensure(holds: bool, what: str) -> None:
    """For canaries: raises if ``what`` is not so.

    Raises:
        LookupError: it is not.
    """
    if not holds:
        raise LookupError(what)
