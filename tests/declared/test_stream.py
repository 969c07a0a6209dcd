"""One declared channel, as the app uses it."""

import threading

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from tests.clock import Clock
from tests.hub.connections import ANNA

from hubbub import Channel, Hub, UsageError
from hubbub.hub.declaration import Declaration

GAME = "game:{id}:{team}"


@pytest.fixture(autouse=True)
def _one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["pytest"])


def declared() -> tuple[Channel, Declaration]:
    channel = Hub().channel(GAME, presence=True)
    return channel, channel.declaration


def serve(hub: Hub) -> TestClient:
    return TestClient(FastAPI(lifespan=hub.lifespan))


def test_a_channel_says_what_was_declared() -> None:
    channel, declaration = declared()
    assert channel.pattern == GAME
    assert channel.rules is declaration.rules
    assert channel.name(id=7, team="red") == "game:7:red"
    with pytest.raises(UsageError, match="takes id, team; given: id"):
        channel.name(id=7)


def test_publishing_takes_the_parameters_of_the_name() -> None:
    hub = Hub()
    channel = hub.channel(GAME, history=10)

    async def use() -> None:
        assert (await channel.publish({"a": 1}, id=7, team="red")).offset == 1
        first = await channel.publish("x", id=7, team="blue", tags={"lang": "en"}, idempotency_key="k1")
        assert await channel.publish("y", id=7, team="blue", idempotency_key="k1") == first
        with pytest.raises(UsageError, match="takes id, team; given: none"):
            await channel.publish("x")
        (red,), _ = await hub.history("game:7:red")
        assert (red.data, red.tags) == ('{"a":1}', {})
        (blue,), position = await hub.history("game:7:blue")
        assert (blue.data, blue.tags, position) == ("x", {"lang": "en"}, first)

    with serve(hub) as client:
        assert client.portal is not None
        client.portal.call(use)


def test_publishing_from_a_thread_takes_the_parameters_of_the_name_too() -> None:
    hub = Hub()
    channel = hub.channel(GAME, history=10)
    with pytest.raises(UsageError, match="not running"):
        channel.publish_sync("x", id=7, team="red")

    async def read() -> None:
        (red,), _ = await hub.history("game:7:red")
        assert (red.data, red.tags) == ('{"a":1}', {})
        (blue,), position = await hub.history("game:7:blue")
        assert (blue.data, blue.tags, position) == ("x", {"lang": "en"}, first)
        with pytest.raises(UsageError, match="publish_sync would block the event loop"):
            channel.publish_sync("x", id=7, team="red")

    with serve(hub) as client:
        assert client.portal is not None
        assert channel.publish_sync({"a": 1}, id=7, team="red").offset == 1
        first = channel.publish_sync("x", id=7, team="blue", tags={"lang": "en"}, idempotency_key="k1", timeout=None)
        assert channel.publish_sync("y", id=7, team="blue", idempotency_key="k1") == first
        with pytest.raises(UsageError, match="takes id, team; given: none"):
            channel.publish_sync("x")
        client.portal.call(read)


def test_a_thread_waits_no_longer_than_it_says() -> None:
    hub = Hub()
    channel = hub.channel(GAME)
    busy, done = threading.Event(), threading.Event()

    async def block() -> None:
        busy.set()
        done.wait(10)

    with serve(hub) as client:
        assert client.portal is not None
        blocked = client.portal.start_task_soon(block)
        assert busy.wait(10)
        try:
            with pytest.raises(TimeoutError):
                channel.publish_sync("x", timeout=0.05, id=7, team="red")
        finally:
            done.set()
            blocked.result(10)


def test_handlers_get_the_parameters_of_the_name_and_stay_plain_functions(clock: Clock) -> None:
    async def scenario() -> None:
        channel, declaration = declared()

        @channel.on_subscribe
        def may_subscribe(id: int, channel: str) -> tuple[int, str]:
            return id, channel

        @channel.on_publish
        def changed(team: str, message: dict[str, int]) -> tuple[str, dict[str, int]]:
            return team, message

        assert may_subscribe(1, "x") == (1, "x")
        assert changed("red", {"a": 1}) == ("red", {"a": 1})
        assert declaration.on_subscribe is not None
        assert declaration.on_publish is not None
        path, known = {"id": "7", "team": "red"}, {"channel": "game:7:red"}
        assert await declaration.on_subscribe(ANNA, path=path, known=known) == (7, "game:7:red")
        assert await declaration.on_publish(ANNA, path=path, known=known, payload='{"a":1}') == ("red", {"a": 1})

    clock.run(scenario())


def test_a_channel_has_one_function_of_each_kind() -> None:
    channel, declaration = declared()
    first = channel.on_subscribe(lambda: None)
    before = declaration.on_subscribe
    with pytest.raises(UsageError, match=r"^channel 'game:\{id\}:\{team\}' has such a function already$"):
        channel.on_subscribe(first)
    channel.on_publish(lambda: None)
    with pytest.raises(UsageError, match="has such a function already"):
        channel.on_publish(lambda: None)
    assert declaration.on_subscribe is before


def test_a_function_with_parameters_that_nothing_gives_is_refused_at_once() -> None:
    channel, declaration = declared()
    with pytest.raises(UsageError, match=r"nothing gives 'ida' and 'other'; did you mean 'id'\?"):
        channel.on_publish(lambda ida, other: None)
    assert declaration.on_publish is None
