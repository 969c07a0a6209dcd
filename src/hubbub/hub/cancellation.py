"""Cancellations: one that somebody asked for ends a task, any other is a failure of the code that raised it.

A handler that awaits a task of the app which is cancelled gets the same ``CancelledError`` as a handler that is itself
cancelled. asyncio ends the running task for both, without a word in the log.
"""

import asyncio


class StrayCancellation(RuntimeError):
    """Something that the app's code awaited was cancelled, and the code let the ``CancelledError`` go on."""

    def __init__(self) -> None:
        super().__init__("something that was awaited was cancelled; catch asyncio.CancelledError where it is awaited")


def is_stray(error: BaseException | None) -> bool:
    """Whether ``error``, which is being handled, is a ``CancelledError`` that nobody asked the running task for."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is None or not task.cancelling()
