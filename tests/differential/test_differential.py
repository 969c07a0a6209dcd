"""Our server answers as the reference did when it was recorded, but for the differences that are explained."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from .backend import PollBackend
from .compare import compare
from .explained import EXPLAINED
from .normalise import transcript
from .record import RECORDING
from .runner import play
from .scenario import Scenario
from .script import SCENARIOS

RECORDED: dict[str, list[dict[str, Any]]] = json.loads(RECORDING.read_text())


async def _ours(scenario: Scenario, url: str, backend_port: int) -> list[dict[str, Any]]:
    backend = PollBackend()
    await backend.start(backend_port)
    try:
        return transcript(await play(scenario, url, backend))
    finally:
        await backend.stop()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.name for scenario in SCENARIOS])
def test_our_server_answers_as_the_reference(
    scenario: Scenario, hubbub_url: Callable[[str], str], backend_port: int
) -> None:
    ours = asyncio.run(_ours(scenario, hubbub_url(scenario.configuration), backend_port))
    found = {difference.path: difference for difference in compare(RECORDED[scenario.name], ours)}
    explained = {path for name, path in EXPLAINED if name == scenario.name}
    unexplained = [str(difference) for path, difference in found.items() if path not in explained]
    steps = "\n".join(f"step[{index}] {step}" for index, step in enumerate(scenario.steps))
    assert not unexplained, "\n".join([*unexplained, "", steps])
    assert explained <= found.keys(), f"explained, but no longer different: {sorted(explained - found.keys())}"


def test_every_scenario_is_recorded_and_nothing_else() -> None:
    assert sorted(RECORDED) == sorted(scenario.name for scenario in SCENARIOS)


def test_the_recording_waited_in_vain_for_nothing() -> None:
    late = [name for name, steps in RECORDED.items() if any("late" in step or "early" in step for step in steps)]
    assert not late


def test_what_is_explained_is_in_the_script() -> None:
    assert {name for name, _ in EXPLAINED} <= {scenario.name for scenario in SCENARIOS}
