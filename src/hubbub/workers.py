"""How many worker processes the server was told to run."""

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from hubbub.errors import UsageError

SEVERAL_WORKERS = (
    "{workers} workers with the memory:// broker would be {workers} separate hubs: a message would reach only "
    "the clients of one. Run one worker (its event loop serves many thousands of clients), or use a broker "
    "that connects processes."
)

_VARIABLES = {
    "uvicorn": ("UVICORN_WORKERS", "WEB_CONCURRENCY"),
    "fastapi": ("WEB_CONCURRENCY",),
    "gunicorn": ("WEB_CONCURRENCY",),
    "granian": ("GRANIAN_WORKERS",),
}
_SERVERS = {*_VARIABLES, "hypercorn", "hubbub"}
_ONE_WHEN_RELOADING = {"uvicorn", "fastapi", "hubbub"}


def declared_workers(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """The number of workers on the command line of a known ASGI server, or in its environment variable; else 1."""
    program = PurePath(argv[0] if argv else "")
    server = program.parent.name if program.stem == "__main__" else program.stem
    if server not in _SERVERS:
        return 1
    if server in _ONE_WHEN_RELOADING and ("--reload" in argv or argv[1:2] == ["dev"]):
        return 1
    declared = next((environ[name] for name in _VARIABLES.get(server, ()) if name in environ), "1")
    for option, value in zip(argv, [*argv[1:], ""], strict=True):
        name, _, inline = option.partition("=")
        if name in ("--workers", "-w"):
            declared = inline or value
        elif name.startswith("-w") and name[2:].isdigit():
            declared = name[2:]
    return _count(declared)


def _configured_workers() -> int:
    """The number of workers of the uvicorn that started this process from a program of its own; else 1.

    Looks at what multiprocessing keeps of a process's arguments, where it still does.
    """
    arguments = getattr(multiprocessing.current_process(), "_kwargs", {})
    workers = getattr(arguments.get("config"), "workers", 1)
    return workers if isinstance(workers, int) else 1


def ensure_one_worker() -> None:
    """Refuses to run a hub inside one of several processes that nothing connects.

    Raises:
        UsageError: the server was told to run more than one worker.
    """
    workers = max(declared_workers(sys.argv, os.environ), _configured_workers())
    if workers > 1:
        raise UsageError(SEVERAL_WORKERS.format(workers=workers))


def _count(text: str) -> int:
    return int(text) if text.isdigit() else 1
