"""How many worker processes the server that runs this process was told to run.

The running server is asked, not the command line: a number of workers may come from a configuration file, a variable
or a program. Each server keeps it in an object that is a local variable of a function on the stack: of the parent
process too, if the worker was forked.
"""

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NamedTuple

from hubbub.errors import UsageError

SEVERAL_WORKERS = (
    "{workers} workers with the memory:// broker would be {workers} separate hubs: a message would reach only "
    "the clients of one. Run one worker{how}: its event loop serves many thousands of clients. Several need "
    "a broker that connects processes, and Hubbub has none so far."
)


class Workers(NamedTuple):
    """What a server says of itself."""

    number: int
    how: str
    """How to set one worker."""


def _of_uvicorn(frame: FrameType) -> int:
    """``_subprocess`` runs only in processes that uvicorn supervises; elsewhere ``Config.workers`` means nothing."""
    config = frame.f_locals.get("config")
    if frame.f_globals["__name__"] != "uvicorn._subprocess" or getattr(config, "should_reload", False):
        return 1
    return getattr(config, "workers", 1)


def _of_gunicorn(frame: FrameType) -> int:
    """The arbiter's own number follows the signals TTIN and TTOU, and a reload of the configuration."""
    return getattr(frame.f_locals.get("self"), "num_workers", None) or 1


def _of_hypercorn(frame: FrameType) -> int:
    """Only its own workers heed ``Config.workers``; ``hypercorn.asyncio.serve`` does not."""
    worker = frame.f_code.co_name.endswith("_worker")
    return getattr(frame.f_locals.get("config"), "workers", 1) if worker else 1


def _of_granian(frame: FrameType) -> int:
    """The server, where the worker is forked or a thread; else the number that this worker has."""
    if frame.f_globals["__name__"] == "granian.server.mp" and "worker_id" in frame.f_locals:
        return int(frame.f_locals["worker_id"])
    return getattr(frame.f_locals.get("self"), "workers", 1)


_SERVERS: dict[str, tuple[Callable[[FrameType], int], str]] = {
    "uvicorn": (_of_uvicorn, "--workers 1, or WEB_CONCURRENCY=1"),
    "gunicorn": (_of_gunicorn, "workers = 1 in gunicorn.conf.py, -w 1, or WEB_CONCURRENCY=1"),
    "hypercorn": (_of_hypercorn, "workers = 1 in its configuration, or -w 1"),
    "granian": (_of_granian, "--workers 1, or GRANIAN_WORKERS=1"),
}


def running_workers() -> Workers:
    """The workers of the known server that runs this process; one if there is none."""
    most = Workers(1, "")
    for frame in _frames():
        ask, how = _SERVERS.get(frame.f_globals.get("__name__", "").partition(".")[0], (None, ""))
        if ask is not None and (number := ask(frame)) > most.number:
            most = Workers(number, how)
    return most


def ensure_one_worker() -> None:
    """Refuses to run a hub inside one of several workers that nothing connects.

    Raises:
        UsageError: the server was told to run more than one worker.
    """
    workers = running_workers()
    if workers.number > 1:
        raise UsageError(several_workers(workers))


def several_workers(workers: Workers) -> str:
    """The sentence that refuses several workers."""
    return SEVERAL_WORKERS.format(workers=workers.number, how=f" ({workers.how})" if workers.how else "")


def _frames() -> Iterator[FrameType]:
    """Every frame of every thread: the event loop need not run in the thread that started the server."""
    for frame in sys._current_frames().values():
        at: FrameType | None = frame
        while at is not None:
            yield at
            at = at.f_back
