"""What is kept of a session that reads a map page by page, and how long."""

import asyncio
import gc

from tests.clock import Clock, ticks
from tests.hub.maps.stage import PERSISTENT, SMALL_PAGES, STATE, MapStage

from hubbub.hub.kinds.maps import Map
from hubbub.hub.maps.dialogues import Dialogues


def dialogues(stage: MapStage) -> Dialogues:
    kind = stage.board.declaration.kind
    assert isinstance(kind, Map)
    return kind._dialogues


def test_nothing_is_kept_of_who_has_read_all_or_gave_it_up(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, **SMALL_PAGES}) as stage:
            await stage.fill("a", "b", "c")
            waiting = dialogues(stage)._of
            reader, other = await stage.enter(), await stage.enter()
            assert len(waiting) == 0
            at = {"offset": 3, "epoch": (await reader.subscribe(phase=STATE))["epoch"]}
            await other.subscribe(phase=STATE)
            assert len(waiting) == 2
            await reader.subscribe(phase=STATE, cursor="b", **at)
            await other.guest.ask(unsubscribe={"channel": "board:1"})
            assert len(waiting) == 0

    clock.run(scene())


def test_a_dialogue_goes_with_its_session(clock: Clock) -> None:
    async def scene() -> None:
        async with MapStage({**PERSISTENT, **SMALL_PAGES}) as stage:
            await stage.fill("a", "b", "c")
            waiting = dialogues(stage)._of
            reader = await stage.enter()
            await reader.subscribe(phase=STATE)
            assert len(waiting) == 1
            reader.guest.transport.leaves()
            reader.guest.transport.peer = None
            del reader
            await ticks(5)
            await asyncio.sleep(20)
            gc.collect()
            assert len(waiting) == 0

    clock.run(scene())
