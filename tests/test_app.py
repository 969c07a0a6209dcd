"""The hub as an app uses it: its life, its clients, its publications, and what it says to wrong use."""

import asyncio
import contextlib
import json
import logging
import re
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, FastAPI, WebSocket, WebSocketException
from pydantic import BaseModel, Field
from starlette.testclient import TestClient
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect, WebSocketState
from tests.clock import Clock, ticks
from tests.hub.fakes import FakeTransport
from tests.hub.sessions import SessionStage

from hubbub import (
    JWT,
    Broker,
    Channel,
    Client,
    Goodbye,
    Grant,
    Hub,
    Identity,
    Position,
    Publication,
    Retention,
    UsageError,
)
from hubbub.brokers.base import NO_GUARD, Deliver, Guard
from hubbub.brokers.memory import MemoryBroker
from hubbub.errors import UnknownChannel
from hubbub.protocol.publication import Presence
from hubbub.transports.asgi import ServerDoor

AnyClient = Client[Any]


@pytest.fixture(autouse=True)
def _one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest"])


class PlainBroker(Broker):
    """A broker of one's own, without history."""

    async def start(self, deliver: Deliver) -> None:
        self.deliver = deliver

    async def stop(self) -> None:
        pass

    async def publish(
        self, channel: str, publication: Publication, retention: Retention, guard: Guard = NO_GUARD
    ) -> Position:
        self.deliver(channel, publication)
        return Position(0, "")

    async def announce(self, channel: str, presence: Presence) -> None:
        pass

    async def subscribe(self, channel: str) -> None:
        pass

    async def unsubscribe(self, channel: str) -> None:
        pass


class Peer:
    """The server's side of ASGI for one WebSocket, and what came out of it."""

    def __init__(self, headers: Iterable[tuple[bytes, bytes]] = (), address: str = "192.0.2.1") -> None:
        self.sent: list[Message] = []
        self._coming: asyncio.Queue[Message] = asyncio.Queue()
        self.websocket = WebSocket(
            {
                "type": "websocket",
                "path": "/ws",
                "query_string": b"",
                "headers": [(b"host", b"app.example"), *headers],
                "client": (address, 50000),
                "subprotocols": ["chat.v1"],
                "extensions": {},
            },
            self._coming.get,
            self._send,
        )
        self._coming.put_nowait({"type": "websocket.connect"})

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    def says(self, text: str) -> None:
        self._coming.put_nowait({"type": "websocket.receive", "text": text})

    def leaves(self, code: int = 1001) -> None:
        self._coming.put_nowait({"type": "websocket.disconnect", "code": code, "reason": ""})


async def listen_forever(client: AnyClient) -> None:
    async for _ in client:
        pass


# Life


def test_the_end_of_the_app_tells_its_clients_and_stops_the_broker(clock: Clock) -> None:
    class Stoppable(PlainBroker):
        stopped = 0

        async def stop(self) -> None:
            self.stopped += 1

    broker = Stoppable()
    hub = Hub(broker)

    async def scenario() -> None:
        peer = Peer()

        async def handler() -> AnyClient:
            async with hub.connect(peer.websocket) as client:
                await listen_forever(client)
            return client

        async with hub.lifespan(FastAPI()):
            task = asyncio.create_task(handler())
            await ticks(3)
            assert broker.stopped == 0
        assert broker.stopped == 1
        client = await task
        assert client.goodbye is not None
        assert client.goodbye.code == 1012

    clock.run(scenario())


def test_the_end_of_an_app_that_fails_is_the_same(clock: Clock) -> None:
    hub = Hub()

    async def scenario() -> None:
        with pytest.raises(LookupError):
            async with hub.lifespan(FastAPI()):
                raise LookupError
        with pytest.raises(UsageError, match="not running"):
            await hub.publish("lobby", "x")

    clock.run(scenario())


def test_a_running_hub_keeps_tokens_out_of_the_servers_log(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("uvicorn.access")
    log.filters.clear()

    async def scenario() -> None:
        async with Hub().lifespan(FastAPI()):
            log.warning("GET %s", "/ws?token=abc")

    clock.run(scenario())
    assert caplog.messages == ["GET /ws?token=***"]


def test_an_app_gets_one_door_however_often_it_is_started() -> None:
    _, app = chat()
    for _ in range(2):
        with TestClient(app):
            pass
    assert isinstance(app.middleware_stack, ServerDoor)
    assert not isinstance(app.middleware_stack._app, ServerDoor)


# Wrong use


@pytest.mark.parametrize("url", ["redis://localhost", "memory", "memory://x", "nats://", "", "http://localhost"])
def test_a_broker_that_there_is_none_for_is_refused_at_once(url: str) -> None:
    with pytest.raises(UsageError, match=f"^no broker for '{url}': there is memory://, or give an instance"):
        Hub(url)


@contextlib.asynccontextmanager
async def own_lifespan(app: FastAPI) -> AsyncIterator[dict[str, int]]:
    yield {"own": 1}


@pytest.mark.parametrize("lifespan", [None, own_lifespan], ids=["no lifespan", "a lifespan of its own"])
@pytest.mark.parametrize("routers", [("router",), ("api",), ("api", "router")], ids=" and ".join)
@pytest.mark.parametrize("nested", [False, True], ids=["", "nested"])
def test_an_app_that_starts_without_its_hub_is_warned_once_with_the_remedy(
    caplog: pytest.LogCaptureFixture, lifespan: Any, routers: tuple[str, ...], nested: bool
) -> None:
    hub = Hub()
    app = FastAPI(lifespan=lifespan)
    for name in routers:
        router = getattr(hub, name)
        if nested:
            inner = router
            router = APIRouter()
            router.include_router(inner)
        app.include_router(router)
    with caplog.at_level(logging.WARNING, "hubbub"):
        for _ in range(2):
            with TestClient(app) as client:
                assert client.app_state == ({} if lifespan is None else {"own": 1})
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "every client will get an error. Give FastAPI its lifespan, FastAPI(lifespan=hub.lifespan)" in caplog.text


@pytest.mark.parametrize("own", [False, True])
def test_an_app_that_starts_its_hub_is_not_warned(caplog: pytest.LogCaptureFixture, *, own: bool) -> None:
    hub = Hub()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, int]]:
        async with hub.lifespan(app):
            yield {"own": 1}

    app = FastAPI(lifespan=lifespan if own else hub.lifespan)
    app.include_router(hub.router)
    app.include_router(hub.api)
    with caplog.at_level(logging.WARNING, "hubbub"), TestClient(app) as client:
        assert client.app_state == ({"own": 1} if own else {})
    assert caplog.records == []


