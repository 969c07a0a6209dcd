"""Records the answers of the reference server: ``python -m tests.differential.record <url or path of the binary>``.

With a path, the server is started once per lane, with ``reference-<configuration>.json``, on free ports.
With a URL, only the scenarios of ``--configuration`` are played, and those of others stay as they were recorded.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from .backend import PollBackend
from .normalise import transcript
from .runner import play
from .scenario import Scenario
from .script import LANES, SCENARIOS

HERE = Path(__file__).parent
RECORDING = HERE / "recording.json"
BACKEND_PORT = 3010
"""The port of the backend in the configurations as they are written down."""


def configuration(name: str, backend_port: int = BACKEND_PORT) -> str:
    """What the reference is started with."""
    file = HERE / ("reference.json" if name == "main" else f"reference-{name}.json")
    return file.read_text().replace(f":{BACKEND_PORT}/", f":{backend_port}/")


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def reference(binary: str, name: str, backend_port: int) -> Iterator[str]:
    """The URL of a reference server that has just been started."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.json"
        file.write_text(configuration(name, backend_port))
        log = (Path(folder) / "log").open("w")
        command = [binary, "--config", str(file), "--http_server.port", str(port), "--http_server.address", "127.0.0.1"]
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            _await_answer(f"http://127.0.0.1:{port}", server, Path(folder) / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            if server.poll() is not None:
                print(f"the reference ended by itself:\n{(Path(folder) / 'log').read_text()[-4000:]}")
            server.terminate()
            server.wait(10)
            log.close()


def _await_answer(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(retries=8), trust_env=False) as client:
        try:
            client.get(f"{url}/health")
        except httpx.TransportError as silent:
            server.kill()
            raise RuntimeError(f"the reference did not start:\n{log.read_text()}") from silent


async def record(url: str, scenarios: Sequence[Scenario], backend_port: int) -> dict[str, list[dict[str, Any]]]:
    """The transcripts of these scenarios."""
    backend = PollBackend()
    await backend.start(backend_port)
    try:
        return {scenario.name: transcript(await play(scenario, url, backend)) for scenario in scenarios}
    finally:
        await backend.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reference", help="URL of a running reference server, or path of its binary")
    parser.add_argument("--configuration", default="main", help="which one the server at the URL was started with")
    parser.add_argument("--only", default="", help="part of the names of the scenarios to record")
    parser.add_argument("--output", type=Path, default=RECORDING)
    options = parser.parse_args()
    recording = json.loads(options.output.read_text()) if options.output.exists() else {}
    lanes = [[scenario for scenario in lane if options.only in scenario.name] for lane in LANES]
    fresh = {}
    for lane in filter(None, lanes):
        name = lane[0].configuration
        if not options.reference.startswith("http"):
            port = free_port()
            with reference(options.reference, name, port) as url:
                fresh.update(asyncio.run(record(url, lane, port)))
        elif name == options.configuration:
            fresh.update(asyncio.run(record(options.reference, lane, BACKEND_PORT)))
    recording.update(fresh)
    kept = {scenario.name: recording[scenario.name] for scenario in SCENARIOS if scenario.name in recording}
    options.output.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    late = [
        f"{name} step[{n}]: {s['late']}" for name, steps in fresh.items() for n, s in enumerate(steps) if "late" in s
    ]
    early = [f"{name} step[{n}]: {s['early']}" for name, ss in fresh.items() for n, s in enumerate(ss) if "early" in s]
    print(f"{len(fresh)} scenarios", *late, *early, sep="\n")


if __name__ == "__main__":
    main()
