"""The ten ways in which the tutorial's chat fails in production, and that Hubbub's does not.

Each failure is one scenario, played first on the tutorial's app, to show that the scenario bites, and
then on Hubbub's: as `hubbub run` serves it, and on uvicorn, with the fast path and with each of
uvicorn's own three WebSocket implementations. The fast path is served over TLS as well, by both event loops.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from . import scenarios, sleepers
from .conftest import Play, Serve
from .peers import Close
from .scenarios import TOKEN
from .servers import APPS, HUBBUB_RUN, OWN_RUNNER, TLS_KINDS, UVICORN_KINDS, WIRE, StartFailure, faults_in, free_port

TUTORIAL = "tutorial_chat:app"
HUB = "hub_chat:app"
UVICORN_CLEAN_STOP = -15  # uvicorn ends by the very signal that stopped it
QUICK_PINGS = {"HUBBUB_PING_INTERVAL": "1", "HUBBUB_PING_TIMEOUT": "1"}
QUICK_DETECTION = 4.0  # 1 + 1 seconds, one turn of the ping wheel, and room for a busy machine
UVICORN_QUICK_PINGS = ("--ws-ping-interval", "1", "--ws-ping-timeout", "1")
LARGE_QUEUE = {"HUBBUB_MAX_QUEUED_BYTES": str(64 << 20)}  # so that nobody is evicted for being slow

on_uvicorn = pytest.mark.parametrize("kind", UVICORN_KINDS)
everywhere = pytest.mark.parametrize("kind", [HUBBUB_RUN, WIRE, *TLS_KINDS, *UVICORN_KINDS])


# 1. One binary frame.


@on_uvicorn
def test_one_binary_frame_bricks_the_tutorials_room(play: Play, kind: str) -> None:
    seen = play(TUTORIAL, scenarios.send_one_binary_frame)
    assert seen.offender.code == 1006
    assert seen.cut == ["B", "C", "E"], "whoever speaks is cut, newcomers too"
    assert seen.missed, "nobody was left without a message"
    assert seen.zombies > 0


@everywhere
def test_one_binary_frame_closes_only_its_sender(play: Play, kind: str) -> None:
    seen = play(HUB, scenarios.send_one_binary_frame)
    assert seen.offender.code == 1003
    assert seen.offender.reason
    assert (seen.cut, seen.missed, seen.zombies) == ([], [], 0)


# 2. Churn.


@on_uvicorn
def test_churn_kicks_the_tutorials_healthy_chatters_and_kills_the_room(play: Play, kind: str) -> None:
    seen = play(TUTORIAL, lambda server: scenarios.churn(server, 30.0, until_dead=True))
    assert seen.kicked > 0
    assert seen.zombies > 0
    assert not seen.delivers
    assert seen.faults


@everywhere
def test_churn_leaves_healthy_chatters_alone(play: Play, kind: str) -> None:
    seen = play(HUB, lambda server: scenarios.churn(server, 12.0))
    assert seen.resets > 50, "too few came and went for the test to mean anything"
    assert (seen.kicked, seen.missed, seen.zombies) == (0, [], 0)
    assert seen.delivers
    assert seen.faults == []


# 3. Who is charged for a dead client.


@on_uvicorn
def test_a_dead_peer_costs_the_tutorials_sender_its_connection(play: Play, kind: str) -> None:
    seen = play(TUTORIAL, scenarios.reset_a_stalled_peer)
    assert seen.cut == ["B"]
    assert seen.missed


@everywhere
def test_only_the_dead_peer_leaves(play: Play, kind: str) -> None:
    seen = play(HUB, scenarios.reset_a_stalled_peer, settings=LARGE_QUEUE)
    assert (seen.cut, seen.missed, seen.zombies) == ([], [], 0)
    assert seen.left_events == [1, 1, 1]


# 4. A leave during a broadcast.


@on_uvicorn
def test_a_leave_during_a_broadcast_skips_somebody_in_the_tutorial(play: Play, kind: str) -> None:
    seen = play(TUTORIAL, scenarios.leave_during_a_broadcast)
    assert list(seen.missing) == ["C"], "C stands behind S when A leaves"
    assert len(seen.missing["C"]) == 1
    assert seen.cut == [], "C could not even know"


@everywhere
def test_a_leave_during_a_broadcast_skips_nobody(play: Play, kind: str) -> None:
    seen = play(HUB, scenarios.leave_during_a_broadcast, settings=LARGE_QUEUE)
    assert seen.missing == {}
    assert seen.left_events == [1, 1, 1, 1]
    assert seen.cut == []


# 5. One client that stops reading.


@on_uvicorn
def test_one_stalled_reader_freezes_the_tutorials_room_for_ever(play: Play, kind: str) -> None:
    seen = play(TUTORIAL, lambda server: sleepers.stall_one_reader(server, watch_for=4.0), options=UVICORN_QUICK_PINGS)
    assert seen.stuck
    assert not seen.heard_others
    assert seen.freed_after is None, "pings of one second do not free it either"


@everywhere
@pytest.mark.parametrize("settings", [{}, {**LARGE_QUEUE, **QUICK_PINGS}], ids=["by-its-queue", "by-its-silence"])
def test_a_stalled_reader_delays_nobody_and_is_evicted(play: Play, kind: str, settings: dict[str, str]) -> None:
    seen = play(HUB, lambda server: sleepers.stall_one_reader(server, watch_for=6.0), settings=settings)
    assert not seen.stuck
    assert seen.heard_others
    assert seen.delay < seen.usual_delay + 0.05
    assert seen.worst_delay < 1.0
    assert seen.freed_after is not None, "the socket is still there after 6 s"
    assert seen.freed_after < QUICK_DETECTION
    assert seen.extra_tasks == 0


# 6. Stopping.


@on_uvicorn
def test_a_stalled_peer_blocks_the_tutorials_stop(play: Play, kind: str) -> None:
    seen = play(TUTORIAL, lambda server: sleepers.stop_with_guests(server, stalled=True, within=4.0))
    assert seen.stopped.code is None, f"it stopped after {seen.stopped.seconds:.1f} s"


@on_uvicorn
def test_even_a_stop_with_healthy_clients_alone_logs_tracebacks_in_the_tutorial(play: Play, kind: str) -> None:
    seen = play(TUTORIAL, lambda server: sleepers.stop_with_guests(server, stalled=False, within=6.0))
    assert faults_in(seen.stopped.log)
    assert not any(goodbye.reason for goodbye in seen.goodbyes)


@everywhere
@pytest.mark.parametrize("stalled", [False, True], ids=["healthy", "with-a-stalled-peer"])
def test_a_stop_is_bounded_and_says_goodbye(play: Play, kind: str, stalled: bool) -> None:
    seen = play(
        HUB,
        lambda server: sleepers.stop_with_guests(server, stalled=stalled, within=8.0),
        settings={**LARGE_QUEUE, "HUBBUB_STOP_TIMEOUT": "2"},
    )
    assert seen.stopped.code == UVICORN_CLEAN_STOP
    assert seen.stopped.seconds < (3.5 if stalled else 2.0)
    assert [goodbye.code for goodbye in seen.goodbyes] == [1012] * 5
    assert all(goodbye.reason for goodbye in seen.goodbyes)
    assert faults_in(seen.stopped.log) == []


@everywhere
def test_a_stop_says_goodbye_before_the_server_cuts_the_connections(play: Play, kind: str) -> None:
    """On waking, the server finds the signal, and that it is time for uvicorn to look whether to stop."""
    seen = play(HUB, lambda server: sleepers.stop_with_guests(server, stalled=False, within=8.0, frozen_for=0.3))
    assert [goodbye.code for goodbye in seen.goodbyes] == [1012] * 5
    assert all(goodbye.reason for goodbye in seen.goodbyes)
    assert faults_in(seen.stopped.log) == []


# 7. More than one worker.


def test_two_workers_lose_the_tutorials_messages_without_a_word(serve: Serve) -> None:
    server = serve("uvicorn-default", TUTORIAL, options=("--workers", "2"))
    seen = scenarios.talk_across_workers(server)
    assert len(seen.heard) == 3
    assert len(seen.missed) == 3
    assert seen.faults == []


@pytest.mark.parametrize("kind", [WIRE, *UVICORN_KINDS])
def test_uvicorn_with_two_workers_and_no_broker_is_refused_at_start(serve: Serve, kind: str) -> None:
    assert_two_workers_are_refused(serve, kind, options=("--workers", "2"))


@pytest.mark.parametrize(
    ("kind", "options", "environment"),
    [
        pytest.param("uvicorn-default", ("--workers=2",), {}, id="option-with-equals"),
        pytest.param("uvicorn-default", ("--workers", "1", "--workers", "2"), {}, id="last-option-wins"),
        pytest.param("uvicorn-default", (), {"WEB_CONCURRENCY": "2"}, id="WEB_CONCURRENCY"),
        pytest.param("uvicorn-default", (), {"UVICORN_WORKERS": "2"}, id="UVICORN_WORKERS"),
        pytest.param(OWN_RUNNER, ("2",), {}, id="uvicorn.run"),
    ],
)
def test_two_workers_are_refused_however_they_are_asked_for(
    serve: Serve, kind: str, options: tuple[str, ...], environment: dict[str, str]
) -> None:
    assert_two_workers_are_refused(serve, kind, options=options, settings=environment)


def assert_two_workers_are_refused(serve: Serve, kind: str, **arguments: Any) -> None:
    with pytest.raises(StartFailure) as refusal:
        serve(kind, HUB, **arguments)
    assert refusal.value.code is not None, "it neither serves nor ends"
    assert_says_what_to_do_about_workers(refusal.value.log)


def test_hubbub_run_with_two_workers_and_no_broker_is_refused_at_start() -> None:
    command = [str(Path(sys.executable).with_name("hubbub")), "run", HUB, "--workers", "2", "--port", str(free_port())]
    done = subprocess.run(command, cwd=APPS, capture_output=True, text=True, timeout=20)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert_says_what_to_do_about_workers(done.stdout + done.stderr)


def assert_says_what_to_do_about_workers(said: str) -> None:
    words = " ".join(said.split())
    assert re.search(r"worker", words), said
    assert re.search(r"(?i)run one worker|use a broker", words), said


# 8. A frozen client.


@on_uvicorn
def test_the_tutorial_takes_a_frozen_client_for_a_live_one(play: Play, kind: str) -> None:
    seen = play(TUTORIAL, lambda server: sleepers.freeze_a_client(server, as_process=True, watch_for=4.0))
    assert seen.noticed_after is None
    usual = uvicorn.Config(TUTORIAL)
    assert usual.ws_ping_interval is not None
    assert usual.ws_ping_timeout is not None
    assert usual.ws_ping_interval + usual.ws_ping_timeout > 25, "uvicorn's own bound has become better than ours"


@everywhere
@pytest.mark.parametrize("as_process", [True, False], ids=["SIGSTOP-in-a-busy-room", "silent-in-a-quiet-room"])
def test_a_frozen_client_is_noticed_within_the_bound(play: Play, kind: str, as_process: bool) -> None:
    seen = play(
        HUB,
        lambda server: sleepers.freeze_a_client(server, as_process=as_process, watch_for=6.0),
        settings=QUICK_PINGS,
    )
    assert seen.noticed_after is not None, "not noticed in 6 s"
    assert seen.noticed_after < QUICK_DETECTION
    assert seen.left_events == 1


def test_a_frozen_client_is_noticed_within_25_seconds_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    from hubbub import Settings

    monkeypatch.delenv("HUBBUB_PING_INTERVAL", raising=False)
    monkeypatch.delenv("HUBBUB_PING_TIMEOUT", raising=False)
    assert Settings.load().detection_bound <= 25


# 9. A huge message and sleeping readers.


@on_uvicorn
def test_one_huge_message_is_kept_for_every_sleeper_by_the_tutorial(play: Play, kind: str) -> None:
    seen = play(TUTORIAL, sleepers.send_a_huge_message)
    assert seen.offender is None
    assert seen.kept > 20 << 20
    assert seen.missed == ["D"], "the room is stuck as well"


@everywhere
def test_a_huge_message_is_refused_and_kept_for_nobody(play: Play, kind: str) -> None:
    seen = play(HUB, sleepers.send_a_huge_message)
    assert isinstance(seen.offender, Close)
    assert seen.offender.code == 1009
    assert seen.offender.reason
    assert seen.missed == []
    if kind in (HUBBUB_RUN, WIRE, *TLS_KINDS):
        assert seen.peak < 4 << 20, "refused by its header: it is never buffered"
    else:
        assert seen.kept < 24 << 20, "uvicorn reads all 8 MB, and in pieces, before anybody can refuse them"


@everywhere
def test_what_sleepers_do_not_read_is_bounded_for_all_of_them_together(play: Play, kind: str) -> None:
    """48 MB are on their way to ten sleepers, each of whom may fall 16 MiB behind; all together, 16 MiB too."""
    settings = {f"HUBBUB_MAX_QUEUED_BYTES{which}": str(16 << 20) for which in ("", "_TOTAL")}
    seen = play(HUB, sleepers.flood_sleepers, settings=settings)
    assert seen.missed == []
    assert seen.peak < 24 << 20


# 10. Foreign pages, and tokens in logs.


@on_uvicorn
def test_any_page_may_join_the_tutorials_room_and_tokens_are_logged(play: Play, kind: str) -> None:
    seen = play(TUTORIAL, scenarios.knock)
    assert seen.foreign_page == 101
    assert seen.log.count(TOKEN) >= 4, "three handshakes and one request carried it"


@everywhere
def test_a_foreign_page_is_refused_with_a_reason_in_the_log(play: Play, kind: str) -> None:
    seen = play(HUB, scenarios.knock)
    assert (seen.foreign_page, seen.own_page, seen.no_page) == (403, 101, 101)
    assert re.search(r"(?i)^.*origin.*evil\.example.*$", seen.log, re.MULTILINE), seen.log
    assert TOKEN not in seen.log
    assert faults_in(seen.log) == []


@everywhere
def test_a_listed_page_may_join(play: Play, kind: str) -> None:
    settings = {"HUBBUB_ALLOWED_ORIGINS": "https://other.example, https://evil.example"}
    seen = play(HUB, scenarios.knock, settings=settings)
    assert (seen.foreign_page, seen.own_page, seen.no_page) == (101, 101, 101)