def test_a_name_that_nobody_declared_or_joined_is_a_room_where_nobody_is() -> None:
    hub = Hub()
    hub.channel("orders")
    app = FastAPI(lifespan=hub.lifespan)

    @app.post("/")
    async def order() -> int:
        return (await hub.publish("ordres", "a misspelt name")).offset

    with TestClient(app) as client:
        assert client.post("/").json() == 0


def test_a_hub_that_is_not_running_says_what_to_do(clock: Clock) -> None:
    hub = Hub()
    remedy = r"FastAPI\(lifespan=hub\.lifespan\).*with TestClient\(app\) as client"

    async def scenario() -> None:
        with pytest.raises(UsageError, match=remedy):
            await hub.publish("lobby", "x")
        with pytest.raises(UsageError, match=remedy):
            hub.publish_sync("lobby", "x")
        with pytest.raises(UsageError, match=remedy):
            async with hub.connect(Peer().websocket):
                raise AssertionError("entered")
        assert dict(hub.clients) == {}

    clock.run(scenario())


def test_a_test_that_forgets_to_enter_the_client_is_told_so() -> None:
    _, app = chat()
    client = TestClient(app)
    with pytest.raises(UsageError, match="in a test, enter the client"), client.websocket_connect("/ws"):
        pass


def test_a_hub_runs_for_one_app_at_a_time(clock: Clock) -> None:
    hub = Hub()

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            with pytest.raises(UsageError, match="give each app a hub of its own"):
                async with hub.lifespan(FastAPI()):
                    raise AssertionError("entered")
            await hub.publish("lobby", "still running")
        with pytest.raises(UsageError, match="not running"):
            await hub.publish("lobby", "x")
        async with hub.lifespan(FastAPI()):
            await hub.publish("lobby", "again")

    clock.run(scenario())


def test_a_hub_knows_whether_its_broker_connects_processes() -> None:
    assert Hub().one_process
    assert Hub(MemoryBroker()).one_process
    connected = Hub(PlainBroker())
    assert not connected.one_process


def test_a_start_that_fails_leaves_the_hub_stopped(clock: Clock) -> None:
    class Unreachable(PlainBroker):
        async def start(self, deliver: Deliver) -> None:
            raise ConnectionError("no broker there")

    hub = Hub(Unreachable())

    async def scenario() -> None:
        for _ in range(2):
            with pytest.raises(ConnectionError):
                async with hub.lifespan(FastAPI()):
                    raise AssertionError("entered")

    clock.run(scenario())


# Publishing


def test_publish_from_another_event_loop_names_publish_sync(clock: Clock) -> None:
    hub = Hub()
    seen: list[str] = []

    def elsewhere() -> None:
        with pytest.raises(UsageError) as caught:
            asyncio.run(hub.publish("lobby", "x"))
        seen.append(str(caught.value))

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join(10)

    clock.run(scenario())
    assert ["publish_sync" in text for text in seen] == [True]


def test_publish_sync_works_from_another_thread_and_answers_with_the_position() -> None:
    hub = Hub(history_size=10)
    hub.channel("declared")

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            position = await asyncio.to_thread(hub.publish_sync, "lobby", {"a": 1})
            assert position.offset == 1
            assert (await hub.history("lobby"))[0] == (Publication('{"a":1}', *position),)
            with pytest.raises(UsageError, match="cannot send"):
                await asyncio.to_thread(hub.publish_sync, "lobby", object())
            with pytest.raises(UsageError, match="bytes that are not JSON"):
                await asyncio.to_thread(hub.publish_sync, "declared", b"\xff")
            again = [await asyncio.to_thread(hub.publish_sync, "lobby", 2, idempotency_key="k") for _ in range(2)]
            assert [position.offset for position in again] == [2, 2]
            await asyncio.to_thread(hub.publish_sync, "lobby", 3, tags={"lang": "en"})
            assert (await hub.history("lobby"))[0][-1].tags == {"lang": "en"}

    asyncio.run(scenario())  # a thread takes real time


def test_a_page_of_a_history_says_whether_there_is_more(clock: Clock) -> None:
    hub = Hub(history_size=10)

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            for number in range(1, 6):
                top = await hub.publish("lobby", number)
            pages = [
                ({}, [1, 2, 3, 4, 5], False),
                ({"limit": 5}, [1, 2, 3, 4, 5], False),
                ({"limit": 4}, [1, 2, 3, 4], True),
                ({"limit": 0}, [], True),
                ({"limit": 2, "since": Position(3, top.epoch)}, [4, 5], False),
                ({"limit": 1, "since": Position(3, top.epoch)}, [4], True),
                ({"limit": 2, "reverse": True}, [5, 4], True),
                ({"limit": 2, "since": Position(3, top.epoch), "reverse": True}, [2, 1], False),
                ({"limit": 2, "since": top}, [], False),
            ]
            for asked, offsets, more in pages:
                page = await hub.history("lobby", **asked)
                publications, newest = page
                assert ([one.offset for one in publications], newest, page.more) == (offsets, top, more), asked
                assert (page.publications, page.top) == (publications, top)
            with pytest.raises(UsageError, match="limit is -1; it must be 0 or more, or None for everything"):
                await hub.history("lobby", limit=-1)

    clock.run(scenario())


