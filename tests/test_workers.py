"""How many workers a server was told to run is found out, wherever it was said."""

import multiprocessing
import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import ClassVar

import pytest

from hubbub import UsageError
from hubbub.workers import declared_workers, ensure_one_worker

VENV = "/srv/app/.venv/bin"
SITE = "/srv/app/.venv/lib/python3.11/site-packages"


@pytest.mark.parametrize(
    ("argv", "environ", "workers"),
    [
        ([f"{VENV}/uvicorn", "main:app"], {}, 1),
        ([f"{VENV}/uvicorn", "main:app", "--workers", "4"], {}, 4),
        ([f"{VENV}/uvicorn", "--workers=4", "main:app"], {}, 4),
        ([f"{SITE}/uvicorn/__main__.py", "main:app", "--workers", "2"], {}, 2),
        (["uvicorn", "main:app", "--workers", "3"], {}, 3),
        (["C:/app/.venv/Scripts/uvicorn.exe", "main:app", "--workers", "3"], {}, 3),
        ([f"{VENV}/gunicorn", "-w", "4", "-k", "uvicorn_worker.UvicornWorker", "main:app"], {}, 4),
        ([f"{VENV}/gunicorn", "-w4", "main:app"], {}, 4),
        ([f"{VENV}/gunicorn", "--workers", "1", "main:app"], {"WEB_CONCURRENCY": "4"}, 1),
        ([f"{VENV}/hypercorn", "-w", "2", "main:app"], {}, 2),
        ([f"{SITE}/hypercorn/__main__.py", "--workers", "2", "main:app"], {}, 2),
        ([f"{VENV}/granian", "--workers", "2", "main:app"], {}, 2),
        ([f"{VENV}/fastapi", "run", "--workers", "2", "main.py"], {}, 2),
        ([f"{VENV}/hubbub", "run", "main:app", "--workers", "2"], {}, 2),
        ([f"{SITE}/hubbub/__main__.py", "run", "main:app", "--workers", "2"], {}, 2),
        # The environment counts where the server looks there.
        ([f"{VENV}/uvicorn", "main:app"], {"WEB_CONCURRENCY": "4"}, 4),
        ([f"{VENV}/gunicorn", "main:app"], {"WEB_CONCURRENCY": "4"}, 4),
        ([f"{VENV}/fastapi", "run", "main.py"], {"WEB_CONCURRENCY": "4"}, 4),
        ([f"{VENV}/hypercorn", "main:app"], {"WEB_CONCURRENCY": "4"}, 1),
        ([f"{VENV}/hubbub", "run", "main:app"], {"WEB_CONCURRENCY": "4"}, 1),
        ([f"{VENV}/uvicorn", "main:app"], {"WEB_CONCURRENCY": "many"}, 1),
        ([f"{VENV}/uvicorn", "main:app"], {"UVICORN_WORKERS": "3", "WEB_CONCURRENCY": "4"}, 3),
        ([f"{VENV}/uvicorn", "main:app", "--workers", "2"], {"UVICORN_WORKERS": "3", "WEB_CONCURRENCY": "4"}, 2),
        ([f"{VENV}/granian", "main:app"], {"GRANIAN_WORKERS": "4", "WEB_CONCURRENCY": "2"}, 4),
        ([f"{VENV}/granian", "main:app"], {"WEB_CONCURRENCY": "2"}, 1),
        # Who reloads has one worker, on the servers that cannot do both.
        ([f"{VENV}/uvicorn", "main:app", "--reload"], {"WEB_CONCURRENCY": "4"}, 1),
        ([f"{VENV}/fastapi", "dev", "main.py"], {"WEB_CONCURRENCY": "4"}, 1),
        ([f"{VENV}/gunicorn", "main:app", "--reload"], {"WEB_CONCURRENCY": "4"}, 4),
        # As on any command line, the last word counts.
        ([f"{VENV}/uvicorn", "main:app", "--workers", "1", "--workers", "4"], {}, 4),
        ([f"{VENV}/gunicorn", "-w4", "main:app", "--workers=1"], {}, 1),
        # What is no number of workers.
        ([f"{VENV}/uvicorn", "main:app", "--workers"], {}, 1),
        ([f"{VENV}/uvicorn", "main:app", "--workers", "auto"], {}, 1),
        ([f"{VENV}/uvicorn", "main:app", "-wide", "--port", "8080"], {}, 1),
        ([f"{VENV}/uvicorn", "main:app", "-wide", "--workers", "4"], {}, 4),
        # What is no server.
        ([], {"WEB_CONCURRENCY": "4"}, 1),
        ([""], {"WEB_CONCURRENCY": "4"}, 1),
        ([f"{VENV}/celery", "worker", "--workers", "4"], {"WEB_CONCURRENCY": "4"}, 1),
        # What only lives in a folder of that name.
        (["/srv/fastapi/.venv/bin/pytest", "-w", "4"], {"WEB_CONCURRENCY": "4"}, 1),
        (["/home/jane/uvicorn/run.py", "--workers", "4"], {"WEB_CONCURRENCY": "4"}, 1),
        (["/home/jane/hubbub/jobs/__main__.py", "--workers", "4"], {}, 1),
    ],
)
def test_the_number_of_workers_is_found(argv: list[str], environ: dict[str, str], workers: int) -> None:
    assert declared_workers(argv, environ) == workers


def test_several_workers_are_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["uvicorn", "main:app", "--workers", "4"])
    with pytest.raises(UsageError, match=r"^4 workers with the memory:// broker would be 4 separate hubs.* Run one"):
        ensure_one_worker()


def test_several_workers_of_the_environment_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["uvicorn", "main:app"])
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    with pytest.raises(UsageError, match=r"^2 workers"):
        ensure_one_worker()


@pytest.mark.parametrize(("workers", "refused"), [(3, True), (1, False), (None, False), ("3", False)])
def test_workers_of_a_uvicorn_that_a_program_started_are_found_in_the_worker_itself(
    monkeypatch: pytest.MonkeyPatch, workers: object, *, refused: bool
) -> None:
    class Worker:
        _kwargs: ClassVar = {"config": SimpleNamespace(workers=workers), "target": print}

    monkeypatch.setattr(sys, "argv", ["serve_my_app.py"])
    monkeypatch.setattr(multiprocessing, "current_process", Worker)
    with pytest.raises(UsageError, match=r"^3 workers") if refused else nullcontext():
        ensure_one_worker()


def test_one_worker_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["uvicorn", "main:app"])
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    ensure_one_worker()
