"""Other threads get to the hub through its event loop, and never block it."""

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from fastapi import FastAPI
from tests.clock import Clock
from tests.hub.fakes import FakeTransport, Stage

from hubbub import Client, Hub, UsageError
from hubbub.hub.threads import from_thread


def test_a_call_runs_on_the_hubs_event_loop_and_its_thread_gets_what_it_gives(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await Stage.open()

        async def call() -> tuple[asyncio.AbstractEventLoop, int]:
            return asyncio.get_running_loop(), threading.get_ident()

        async def failing() -> None:
            raise ConnectionError("the broker is away")

        answer = await asyncio.to_thread(from_thread, stage.engine, call, 10.0, "run_sync")
        assert answer == (stage.engine.loop, stage.engine.thread)
        with pytest.raises(ConnectionError, match="the broker is away"):
            await asyncio.to_thread(from_thread, stage.engine, failing, 10.0, "run_sync")

    clock.run(scenario())


def test_on_the_event_loops_own_thread_nothing_is_begun(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await Stage.open()
        begun: list[str] = []

        async def call() -> None:
            begun.append("call")

        with pytest.raises(UsageError, match="would block the event loop"):
            from_thread(stage.engine, call, 10.0, "run_sync")
        await asyncio.sleep(0)
        assert begun == []

    clock.run(scenario())


Call = Callable[..., Awaitable[Any]]
SAMPLES: dict[str, Any] = {
    "user": "anna", "channel": "chat:tea", "data": "x", "key": "a", "version": 1, "code": 4000, "room": "tea",
    "app": FastAPI(), "parameters": {"room": "tea"},
}  # fmt: skip


def calls_of(name: str, thing: Any) -> Iterator[tuple[str, Call]]:
    """All async methods of something that an app uses, with arguments that fit."""
    for method_name, method in inspect.getmembers(thing, inspect.iscoroutinefunction):
        if method_name.startswith("_") and method_name != "__anext__":
            continue
        positional: list[Any] = []
        keywords: dict[str, Any] = {}
        for parameter in inspect.signature(method).parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                keywords |= SAMPLES[parameter.name]
            elif parameter.default is parameter.empty and parameter.kind is parameter.KEYWORD_ONLY:
                keywords[parameter.name] = SAMPLES[parameter.name]
            elif parameter.default is parameter.empty:
                positional.append(SAMPLES[parameter.name])
        yield f"{name}.{method_name}", partial(method, *positional, **keywords)


def test_every_async_method_of_the_app_is_refused_on_another_event_loop_and_names_a_remedy(clock: Clock) -> None:
    hub = Hub(history_size=10)
    chat = hub.channel("chat:{room}", history=10, presence=True)
    board = hub.map_channel("board:{room}", mode="persistent")
    prices = hub.poll_channel("prices:{room}", every="1h", secret="s" * 32, publish_enabled=True, versioned=True)
    prices.on_poll(lambda keys: [])
    answers: dict[str, str] = {}

    def elsewhere(calls: list[tuple[str, Call]]) -> None:
        for name, call in calls:
            try:
                asyncio.run(awaited(call))
            except UsageError as error:
                answers[name] = str(error)
            else:
                answers[name] = "was not refused"

    async def awaited(call: Call) -> None:
        await call()

    async def scenario() -> None:
        stage = await Stage.open()
        client = stage.welcome(FakeTransport())
        async with hub.lifespan(FastAPI()):
            things = {"hub": hub, "client": client, "chat": chat, "board": board, "prices": prices}
            calls = [call for name, thing in things.items() for call in calls_of(name, thing)]
            await asyncio.to_thread(elsewhere, calls)

    clock.run(scenario())
    assert set(answers) == {
        "hub.subscribe", "hub.unsubscribe", "hub.disconnect", "hub.presence", "hub.publish", "hub.history",
        "client.__anext__", "client.send", "client.join", "client.leave", "client.close",
        "chat.publish", "board.publish", "board.remove", "board.state", "board.clear", "prices.publish",
    }  # fmt: skip
    assert {name: text for name, text in answers.items() if "_sync" not in text} == {}


def test_a_thread_sends_to_a_client_and_uses_its_other_methods_through_the_hub(clock: Clock) -> None:
    hub = Hub()

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            transport, stage = FakeTransport(), await Stage.open()
            client: Client[Any] = stage.welcome(transport)
            await asyncio.to_thread(client.send_sync, {"from": "a thread"})
            assert transport.received == ['{"from":"a thread"}']
            await asyncio.to_thread(hub.run_sync, client.join, "lobby")
            assert stage.engine.fanout.receivers("lobby") == 1
            with pytest.raises(UsageError, match="no close code"):
                await asyncio.to_thread(hub.run_sync, client.close, 999)
            await asyncio.to_thread(hub.run_sync, client.close, 4001, "done")
            assert transport.closed == [(4001, "done")]
            for call in (partial(client.send_sync, "x"), partial(hub.run_sync, client.send, "x")):
                with pytest.raises(UsageError, match="would block the event loop"):
                    call()

    clock.run(scenario())
