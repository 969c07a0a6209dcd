"""News on its way: what is true when it is sent counts, and not what was when it set out."""

import asyncio
import math

from tests.clock import Clock
from tests.hub.polls.stage import CHANNEL, PollStage, Viewer

from hubbub.hub.polls.board import Board, Key, Tracker
from hubbub.hub.polls.sources import value_of
from hubbub.hub.polls.wave import Wave


def tracker_of(viewer: Viewer) -> Tracker:
    tracker = viewer.session.subscriptions[CHANNEL].state
    assert isinstance(tracker, Tracker)
    return tracker


def note(board: Board, key: str, data: str | bytes, version: int, *, removed: bool = False) -> Key:
    noted = board.note(value_of(key, data, version, removed=removed))
    assert noted is not None
    return noted


def test_who_tracks_a_removed_key_again_is_not_told_that_it_is_gone(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage(versioned=True) as stage:
            viewer = await stage.viewer()
            await viewer.track("k")
            board = stage.poller.board
            removal = Wave.of([note(board, "k", "", 0, removed=True)])
            board.track(tracker_of(viewer), "k", 0, math.inf)
            news = Wave.of([note(board, "k", "back", 1)])
            assert not removal.push(10)
            assert viewer.told == []
            assert not news.push(10)
            assert viewer.told == [("k", "back")]

    clock.run(scene())


def test_two_waves_tell_the_newest_once(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage(versioned=True) as stage:
            viewer = await stage.viewer()
            await viewer.track("k", "l")
            board = stage.poller.board
            waves = [Wave.of([note(board, "k", "old", 1), note(board, "l", "l", 1)])]
            waves.append(Wave.of([note(board, "k", "new", 2)]))
            for wave in waves:
                wave.push(10)
            assert viewer.told == [("k", "new"), ("l", "l")]

    clock.run(scene())


def test_a_wave_passes_who_has_left_or_dropped_the_key(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage(versioned=True) as stage:
            viewers = [await stage.viewer() for _ in range(3)]
            for viewer in viewers:
                await viewer.track("k")
            wave = Wave.of([note(stage.poller.board, "k", "new", 1)])
            viewers[0].leave()
            await viewers[1].untrack("k")
            wave.push(10)
            await asyncio.sleep(1)
            assert [viewer.told for viewer in viewers] == [[], [], [("k", "new")]]

    clock.run(scene())


def test_a_wave_stops_where_it_is_told_to(clock: Clock) -> None:
    async def scene() -> None:
        async with PollStage(versioned=True) as stage:
            viewers = [await stage.viewer() for _ in range(5)]
            for viewer in viewers:
                await viewer.track("k", "l")
            keys = [note(stage.poller.board, key, "new", 1) for key in "kl"]
            reached = []
            for _ in Wave.of(keys).slices(4):
                reached.append(sum(bool(viewer.told) for viewer in viewers))
            assert reached == [2, 4]
            assert all(viewer.told == [("k", "new"), ("l", "new")] for viewer in viewers)

    clock.run(scene())