def test_bytes_go_as_they_are_to_plain_clients_of_a_channel_that_is_not_declared(clock: Clock) -> None:
    hub = Hub(history_size=10)

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            for data in (b"\x00\xff", b'{"a": 1}\n'):
                await hub.publish("lobby", data)
            assert [one.data for one in (await hub.history("lobby"))[0]] == [b"\x00\xff", b'{"a": 1}\n']

    clock.run(scenario())


def test_publish_sync_on_the_loops_own_thread_is_refused_instead_of_a_deadlock(clock: Clock) -> None:
    hub = Hub()

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            with pytest.raises(UsageError, match="here, await the async function itself"):
                hub.publish_sync("lobby", "x")

    clock.run(scenario())


def test_publish_sync_gives_up_when_the_loop_does_not_get_to_it(clock: Clock) -> None:
    hub = Hub()
    seen: list[type[BaseException]] = []
    done = threading.Event()

    def elsewhere() -> None:
        try:
            hub.publish_sync("lobby", "x", timeout=0.01)
        except TimeoutError as error:
            seen.append(type(error))
        finally:
            done.set()

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            threading.Thread(target=elsewhere).start()
            assert done.wait(10), "it waits for the loop, which waits for it"

    clock.run(scenario())
    assert seen == [TimeoutError]


# History


def test_history_shows_what_is_kept_and_where_it_ends(clock: Clock) -> None:
    hub = Hub(history_size=3)

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            positions = [await hub.publish("lobby", f"{number}") for number in range(1, 6)]
            kept, top = await hub.history("lobby")
            assert kept == tuple(Publication(f"{number}", number, positions[0].epoch) for number in (3, 4, 5))
            assert top == positions[-1]
            assert (await hub.history("lobby", positions[3]))[0] == (Publication("5", *positions[4]),)
            assert (await hub.history("lobby", limit=1, reverse=True))[0] == (Publication("5", *positions[4]),)

    clock.run(scenario())


def test_a_hub_keeps_nothing_unless_it_is_asked_to(clock: Clock) -> None:
    hub = Hub()

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            assert (await hub.publish("lobby", "x")).offset == 0
            kept, top = await hub.history("lobby")
            assert (kept, top.offset) == ((), 0)

    clock.run(scenario())


def test_a_broker_without_history_is_named(clock: Clock) -> None:
    hub = Hub(PlainBroker())

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            with pytest.raises(UsageError, match=r"^PlainBroker keeps no history$"):
                await hub.history("lobby")

    clock.run(scenario())


# Connecting


def test_connect_accepts_with_what_it_was_given_and_says_who_it_is(clock: Clock) -> None:
    hub = Hub()

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            peer = Peer(address="203.0.113.9")
            ticket = object()
            connecting = hub.connect(
                peer.websocket, user="jane", data=ticket, subprotocol="chat.v1", headers=[(b"x-more", b"1")]
            )
            async with connecting as client:
                assert peer.sent == [
                    {"type": "websocket.accept", "subprotocol": "chat.v1", "headers": [(b"x-more", b"1")]}
                ]
                info = client.info
                assert (info.user, info.address, info.path, info.subprotocol) == (
                    "jane",
                    "203.0.113.9",
                    "/ws",
                    "chat.v1",
                )
                assert info.data is ticket
                assert dict(hub.clients) == {info.id: client}
                with pytest.raises(TypeError):
                    hub.clients["x"] = client  # type: ignore[index]
            assert dict(hub.clients) == {}
            await ticks(3)
            assert peer.sent[1:] == [{"type": "websocket.close", "code": 1000, "reason": ""}]
            assert peer.websocket.application_state is WebSocketState.DISCONNECTED

    clock.run(scenario())


def test_ids_are_new_for_each_connection(clock: Clock) -> None:
    hub = Hub()

    async def scenario() -> None:
        ids = set()
        async with hub.lifespan(FastAPI()):
            for _ in range(20):
                async with hub.connect(Peer().websocket) as client:
                    ids.add(client.info.id)
        assert len(ids) == 20
        assert all(len(one) >= 12 for one in ids)

    clock.run(scenario())


def test_a_websocket_that_the_app_has_accepted_is_not_accepted_again(clock: Clock) -> None:
    hub = Hub()

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            peer = Peer()
            await peer.websocket.accept()
            async with hub.connect(peer.websocket) as client:
                await client.send("hello")
            await ticks(3)
            assert [message["type"] for message in peer.sent] == [
                "websocket.accept",
                "websocket.send",
                "websocket.close",
            ]

    clock.run(scenario())


def test_one_websocket_has_one_client(clock: Clock) -> None:
    hub = Hub()

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            peer = Peer()
            async with hub.connect(peer.websocket) as client:
                with pytest.raises(UsageError, match="this WebSocket has a client already"):
                    async with hub.connect(peer.websocket):
                        raise AssertionError("entered")
                await client.send("still there")
                assert dict(hub.clients) == {client.info.id: client}

    clock.run(scenario())


