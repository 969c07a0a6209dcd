"""Map channels as an app uses them."""

import asyncio
import sys
import threading

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.testclient import TestClient

from hubbub import Broker, Hub, UsageError
from hubbub.brokers.base import NO_GUARD, Deliver, Guard, Retention
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Presence, Publication


class Plain(Broker):
    """A broker without the ability to keep maps."""

    async def start(self, deliver: Deliver) -> None: ...

    async def stop(self) -> None: ...

    async def publish(
        self, channel: str, publication: Publication, retention: Retention, guard: Guard = NO_GUARD
    ) -> Position:
        return Position(0, "")

    async def announce(self, channel: str, presence: Presence) -> None: ...

    async def subscribe(self, channel: str) -> None: ...

    async def unsubscribe(self, channel: str) -> None: ...


class Card(BaseModel):
    title: str
    done: bool = False


@pytest.fixture(autouse=True)
def _one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest"])
    return


def serve(hub: Hub) -> TestClient:
    return TestClient(FastAPI(lifespan=hub.lifespan))


def test_entries_are_published_read_and_removed_by_the_app() -> None:
    hub = Hub()
    board = hub.map_channel("board:{name}", mode="persistent")
    with serve(hub) as client:
        assert client.portal is not None
        call = client.portal.call

        async def use() -> None:
            put = await board.publish("b", Card(title="paint"), name="home")
            assert (put.position.offset, put.suppressed) == (1, "")
            await board.publish("a", "text", tags={"t": "1"}, name="home")
            assert (await board.publish("a", 1, only="if_new", name="home")).suppressed == "key_exists"
            assert (await board.publish("v", 1, version=2, name="home")).suppressed == ""
            assert (await board.publish("v", 2, version=1, name="home")).suppressed == "version"
            assert (await board.publish("i", 1, idempotency_key="i", name="home")).suppressed == ""
            assert (await board.publish("i", 2, idempotency_key="i", name="home")).suppressed == "idempotency"
            state = await board.state(name="home")
            assert list(state) == ["a", "b", "i", "v"]
            assert (state["a"].data, state["a"].tags, state["a"].offset) == ("text", {"t": "1"}, 2)
            assert state["b"].data == '{"title":"paint","done":false}'
            assert (await board.remove("a", name="home")).position.offset == 5
            assert (await board.remove("a", name="home")).suppressed == "key_not_found"
            assert list(await board.state(name="home")) == ["b", "i", "v"]
            await board.clear(name="home")
            assert await board.state(name="home") == {}
            assert await board.state(name="elsewhere") == {}

        call(use)


def test_entries_are_published_from_any_other_thread() -> None:
    hub = Hub()
    board = hub.map_channel("board:{name}", mode="persistent")
    with pytest.raises(UsageError, match="not running"):
        board.publish_sync("a", 1, name="home")
    with serve(hub) as client:
        assert client.portal is not None
        put = board.publish_sync("a", Card(title="paint"), tags={"t": "1"}, version=2, name="home")
        assert (put.position.offset, put.suppressed) == (1, "")
        assert board.publish_sync("a", 1, version=1, name="home").suppressed == "version"
        assert board.publish_sync("a", 1, only="if_new", name="home").suppressed == "key_exists"
        board.publish_sync("i", 1, idempotency_key="i", name="home")
        assert board.publish_sync("i", 2, idempotency_key="i", name="home").suppressed == "idempotency"

        async def read() -> None:
            entry = (await board.state(name="home"))["a"]
            assert (entry.data, entry.tags) == ('{"title":"paint","done":false}', {"t": "1"})
            with pytest.raises(UsageError, match="publish_sync would block the event loop"):
                board.publish_sync("a", 1, name="home")

        client.portal.call(read)


