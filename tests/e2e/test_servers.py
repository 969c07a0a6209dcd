"""Hubbub on the ASGI servers that it has no fast path for, and what it can promise on each."""

import pytest

from . import scenarios, sleepers
from .capabilities import APP, CAPABILITIES, KINDS, judge
from .conftest import Play
from .servers import OTHER_KINDS

HUB = "hub_chat:app"
PATIENCE = 5.0
LARGE_QUEUE = {"HUBBUB_MAX_QUEUED_BYTES": str(64 << 20)}

on_other_servers = pytest.mark.parametrize("kind", OTHER_KINDS)


@on_other_servers
def test_one_binary_frame_closes_only_its_sender(play: Play, kind: str) -> None:
    seen = play(HUB, scenarios.send_one_binary_frame)
    assert (seen.cut, seen.missed, seen.zombies) == ([], [], 0)
    assert seen.offender.code == 1003


@on_other_servers
def test_churn_leaves_healthy_chatters_alone(play: Play, kind: str) -> None:
    seen = play(HUB, lambda server: scenarios.churn(server, 6.0))
    assert seen.resets > 50, "too few came and went for the test to mean anything"
    assert (seen.kicked, seen.missed, seen.zombies) == (0, [], 0)
    assert seen.delivers
    assert seen.faults == []


@on_other_servers
def test_only_the_dead_peer_leaves(play: Play, kind: str) -> None:
    seen = play(HUB, scenarios.reset_a_stalled_peer, settings=LARGE_QUEUE)
    assert (seen.cut, seen.missed, seen.zombies) == ([], [], 0)
    assert seen.left_events == [1, 1, 1]


@on_other_servers
def test_a_leave_during_a_broadcast_skips_nobody(play: Play, kind: str) -> None:
    seen = play(HUB, scenarios.leave_during_a_broadcast, settings=LARGE_QUEUE)
    assert seen.missing == {}
    assert seen.left_events == [1, 1, 1, 1]
    assert seen.cut == []


@on_other_servers
def test_a_stalled_reader_delays_nobody(play: Play, kind: str) -> None:
    seen = play(HUB, lambda server: sleepers.stall_one_reader(server, watch_for=0.0))
    assert not seen.stuck
    assert seen.heard_others
    assert seen.delay < seen.usual_delay + 0.05


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CAPABILITIES)
def test_each_server_has_the_capabilities_of_the_table(play: Play, name: str, kind: str) -> None:
    row = CAPABILITIES[name]
    finding = play(APP, lambda server: judge(server, row, PATIENCE), settings=row.settings)
    if kind not in row.unsteady:
        assert finding.holds is (kind not in row.lacking), f"{row.promise}, on {kind}: {finding.says}\n{finding.saw}"