def test_a_transport_that_the_server_offers_is_used(clock: Clock) -> None:
    hub = Hub()

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            peer, transport = Peer(), FakeTransport()
            peer.websocket.scope["extensions"] = {"hubbub.wire": {"transport": transport}}
            async with hub.connect(peer.websocket) as client:
                await client.send("hello")
            assert transport.received == ["hello"]
            assert transport.closed == [(1000, "")]
            assert [message["type"] for message in peer.sent] == ["websocket.accept"]
            # Past Starlette, which must know that it is over.
            assert peer.websocket.application_state is WebSocketState.DISCONNECTED

    clock.run(scenario())


def refusal(hub: Hub, peer: Peer) -> "asyncio.Future[WebSocketException]":
    async def attempt() -> WebSocketException:
        with pytest.raises(WebSocketException) as caught:
            async with hub.connect(peer.websocket):
                raise AssertionError("entered")
        assert peer.sent == [], "FastAPI answers the handshake, with 403"
        return caught.value

    return asyncio.ensure_future(attempt())


def test_a_page_of_another_origin_is_refused_before_the_accept(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    hub = Hub(allowed_origins="https://friend.example")

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            refused = await refusal(hub, Peer([(b"origin", b"https://evil.example")]))
            assert refused.code == 1008
            for origin in (b"https://friend.example", b"https://app.example"):
                async with hub.connect(Peer([(b"origin", origin)]).websocket):
                    pass

    clock.run(scenario())
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("refused /ws to 192.0.2.1: origin 'https://evil.example' is not allowed")


def test_more_connections_than_there_may_be_are_refused(clock: Clock) -> None:
    hub = Hub(max_connections=2, max_connections_per_address=1)

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            async with hub.connect(Peer(address="192.0.2.1").websocket):
                assert (await refusal(hub, Peer(address="192.0.2.1"))).code == 1013
                async with hub.connect(Peer(address="192.0.2.2").websocket):
                    assert (await refusal(hub, Peer(address="192.0.2.3"))).code == 1013
                async with hub.connect(Peer(address="192.0.2.3").websocket):
                    pass
            async with hub.connect(Peer(address="192.0.2.1").websocket):
                pass

    clock.run(scenario())


def test_a_client_that_does_not_take_the_answer_is_given_up_and_not_counted(clock: Clock) -> None:
    hub = Hub(max_connections=1, handshake_timeout=3)

    class Stuck(Peer):
        async def _send(self, message: Message) -> None:
            await asyncio.sleep(3600)

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            started = clock.time()
            with pytest.raises(TimeoutError):
                async with hub.connect(Stuck().websocket):
                    raise AssertionError("entered")
            assert clock.time() - started == pytest.approx(3)
            assert dict(hub.clients) == {}
            async with hub.connect(Peer().websocket):
                pass

    clock.run(scenario())


def test_while_the_hub_stops_nobody_is_accepted(clock: Clock) -> None:
    hub = Hub()

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            assert hub._engine is not None
            hub._engine.begin_stop()
            assert (await refusal(hub, Peer())).code == 1012

    clock.run(scenario())


def test_who_is_being_accepted_when_the_stop_begins_is_told_as_well(clock: Clock) -> None:
    hub = Hub()

    class Slow(Peer):
        async def _send(self, message: Message) -> None:
            if message["type"] == "websocket.accept":
                await asyncio.sleep(1)
            await super()._send(message)

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            assert hub._engine is not None
            asyncio.get_running_loop().call_later(0.5, hub._engine.begin_stop)
            peer = Slow()
            async with hub.connect(peer.websocket) as client:
                await listen_forever(client)
            assert client.goodbye is not None
            assert client.goodbye.code == 1012
            assert peer.sent[-1]["code"] == 1012

    clock.run(scenario())


# Goodbyes


def test_on_goodbye_decorates_a_function_that_is_told_who_left_and_how(clock: Clock) -> None:
    hub = Hub()
    told: list[tuple[str, Goodbye]] = []

    @hub.on_goodbye
    def note(client: AnyClient, goodbye: Goodbye) -> None:
        told.append((client.info.user, goodbye))

    async def scenario() -> None:
        for user in ("jane", "joe"):
            async with hub.lifespan(FastAPI()):
                peer = Peer()
                async with hub.connect(peer.websocket, user=user) as client:
                    peer.leaves(4001)
                    await listen_forever(client)

    clock.run(scenario())
    assert told == [("jane", Goodbye(4001, "", "peer")), ("joe", Goodbye(4001, "", "peer"))]
    assert callable(note), "the decorator gives the function back"


# Signals


@pytest.fixture
def interrupts() -> Iterator[list[int]]:
    """The handler of Ctrl-C that a server would have; gives the list of its calls."""
    calls: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: calls.append(number))
    yield calls
    signal.signal(signal.SIGINT, before)


def test_a_stop_signal_says_goodbye_at_once_and_goes_on_to_the_server(clock: Clock, interrupts: list[int]) -> None:
    hub = Hub()
    servers_own = signal.getsignal(signal.SIGINT)

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            peer = Peer()
            async with hub.connect(peer.websocket) as client:
                signal.raise_signal(signal.SIGINT)
                await listen_forever(client)
            assert client.goodbye == Goodbye(1012, "the server restarts: come back in a moment", "hub")
            assert interrupts == [], "the goodbyes have their time to get out"
            await asyncio.sleep(0.2)
            assert interrupts == [signal.SIGINT]
        assert signal.getsignal(signal.SIGINT) is servers_own

    clock.run(scenario())


@pytest.mark.parametrize("count", [1, 3])
def test_a_second_signal_goes_to_the_server_at_once(clock: Clock, interrupts: list[int], count: int) -> None:
    async def scenario() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(count):
                await stack.enter_async_context(Hub().lifespan(FastAPI()))
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            assert interrupts == [signal.SIGINT]
            await asyncio.sleep(0.2)
            assert interrupts == [signal.SIGINT] * 2, "and the first as it would have"

    clock.run(scenario())


