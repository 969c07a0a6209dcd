"""How many worker processes the server was told to run."""

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

_SERVERS = {"uvicorn", "gunicorn", "granian", "hypercorn", "fastapi", "hubbub"}
_FROM_ENVIRONMENT = {"uvicorn", "gunicorn"}


def declared_workers(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """The number of workers on the command line of a known ASGI server, or in ``WEB_CONCURRENCY``; else 1."""
    if not argv:
        return 1
    server = _SERVERS.intersection((*PurePath(argv[0]).parts, PurePath(argv[0]).stem))
    if not server:
        return 1
    for option, value in zip(argv, [*argv[1:], ""], strict=True):
        name, _, inline = option.partition("=")
        if name in ("--workers", "-w"):
            return _count(inline or value)
        if name.startswith("-w") and name[2:].isdigit():
            return _count(name[2:])
    return _count(environ.get("WEB_CONCURRENCY", "1")) if server & _FROM_ENVIRONMENT else 1


def ensure_one_worker() -> None:
    """Refuses to run a hub inside one of several processes that nothing connects.

    Raises:
        UsageError: the server was told to run more than one worker.
    """
    workers = declared_workers(sys.argv, os.environ)
    if workers > 1:
        raise UsageError(SEVERAL_WORKERS.format(workers=workers))


def _count(text: str) -> int:
    return int(text) if text.isdigit() else 1
