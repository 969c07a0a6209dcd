"""Other threads get to the hub through its event loop, and never block it."""

import asyncio
import threading

import pytest
from tests.clock import Clock
from tests.hub.fakes import Stage

from hubbub import UsageError
from hubbub.hub.threads import from_thread


def test_a_call_runs_on_the_hubs_event_loop_and_its_thread_gets_what_it_gives(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await Stage.open()

        async def call() -> tuple[asyncio.AbstractEventLoop, int]:
            return asyncio.get_running_loop(), threading.get_ident()

        async def failing() -> None:
            raise ConnectionError("the broker is away")

        answer = await asyncio.to_thread(from_thread, stage.engine, call, 10.0)
        assert answer == (stage.engine.loop, stage.engine.thread)
        with pytest.raises(ConnectionError, match="the broker is away"):
            await asyncio.to_thread(from_thread, stage.engine, failing, 10.0)

    clock.run(scenario())


def test_on_the_event_loops_own_thread_nothing_is_begun(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await Stage.open()
        begun: list[str] = []

        async def call() -> None:
            begun.append("call")

        with pytest.raises(UsageError, match="would block the event loop"):
            from_thread(stage.engine, call, 10.0)
        await asyncio.sleep(0)
        assert begun == []

    clock.run(scenario())