def test_a_hub_that_was_stopped_by_a_signal_may_run_again(clock: Clock, interrupts: list[int]) -> None:
    hub = Hub()

    async def scenario() -> None:
        for number in (1, 2):
            async with hub.lifespan(FastAPI()):
                signal.raise_signal(signal.SIGINT)
                assert len(interrupts) == number - 1
                await asyncio.sleep(0.2)
                assert len(interrupts) == number

    clock.run(scenario())


def test_a_handler_that_came_later_is_not_taken_away(clock: Clock, interrupts: list[int]) -> None:
    hub = Hub()

    def later(number: int, frame: object) -> None:
        raise AssertionError

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            signal.signal(signal.SIGINT, later)
        assert signal.getsignal(signal.SIGINT) is later

    clock.run(scenario())


def test_hubs_inside_one_another_all_say_goodbye(clock: Clock, interrupts: list[int]) -> None:
    hubs = [Hub(), Hub(), Hub()]

    async def scenario() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for hub in hubs:
                await stack.enter_async_context(hub.lifespan(FastAPI()))
            signal.raise_signal(signal.SIGINT)
            await ticks(2)
            assert [hub._engine is not None and hub._engine.stopping for hub in hubs] == [True] * 3
            await asyncio.sleep(0.2)
            assert interrupts == [signal.SIGINT], "the server is told once"

    clock.run(scenario())


# In an app, with Starlette's own test client


def chat(**settings: Any) -> tuple[Hub, FastAPI]:
    hub = Hub(**settings)
    app = FastAPI(lifespan=hub.lifespan)

    @app.websocket("/ws")
    async def handler(websocket: WebSocket) -> None:
        async with hub.connect(websocket) as client:
            await client.join("lobby")
            async for text in client:
                if text == "fail":
                    raise LookupError("in the handler")
                await hub.publish("lobby", f"said: {text}")

    @app.post("/say")
    def say(text: str) -> int:
        return hub.publish_sync("lobby", text).offset

    return hub, app


def test_everyone_in_the_room_hears_everyone() -> None:
    _, app = chat()
    with TestClient(app) as client, client.websocket_connect("/ws") as one, client.websocket_connect("/ws") as two:
        one.send_text("hello")
        assert one.receive_text() == two.receive_text() == "said: hello"
        two.send_text("hi")
        assert one.receive_text() == two.receive_text() == "said: hi"


def test_a_sync_route_may_publish() -> None:
    _, app = chat(history_size=5)
    with TestClient(app) as client, client.websocket_connect("/ws") as websocket:
        websocket.send_text("joined")
        assert websocket.receive_text() == "said: joined"
        assert client.post("/say?text=news").json() == 2
        assert websocket.receive_text() == "news"


def test_a_refused_page_sees_the_handshake_fail() -> None:
    _, app = chat()
    with (
        TestClient(app) as client,
        pytest.raises(WebSocketDisconnect) as caught,
        client.websocket_connect("/ws", headers={"origin": "https://evil.example"}),
    ):
        pass
    assert caught.value.code == 1008


def test_a_handler_that_fails_is_logged_once_and_the_app_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    _, app = chat()
    with TestClient(app) as client:
        with client.websocket_connect("/ws") as websocket:
            websocket.send_text("fail")
            with pytest.raises(WebSocketDisconnect) as caught:
                websocket.receive_text()
            assert (caught.value.code, caught.value.reason) == (1011, "internal error")
        with client.websocket_connect("/ws") as websocket:
            websocket.send_text("still there")
            assert websocket.receive_text() == "said: still there"
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1


@pytest.mark.parametrize(
    ("receive", "send", "heard"),
    [
        ("text", lambda websocket: websocket.send_text("x"), "'x'"),
        ("bytes", lambda websocket: websocket.send_bytes(b"x"), "b'x'"),
        ("json", lambda websocket: websocket.send_text('{"a": 1}'), "{'a': 1}"),
    ],
)
def test_receive_says_what_iteration_gives(receive: Any, send: Callable[[Any], None], heard: str) -> None:
    hub = Hub()
    app = FastAPI(lifespan=hub.lifespan)

    @app.websocket("/ws")
    async def handler(websocket: WebSocket) -> None:
        async with hub.connect(websocket, receive=receive) as client:
            async for message in client:
                await client.send(repr(message))

    with TestClient(app) as client, client.websocket_connect("/ws") as websocket:
        send(websocket)
        assert websocket.receive_text() == heard


class Move(BaseModel):
    x: int
    name: Annotated[str, Field(max_length=5)] = ""


def chess() -> FastAPI:
    """Tells each move that it is given."""
    hub = Hub()
    app = FastAPI(lifespan=hub.lifespan)

    @app.websocket("/ws")
    async def handler(websocket: WebSocket) -> None:
        async with hub.connect(websocket, receive=Move) as client:
            async for move in client:
                await client.send(repr(move))

    return app


def test_a_message_is_validated_by_the_type_that_receive_names() -> None:
    with TestClient(chess()) as client, client.websocket_connect("/ws") as websocket:
        websocket.send_text('{"x": 1, "name": "a4"}')
        assert websocket.receive_text() == "Move(x=1, name='a4')"
        websocket.send_text('{"x": 2, "name": "\\ud83d"}')
        assert websocket.receive_text() == "Move(x=2, name='\ufffd')", "half an emoji ends nothing"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"name": "secret"}', "x: Field required; name: String should have at most 5 characters"),
        ("[]", "message: Input should be an object"),
        ("nope", "message: Invalid JSON: expected ident at line 1 column 2"),
    ],
)
def test_a_message_that_does_not_fit_ends_with_1007_and_the_field_but_not_the_value(text: str, reason: str) -> None:
    with TestClient(chess()) as client, client.websocket_connect("/ws") as websocket:
        websocket.send_text(text)
        with pytest.raises(WebSocketDisconnect) as caught:
            websocket.receive_text()
        assert (caught.value.code, caught.value.reason) == (1007, reason)


