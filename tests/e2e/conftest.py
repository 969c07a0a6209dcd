"""Servers for the end-to-end tests: for one test, or of every kind at the same time."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from .servers import Server

Seen = TypeVar("Seen")


class Serve(Protocol):
    def __call__(self, kind: str, app: str, **arguments: Any) -> Server: ...


class Play(Protocol):
    def __call__(self, app: str, scenario: Callable[[Server], Seen], **arguments: Any) -> Seen: ...


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a server for one test; its log is shown if the test fails."""
    running: list[Server] = []

    def start(kind: str, app: str, **arguments: Any) -> Server:
        server = Server(kind, app, tmp_path / f"{len(running)}-{kind}.log", **arguments)
        running.append(server)
        return server

    yield start
    for server in running:
        server.kill()
        print(f"--- {server} said:\n{server.log()}")


@pytest.fixture(scope="module")
def played() -> dict[str, Future[Any]]:
    """What the scenarios of this module led to, by the test's node id."""
    return {}


@pytest.fixture
def play(request: pytest.FixtureRequest, tmp_path: Path, played: dict[str, Future[Any]]) -> Play:
    """Play a scenario on a server of this test's `kind`.

    Much of such a test is waiting, so the first kind that asks starts the scenario on all kinds that
    the test was selected for, each on a server of its own, and the others find theirs played.
    """

    def parameters(item: Any) -> dict[str, Any]:
        return item.callspec.params if hasattr(item, "callspec") else {}

    def without_kind(item: Any) -> tuple[object, ...]:
        others = {name: value for name, value in parameters(item).items() if name != "kind"}
        return item.path, getattr(item, "originalname", None), others

    def run(kind: str, app: str, scenario: Callable[[Server], Any], arguments: dict[str, Any]) -> Any:
        server = Server(kind, app, tmp_path / f"{kind}.log", **arguments)
        try:
            return scenario(server)
        except Exception as error:
            error.add_note(f"--- {server} said:\n{server.log()[-4000:]}")
            raise
        finally:
            server.kill()

    def start(app: str, scenario: Callable[[Server], Any], **arguments: Any) -> Any:
        if request.node.nodeid not in played:
            same = without_kind(request.node)
            together = [item for item in request.session.items if without_kind(item) == same]
            with ThreadPoolExecutor(len(together)) as threads:
                for item in together:
                    kind = parameters(item)["kind"]
                    played[item.nodeid] = threads.submit(run, kind, app, scenario, arguments)
        return played.pop(request.node.nodeid).result()  # asked again, it is played again

    return start
