"""Our server answers as the reference did when it was recorded, but for the differences that are explained."""

import json
from typing import Any

import pytest

from .compare import Difference
from .explained import EXPLAINED
from .explanation import out_of_date, unexplained
from .record import RECORDING
from .scenario import Scenario
from .script import SCENARIOS

pytestmark = pytest.mark.timeout(300)
"""Seconds for the first of them, which is when the script is played."""

RECORDED: dict[str, list[dict[str, Any]]] = json.loads(RECORDING.read_text())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.name for scenario in SCENARIOS])
def test_our_server_answers_as_the_reference(scenario: Scenario, differences: dict[str, list[Difference]]) -> None:
    found = [str(one) for one in unexplained(EXPLAINED, scenario.name, differences[scenario.name])]
    steps = "\n".join(f"step[{index}] {step}" for index, step in enumerate(scenario.steps))
    assert not found, "\n".join([*found, "", steps])


def test_what_is_explained_still_differs(differences: dict[str, list[Difference]]) -> None:
    assert not out_of_date(EXPLAINED, differences)


def test_every_scenario_is_recorded_and_nothing_else() -> None:
    assert sorted(RECORDED) == sorted(scenario.name for scenario in SCENARIOS)


def test_the_recording_waited_in_vain_for_nothing() -> None:
    late = [name for name, steps in RECORDED.items() if any("late" in step or "early" in step for step in steps)]
    assert not late