def test_a_wrong_receive_is_refused_with_the_right_ones() -> None:
    for wrong, words in (("jsn", "give 'text', 'bytes', 'json', or a type"), (Peer, "Pydantic cannot validate")):
        with pytest.raises(UsageError, match=words):
            Hub().connect(Peer().websocket, receive=wrong)  # type: ignore[call-overload]


def test_an_app_with_a_lifespan_of_its_own_enters_the_hubs_inside() -> None:
    hub = Hub()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        async with hub.lifespan(app):
            yield

    app = FastAPI(lifespan=lifespan)

    @app.websocket("/ws")
    async def handler(websocket: WebSocket) -> None:
        async with hub.connect(websocket) as client:
            raise LookupError(client.info.id)

    for _ in range(2):
        with TestClient(app) as client, client.websocket_connect("/ws") as websocket:
            with pytest.raises(WebSocketDisconnect) as caught:
                websocket.receive_text()
            assert caught.value.code == 1011


# Sessions: what is declared


def test_a_channel_says_what_it_was_declared_with() -> None:
    hub = Hub()
    channel = hub.channel("chat:{room}", history=10, ttl="90s", presence=True, join_leave="force", may_publish="users")
    assert isinstance(channel, Channel)
    assert channel.pattern == "chat:{room}"
    rules = channel.rules
    assert (rules.history, rules.ttl, rules.presence, rules.join_leave, rules.may_publish) == (
        10,
        90.0,
        True,
        "force",
        "users",
    )
    assert rules.may_subscribe == "nobody", "what is not said is denied"


def test_channels_of_other_types_are_declared_beside_them() -> None:
    hub = Hub()
    board = hub.map_channel("board:{name}", mode="persistent", may_publish="users")
    cursors = hub.map_channel("cursors:{name}", key_ttl="30s")
    prices = hub.poll_channel("prices:{market}", every="5s", secret="x" * 32)
    assert [channel.pattern for channel in (board, cursors, prices)] == [
        "board:{name}",
        "cursors:{name}",
        "prices:{market}",
    ]
    for again in (
        lambda: hub.channel("board:{name}"),
        lambda: hub.map_channel("board:{name}", key_ttl=1),
        lambda: hub.poll_channel("board:{name}", every=1, secret="x" * 32),
    ):
        with pytest.raises(UsageError, match="is declared already"):
            again()
    addresses = {channel["address"] for channel in hub.asyncapi(FastAPI())["channels"].values()}
    assert {"board:{name}", "cursors:{name}", "prices:{market}"} <= addresses


@pytest.mark.parametrize(
    ("given", "recovery", "mode"),
    [
        ({}, False, "stream"),
        ({"history": 10}, "force", "stream"),
        ({"history": 10, "recovery": True}, True, "stream"),
        ({"history": 10, "recovery": False}, False, "stream"),
        ({"history": 10, "recovery": "cache"}, "force", "cache"),
    ],
)
def test_who_comes_back_to_a_channel_with_history_gets_what_it_missed_unless_it_is_said_otherwise(
    given: dict[str, Any], recovery: Any, mode: str
) -> None:
    rules = Hub().channel("room", **given).rules
    assert (rules.recovery, rules.recovery_mode) == (recovery, mode)


def test_new_subscribers_of_a_channel_with_cache_recovery_get_the_newest_publication(clock: Clock) -> None:
    hub = Hub()
    cached = hub.channel("room", history=1, recovery="cache")
    asked = hub.channel("asked", history=1, recovery="cache", auto_cache=False)
    assert (cached.rules.auto_cache, asked.rules.auto_cache) == (True, False)

    async def scenario() -> None:
        stage = await SessionStage.open()
        for channel in (cached, asked):
            stage.channel(channel.pattern, **{**channel.rules._asdict(), "may_subscribe": "everyone"})
            await stage.engine.publish(channel.pattern, [1])
            await stage.engine.publish(channel.pattern, [2])
        guest = await stage.enter()
        result = (await guest.ask(subscribe={"channel": "room"}))["subscribe"]
        assert [one["data"] for one in result["publications"]] == [[2]]
        assert "publications" not in (await guest.ask(subscribe={"channel": "asked"}))["subscribe"]

    clock.run(scenario())


@pytest.mark.parametrize(
    ("pattern", "given", "remedy"),
    [
        ("chat:{room", {}, "write ASCII such as 'news' or 'chat:{room}'"),
        ("room", {"ttl": "1 hour"}, "write seconds as a number, or '90s', '15m', '1h30m', '7d'"),
        ("room", {"ttl": 0}, "it must be above 0"),
        ("room", {"histroy": 10}, "no rule 'histroy'; did you mean 'history'? there are history, ttl,"),
        ("room", {"history": -1}, "it must be 0 or more"),
        ("room", {"max_recovered": -1}, "max_recovered and max_page_size must be 0 or more"),
        ("room", {"max_page_size": -1}, "max_recovered and max_page_size must be 0 or more"),
        ("room", {"may_publish": "me"}, "may_publish: Input should be 'nobody', 'subscribers', 'users' or 'everyone'"),
        ("room", {"recovery": "cache"}, "recovery and positioning need a history; say history=100"),
        ("room", {"recovery": "always", "history": 1}, "recovery: "),
        ("room", {"personal": True}, "give it one parameter, the user, as in '#{user}'"),
        ("declared", {}, "channel 'declared' is declared already: keep what hub.channel returned"),
    ],
)
def test_a_wrong_declaration_is_refused_at_once_with_the_remedy(
    pattern: str, given: dict[str, Any], remedy: str
) -> None:
    hub = Hub()
    hub.channel("declared")
    with pytest.raises(UsageError, match=re.escape(remedy)):
        hub.channel(pattern, **given)


