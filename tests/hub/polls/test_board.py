"""Who tracks what: keys come and go with their trackers, and tracks with their signatures."""

import math
from typing import Any

from tests.clock import Clock
from tests.hub.polls.stage import CHANNEL, PollStage, Viewer

from hubbub.hub.polls.board import Board, Tracker
from hubbub.hub.polls.sources import value_of
from hubbub.hub.polls.wave import Wave


def tracker_of(viewer: Viewer) -> Tracker:
    tracker = viewer.session.subscriptions[CHANNEL].state
    assert isinstance(tracker, Tracker)
    return tracker


def tracked(board: Board) -> dict[str, int]:
    return {name: len(key.trackers) for name, key in board.keys.items()}


def test_a_key_is_there_while_somebody_tracks_it(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            first, second = tracker_of(await stage.viewer()), tracker_of(await stage.viewer())
            board = stage.poller.board
            for tracker in (first, first, second):
                board.track(tracker, "k", 0, math.inf)
            board.track(second, "l", 0, math.inf)
            assert tracked(board) == {"k": 2, "l": 1}
            board.untrack(first, ["k", "l"])
            assert tracked(board) == {"k": 1, "l": 1}
            board.leave(second)
            assert (tracked(board), board.trackers) == ({}, {first})

    clock.run(scene())


def test_who_drops_a_key_that_was_removed_drops_it_for_nobody_who_tracks_it_again(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            first, second = tracker_of(await stage.viewer()), tracker_of(await stage.viewer())
            board = stage.poller.board
            board.track(first, "k", 0, math.inf)
            assert board.note(value_of("k", "", 0, removed=True)) is not None
            board.track(second, "k", 0, math.inf)
            board.untrack(first, ["k"])
            assert tracked(board) == {"k": 1}

    clock.run(scene())


def test_each_track_expires_in_its_time(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage() as stage:
            first, second = tracker_of(await stage.viewer()), tracker_of(await stage.viewer())
            board = stage.poller.board
            for number, name in enumerate("abc", 1):
                board.track(first, name, 0, number * 100.0)
            board.track(second, "a", 0, 250.0)
            board.track(second, "never", 0, math.inf)
            after = {}
            for before in (100.0, 101.0, 201.0, 202.0, 251.0, 1e9):
                board.expire(before)
                after[before] = (tracked(board), board.expires)
            assert after == {
                100.0: ({"a": 2, "b": 1, "c": 1, "never": 1}, 100.0),
                101.0: ({"a": 1, "b": 1, "c": 1, "never": 1}, 200.0),
                201.0: ({"a": 1, "c": 1, "never": 1}, 250.0),
                202.0: ({"a": 1, "c": 1, "never": 1}, 250.0),
                251.0: ({"c": 1, "never": 1}, 300.0),
                1e9: ({"never": 1}, math.inf),
            }

    clock.run(scene())


def test_a_value_that_a_client_has_missed_is_no_base_of_a_delta(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage(versioned=True, delta=True) as stage:
            viewer = await stage.viewer(delta="fossil")
            await viewer.track("k")
            board = stage.poller.board

            def note(version: int) -> Any:
                return board.note(value_of("k", f"a text that is long enough, number {version}", version))

            for versions in ((1,), (2,), (3, 4), (5,)):
                Wave.of([note(version) for version in versions]).push(10)
                viewer.read()
            deltas = [push["pub"].get("delta", False) for push in viewer.pushes]
            assert (viewer.seen, deltas) == ({"k": [1, 2, 4, 5]}, [False, True, False, True])
            assert viewer.values == {"k": "a text that is long enough, number 5"}

    clock.run(scene())
