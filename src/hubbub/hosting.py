"""The uvicorn that runs this process's app, where it is one: what ASGI does not tell a hub of its server.

uvicorn gives an app no reference to its server. But while the app starts, the server's coroutine waits for it on the
same event loop, so it is found among the tasks. Which of several it is, its lifespan object tells: that one runs the
task that asks. This is uvicorn's inner working: a canary in the tests says when it changes. A hub that finds no
server goes on without one.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import uvicorn


def hosting_server() -> uvicorn.Server | None:
    """The uvicorn that waits for the startup of the app that asks; None on any other server. Ask in the lifespan."""
    waiting = [
        owner
        for task in asyncio.all_tasks()
        for owner in _owners(task.get_coro())
        if isinstance(owner, uvicorn.Server) and not owner.started
    ]
    asking = asyncio.current_task()
    lifespans = list(_owners(asking.get_coro())) if asking is not None else []
    own = [server for server in waiting if getattr(server, "lifespan", None) in lifespans]
    return next(iter(own or (waiting if len(set(waiting)) == 1 else ())), None)


def _owners(coroutine: Any) -> Iterator[Any]:
    """The ``self`` of each method in a chain of coroutines that await one another, the outermost first."""
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        if "self" in frame.f_locals:
            yield frame.f_locals["self"]
        coroutine = coroutine.cr_await