def test_functions_that_are_declared_stay_what_they_are_and_each_is_declared_once() -> None:
    hub = Hub()

    @hub.rpc("double")
    def double(data: int) -> int:
        return 2 * data

    @hub.on_connect
    def on_connect(token: str) -> Identity:
        return Identity(token)

    assert double(4) == 8
    assert on_connect("anna") == Identity("anna")
    with pytest.raises(UsageError, match="the RPC method 'double' is declared already"):
        hub.rpc("double")(double)
    with pytest.raises(UsageError, match="the hub has an on_connect function already"):
        hub.on_connect(on_connect)
    with pytest.raises(UsageError, match=r"nothing gives 'a' and 'b'; .* Annotated\[Any, Data\(\)\]"):
        hub.rpc("other")(lambda a, b: None)
    with pytest.raises(UsageError, match=r"nothing gives 'tokn'; did you mean 'token'\?"):
        Hub().on_connect(lambda tokn: None)


def test_routers_are_made_once_and_say_what_to_do_while_the_hub_does_not_run() -> None:
    hub = Hub(api_key="key", allow_anonymous=True)
    assert hub.router is hub.router
    assert hub.api is hub.api
    app = FastAPI()  # without the lifespan
    app.include_router(hub.router)
    app.include_router(hub.api)
    client = TestClient(app)
    remedy = r"FastAPI\(lifespan=hub\.lifespan\)"
    with pytest.raises(UsageError, match=remedy):
        client.post("/api/info", headers={"X-API-Key": "key"}, json={})
    with pytest.raises(UsageError, match=remedy):
        client.post("/connection/http_stream", content="{}")
    with pytest.raises(UsageError, match=remedy), client.websocket_connect("/connection/websocket"):
        pass


def test_what_the_app_does_to_sessions_needs_a_running_hub(clock: Clock) -> None:
    hub = Hub()
    hub.channel("room")

    async def scenario() -> None:
        for step in (
            hub.subscribe("anna", "room"),
            hub.unsubscribe("anna"),
            hub.disconnect("anna"),
            hub.presence("room"),
        ):
            with pytest.raises(UsageError, match=r"FastAPI\(lifespan=hub\.lifespan\)"):
                await step

    clock.run(scenario())


def test_a_broker_that_knows_nobody_is_named(clock: Clock) -> None:
    hub = Hub(PlainBroker())

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            with pytest.raises(UsageError, match=r"^PlainBroker keeps no presence$"):
                await hub.presence("room")

    clock.run(scenario())


# Sessions: what the app does to them


class Session:
    """A session over the test client's WebSocket, and the hub on the loop of its app."""

    def __init__(self, hub: Hub, client: TestClient, websocket: Any) -> None:
        self.hub = hub
        self._client = client
        self.websocket = websocket
        self._heard: list[Any] = []

    def do(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Runs something of the hub's on its loop."""
        assert self._client.portal is not None
        return self._client.portal.call(function, *arguments)

    def ask(self, number: int, **request: Any) -> Any:
        self.websocket.send_text(json.dumps({"id": number, **request}))
        while (reply := self.hear()).get("id") != number:
            pass
        return reply

    def hear(self) -> Any:
        while not self._heard:
            self._heard = [json.loads(line) for line in self.websocket.receive_text().split("\n")]
        return self._heard.pop(0)


@contextlib.contextmanager
def session(**settings: Any) -> Iterator[Session]:
    """A session of the user anna, in an app with a channel."""
    hub = Hub(auth=JWT(secret="x" * 32), api_key="key", **settings)
    hub.channel("room:{name}", history=10, presence=True, may_subscribe="users")
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router)
    app.include_router(hub.api)
    with TestClient(app) as client, client.websocket_connect("/connection/websocket") as websocket:
        session = Session(hub, client, websocket)
        token = JWT(secret="x" * 32).token("anna", info={"name": "Anna"})
        assert "connect" in session.ask(1, connect={"token": token})
        yield session


def test_the_app_subscribes_a_user_and_takes_it_out_again() -> None:
    with session() as anna:
        anna.do(anna.hub.subscribe, "anna", "room:a", Grant(data={"hello": 1}, info=[1]))
        push = anna.hear()["push"]
        assert (push["channel"], push["subscribe"]["data"]) == ("room:a", {"hello": 1})
        members = anna.do(anna.hub.presence, "room:a")
        assert [(member.user, member.info, member.channel_info) for member in members.values()] == [
            ("anna", '{"name":"Anna"}', "[1]")
        ]
        anna.do(anna.hub.subscribe, "anna", "room:b")
        assert anna.hear()["push"]["channel"] == "room:b"
        anna.do(anna.hub.unsubscribe, "anna", "room:a")
        assert anna.hear()["push"] == {
            "channel": "room:a",
            "unsubscribe": {"code": 2000, "reason": "server unsubscribe"},
        }
        anna.do(anna.hub.unsubscribe, "anna")
        assert anna.hear()["push"]["channel"] == "room:b"
        with pytest.raises(UnknownChannel):
            anna.do(anna.hub.subscribe, "anna", "unknown")
        with pytest.raises(UsageError, match="cannot send a object"):
            anna.do(anna.hub.subscribe, "anna", "room:a", Grant(data=object()))