def test_what_is_used_wrongly_is_told() -> None:
    hub = Hub()
    board = hub.map_channel("board:{name}", mode="persistent")
    with serve(hub) as client:
        assert client.portal is not None

        async def use() -> None:
            with pytest.raises(UsageError, match="needs a key that is not empty"):
                await board.publish("", 1, name="1")
            with pytest.raises(UsageError, match="needs a key that is not empty"):
                await board.remove("", name="1")
            with pytest.raises(UsageError, match="takes name; given: none"):
                await board.state()
            with pytest.raises(UsageError, match="cannot send a object"):
                await board.publish("a", object(), name="1")

        client.portal.call(use)


def test_keys_and_tags_that_no_message_could_hold_are_refused() -> None:
    hub = Hub()
    board = hub.map_channel("board:{name}", mode="persistent")
    with serve(hub) as client:
        assert client.portal is not None

        async def use() -> None:
            with pytest.raises(UsageError, match="half a surrogate pair"):
                await board.publish("\ud800", 1, name="1")
            with pytest.raises(UsageError, match="half a surrogate pair"):
                await board.publish("a", 1, tags={"a": "\ud800"}, name="1")
            assert await board.state(name="1") == {}

        client.portal.call(use)


def test_bytes_of_an_entry_are_json_unless_the_map_is_binary() -> None:
    hub = Hub()
    board = hub.map_channel("board:{name}", mode="persistent")
    raw = hub.map_channel("raw:{name}", mode="persistent", binary=True)
    with serve(hub) as client:
        assert client.portal is not None

        async def use() -> None:
            await board.publish("a", b"[1]", name="1")
            await raw.publish("a", b"\xff", name="1")
            with pytest.raises(UsageError, match=r"what is published to 'board:1' is bytes that are not JSON.*binary="):
                await board.publish("b", b"\xff", name="1")
            kept = {**await board.state(name="1"), "raw": (await raw.state(name="1"))["a"]}
            assert {key: entry.data for key, entry in kept.items()} == {"a": "[1]", "raw": b"\xff"}

        client.portal.call(use)


def test_a_map_is_used_on_the_hubs_own_event_loop_while_it_runs() -> None:

    hub = Hub()
    board = hub.map_channel("board:{name}", mode="persistent")
    with pytest.raises(UsageError, match="not running"):
        asyncio.run(board.publish("a", 1, name="1"))
    raised: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(board.publish("a", 1, name="1"))
        except UsageError as error:
            raised.append(error)

    with serve(hub):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join(10)
    assert "use publish_sync, which is safe from any thread" in str(raised[0])


def test_rules_are_checked_where_they_are_declared() -> None:
    hub = Hub()
    with pytest.raises(UsageError, match="say key_ttl"):
        hub.map_channel("a:{x}")
    with pytest.raises(UsageError, match="a map channel has no rule 'history'; there are mode,"):
        hub.map_channel("a:{x}", key_ttl=60, history=10)
    with pytest.raises(UsageError, match="may_publish"):
        hub.map_channel("a:{x}", key_ttl=60, may_publish="admins")
    with pytest.raises(UsageError, match='deltas need a mode that keeps changes; say mode="recoverable"'):
        hub.map_channel("a:{x}", key_ttl=60, delta=True)
    declared = hub.map_channel("a:{x}", key_ttl=60, tags_filter=True)
    assert (declared.pattern, declared.rules.tags_filter, declared.rules.history) == ("a:{x}", True, 0)
    with pytest.raises(UsageError, match="declared already"):
        hub.map_channel("a:{x}", key_ttl=60)


def test_a_broker_that_keeps_no_maps_is_told_of_when_the_hub_starts() -> None:
    hub = Hub(Plain())
    hub.map_channel("board:{name}", mode="persistent")
    with pytest.raises(UsageError, match=r"Plain keeps no maps, as channel 'board:\{name\}' needs"), serve(hub):
        raise AssertionError("it started")


def test_a_stream_publication_to_a_map_says_what_to_do() -> None:
    hub = Hub()
    hub.map_channel("board:{name}", mode="persistent")
    with serve(hub) as client:
        assert client.portal is not None

        async def publish() -> None:
            with pytest.raises(UsageError, match="'board:1' is no stream"):
                await hub.publish("board:1", "x")

        client.portal.call(publish)
