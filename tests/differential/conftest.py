"""Our server plays the script, once for all tests that look at it."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from .compare import Difference, compare
from .record import RECORDING, configuration, free_port, record
from .scenario import Scenario
from .script import LANES

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def differences(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Difference]]:
    """What ours shows otherwise than the reference, for each scenario that a test looks at.

    Each lane has a fresh server, since epochs, offsets and histories of the channels are part of what is compared.
    """
    looked_at = [getattr(item, "callspec", None) for item in request.session.items if "differences" in _needs(item)]
    names = {of_test.params["scenario"].name for of_test in looked_at if of_test}
    all_of_them = None in looked_at
    lanes = [[scenario for scenario in lane if all_of_them or scenario.name in names] for lane in LANES]
    return asyncio.run(_play([lane for lane in lanes if lane], tmp_path_factory.mktemp("differential")))


def _needs(item: pytest.Item) -> Sequence[str]:
    return getattr(item, "fixturenames", ())


async def _play(lanes: Sequence[Sequence[Scenario]], folder: Path) -> dict[str, list[Difference]]:
    recorded = json.loads(RECORDING.read_text())
    played = await asyncio.gather(*(_lane(lane, folder) for lane in lanes))
    return {name: compare(recorded[name], steps) for lane in played for name, steps in lane.items()}


async def _lane(scenarios: Sequence[Scenario], folder: Path) -> dict[str, list[dict[str, object]]]:
    port, backend_port = free_port(), free_port()
    file = folder / f"{port}.json"
    file.write_text(configuration(scenarios[0].configuration, backend_port))
    server = await asyncio.to_thread(launch, file, port)
    try:
        return await record(f"http://127.0.0.1:{port}", scenarios, backend_port)
    finally:
        server.terminate()
        server.wait(10)


def launch(file: Path, port: int) -> subprocess.Popen[bytes]:
    """Our server with a configuration, when it answers."""
    command = [sys.executable, "-m", "uvicorn", "--factory", "tests.differential.ours:app", "--port", str(port)]
    options = ["--ws", "hubbub.wire:Protocol", "--log-level", "warning"]
    environment = {**os.environ, "REFERENCE_CONFIGURATION": str(file)}
    server = subprocess.Popen([*command, *options], cwd=ROOT, env=environment)
    while server.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/openapi.json", trust_env=False)
            return server
        time.sleep(0.1)
    raise RuntimeError("our server did not start")