def test_a_user_who_is_disconnected_loses_plain_websockets_too(clock: Clock) -> None:
    hub = Hub()
    goodbyes: list[tuple[str, Goodbye]] = []
    hub.on_goodbye(lambda client, goodbye: goodbyes.append((client.info.user, goodbye)))

    async def body(user: str) -> str:
        async with hub.connect(Peer().websocket, user=user) as client:
            async for _ in client:
                pass
            return f"{user} sees its loop end"

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            bodies = [asyncio.create_task(body(user)) for user in ("anna", "anna", "bob", "")]
            await ticks(5)
            assert len(hub.clients) == 4
            await hub.disconnect("anna", 4403, "access withdrawn")
            assert [await bodies[0], await bodies[1]] == ["anna sees its loop end"] * 2
            await hub.disconnect("")
            await ticks(5)
            assert sorted(client.info.user for client in hub.clients.values()) == ["", "bob"]
            await hub.disconnect("bob")
            assert await bodies[2] == "bob sees its loop end"

    clock.run(scenario())
    assert goodbyes[:3] == [
        ("anna", Goodbye(4403, "access withdrawn", "app")),
        ("anna", Goodbye(4403, "access withdrawn", "app")),
        ("bob", Goodbye(3503, "force disconnect", "app")),
    ]


def test_a_user_who_is_disconnected_while_its_websocket_is_accepted_does_not_stay(clock: Clock) -> None:
    hub = Hub()

    class Slow(Peer):
        async def _send(self, message: Message) -> None:
            if message["type"] == "websocket.accept":
                await hub.disconnect("anna", 4403)
            await super()._send(message)

    async def scenario() -> None:
        async with hub.lifespan(FastAPI()):
            async with hub.connect(Slow().websocket, user="anna") as client:
                assert client.goodbye == Goodbye(4403, "disconnected", "app")
                assert [text async for text in client] == []
            async with hub.connect(Peer().websocket, user="anna") as client:
                assert client.goodbye is None, "who comes later is another matter"

    clock.run(scenario())


@pytest.mark.parametrize(
    ("given", "closed"),
    [((), (3503, "force disconnect")), ((4501, "banned"), (4501, "banned")), ((3000,), (1001, ""))],
)
def test_the_app_disconnects_a_user(given: tuple[Any, ...], closed: tuple[int, str]) -> None:
    with session() as anna:
        with pytest.raises(UsageError, match="use 4000 to 4999, and up to 123 bytes"):
            anna.do(anna.hub.disconnect, "anna", 1000)
        anna.do(anna.hub.disconnect, "bert", *given)
        anna.do(anna.hub.disconnect, "anna", *given)
        with pytest.raises(WebSocketDisconnect) as caught:
            anna.websocket.receive_text()
        assert (caught.value.code, caught.value.reason) == closed


def test_what_the_app_publishes_may_have_tags_and_a_key_that_makes_it_once() -> None:
    with session() as anna:
        anna.ask(2, subscribe={"channel": "room:a"})

        async def publish() -> list[Position]:
            hub, room = anna.hub, anna.hub.channel("other:{name}")
            positions = [await hub.publish("room:a", {"n": 1}, tags={"t": "x"}, idempotency_key="k") for _ in range(2)]
            await room.publish("elsewhere", name="a")
            return [*positions, await hub.publish("room:a", {"n": 2})]

        first, again, second = anna.do(publish)
        assert first == again
        assert second.offset == first.offset + 1 == 2
        pushes = [anna.hear()["push"]["pub"] for _ in range(2)]
        assert [(push["data"]["n"], push.get("tags")) for push in pushes] == [(1, {"t": "x"}), (2, None)]


def test_the_api_and_the_sessions_are_of_one_hub() -> None:
    with session() as anna:
        anna.ask(2, subscribe={"channel": "room:a"})
        response = anna._client.post(
            "/api/publish", headers={"X-API-Key": "key"}, json={"channel": "room:a", "data": "hello"}
        )
        assert response.json()["result"]["offset"] == 1
        assert anna.hear()["push"]["pub"]["data"] == "hello"


def test_a_position_that_a_route_returns_is_an_object_with_or_without_an_annotation() -> None:
    hub = Hub()
    app = FastAPI(lifespan=hub.lifespan)

    @app.post("/annotated")
    async def annotated() -> Position:
        return await hub.publish("room", 1)

    @app.post("/plain")
    async def plain():  # type: ignore[no-untyped-def]
        return await hub.publish("room", 2)

    with TestClient(app) as client:
        for path in ("/annotated", "/plain"):
            answer = client.post(path).json()
            assert (list(answer), answer["offset"]) == (["offset", "epoch"], 0)
        schema = client.get("/openapi.json").json()["components"]["schemas"]["Position"]
    assert schema["type"] == "object"
    assert list(schema["properties"]) == ["offset", "epoch"]
    offset, epoch = Position(7, "xyz")
    assert (offset, epoch) == (7, "xyz")


def test_a_hub_without_a_broker_takes_the_one_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HUBBUB_BROKER", "memory://")
    assert Hub().one_process
    assert caplog.records == [], "the variable is known"
    monkeypatch.setenv("HUBBUB_BROKER", "nats://h")
    with pytest.raises(UsageError, match=r"^HUBBUB_BROKER: no broker for 'nats://h': there is memory://"):
        Hub()
    assert Hub("memory://").one_process, "an argument wins"
    monkeypatch.setenv("HUBBUB_BROKER", "")
    assert Hub().one_process
