"""The files that the docs show, each served by a real uvicorn on the fast path and used as its page says."""

import asyncio
import http.client
import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import ModuleType

import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from hubbub import Goodbye, UsageError

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
DEADLINE = 5.0


def load(name: str) -> ModuleType:
    """The file as a new module, with a hub of its own."""
    spec = importlib.util.spec_from_file_location(f"docs_example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Site:
    """One example, served; the connections to it end with the test that opened them."""

    def __init__(self, module: ModuleType, port: int) -> None:
        self.module = module
        self.port = port
        self.peers = ExitStack()

    def opens(self, path: str, *, headers: dict[str, str] | None = None, origin: str | None = None) -> ClientConnection:
        return self.peers.enter_context(
            connect(
                f"ws://127.0.0.1:{self.port}{path}",
                additional_headers=headers,
                origin=Origin(origin) if origin else None,
                compression=None,
                close_timeout=1,
            )
        )

    def refuses(self, path: str, **arguments: str) -> int:
        with pytest.raises(InvalidStatus) as caught:
            self.opens(path, **arguments)  # type: ignore[arg-type]
        return caught.value.response.status_code

    def posts(self, path: str, body: object = None, token: str = "") -> tuple[int, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        headers = {"content-type": "application/json", **({"authorization": f"Bearer {token}"} if token else {})}
        try:
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            response.read()
            return response.status, response.headers
        finally:
            connection.close()


Serve = Callable[[str], Site]


@pytest.fixture(scope="module")
def sites() -> Iterator[Serve]:
    """Serves an example when it is first asked for, until the last test."""
    running: dict[str, tuple[Site, uvicorn.Server, threading.Thread, socket.socket]] = {}

    def site(name: str) -> Site:
        if name not in running:
            module = load(name)
            # It listens before the server runs, so that there is nothing to wait for.
            listening = socket.create_server(("127.0.0.1", 0))
            config = uvicorn.Config(module.app, ws="hubbub.wire:Protocol", log_config=None, timeout_graceful_shutdown=3)
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
            thread.start()
            running[name] = Site(module, listening.getsockname()[1]), server, thread, listening
        return running[name][0]

    yield site
    for _, server, _, _ in running.values():
        server.should_exit = True
    for _, _, thread, listening in running.values():
        thread.join(10)
        listening.close()
        assert not thread.is_alive(), "the server did not stop within 10 s"


@pytest.fixture
def serve(sites: Serve) -> Iterator[Serve]:
    """Serve the example of that name."""
    with ExitStack() as stack:

        def start(name: str) -> Site:
            site = sites(name)
            stack.callback(site.peers.close)
            return site

        yield start


def hears(peer: ClientConnection) -> str | bytes:
    return peer.recv(timeout=DEADLINE)


def code_of(peer: ClientConnection) -> int:
    with suppress(ConnectionClosed):
        while True:
            hears(peer)
    assert peer.close_code is not None
    return peer.close_code


def in_room(peer: ClientConnection) -> ClientConnection:
    """Waits for the join: what the peer says comes back to it."""
    peer.send("here")
    assert hears(peer) == "here"
    return peer


# The tutorial.


def test_rooms_are_apart_and_a_route_speaks_to_one(serve: Serve) -> None:
    site = serve("rooms")
    tea, coffee = in_room(site.opens("/ws/rooms/tea")), in_room(site.opens("/ws/rooms/coffee"))
    assert site.posts("/rooms/tea?text=kettle")[0] == 202
    assert hears(tea) == "Announcement: kettle"
    coffee.send("quiet here")
    assert hears(coffee) == "quiet here"


@pytest.mark.parametrize(("message", "code"), [(b"\x00", 1003), ("x" * 65_537, 1009)])
def test_misbehaviour_ends_one_member_and_not_the_room(serve: Serve, message: str | bytes, code: int) -> None:
    site = serve("rooms")
    healthy, other = in_room(site.opens("/ws/rooms/tea")), in_room(site.opens("/ws/rooms/tea"))
    assert hears(healthy) == "here"
    other.send(message)
    assert code_of(other) == code
    in_room(healthy)


def test_who_is_too_fast_is_told_so(serve: Serve) -> None:
    peer = serve("rooms").opens("/ws/rooms/tea")
    with suppress(ConnectionClosed):
        for _ in range(1_000):
            peer.send("hello")
    assert code_of(peer) == 1008


def test_pages_elsewhere_are_refused_and_the_servers_own_are_not(serve: Serve) -> None:
    site = serve("rooms")
    in_room(site.opens("/ws/rooms/tea", origin=f"http://127.0.0.1:{site.port}"))
    assert site.refuses("/ws/rooms/tea", origin=f"http://localhost:{site.port}") == 403


# Authenticate.


def test_the_bearer_token(serve: Serve) -> None:
    site = serve("auth_bearer")
    peer = site.opens("/ws/feed", headers={"Authorization": "Bearer secret-token"})
    peer.send("x")
    assert hears(peer) == "robot: x"
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret-token"}):
        assert site.refuses("/ws/feed", headers=headers) == 403  # type: ignore[arg-type]


def test_the_cookie_and_the_origin(serve: Serve) -> None:
    site = serve("auth_cookie")
    status, headers = site.posts("/login?user=anna")
    assert status == 200
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "Secure" in cookie
    session = {"Cookie": cookie.partition(";")[0]}
    assert hears(site.opens("/ws/inbox", headers=session)) == "Hello, anna"
    assert site.refuses("/ws/inbox") == 403
    assert site.refuses("/ws/inbox", headers=session, origin="https://evil.example") == 403  # type: ignore[arg-type]


def test_the_first_message(serve: Serve) -> None:
    site = serve("auth_first_message")
    site.module.SECONDS_TO_SAY_WHO = 0.2  # type: ignore[attr-defined]
    peer = site.opens("/ws/private")
    peer.send('{"token": "secret-token"}')
    assert hears(peer) == '{"hello":"anna"}'
    peer.send('{"a": 1}')
    assert hears(peer) == '{"a":1}'
    for hello in ('{"token": "wrong"}', '{"token": 1}', '"secret-token"', "[]", None):
        other = site.opens("/ws/private")
        if hello is not None:
            other.send(hello)
        assert code_of(other) == 4401
    gone = site.opens("/ws/private")
    gone.close()


def test_the_end_of_a_token(serve: Serve) -> None:
    site = serve("auth_expiry")
    site.module.EXPIRES_AT["short"] = time.time() + 0.3
    peer = site.opens("/ws/prices?token=short")
    assert site.refuses("/ws/prices?token=wrong") == 403
    assert code_of(peer) == 4401
    assert peer.close_reason == "token expired"
    assert site.refuses("/ws/prices?token=short") == 403


# Publish.


def test_publications_from_all_places_arrive(serve: Serve) -> None:
    site = serve("publish")
    watcher = site.opens("/ws/orders")
    deadline = time.monotonic() + DEADLINE
    while not site.module.hub.clients:
        assert time.monotonic() < deadline, "the client did not come"
    for path, status in (("/async", 200), ("/sync", 200), ("/later", 202), ("/thread", 202)):
        assert site.posts(f"{path}?order={path[1:]}")[0] == status
        assert hears(watcher) == f'{{"new":"{path[1:]}"}}'


def test_another_event_loop_is_told_of_publish_sync(serve: Serve) -> None:
    hub = in_hub = serve("rooms").module.hub
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            in_hub.publish_sync("lobby", "x")
            break
        except UsageError:
            assert time.monotonic() < deadline, "the server did not start"
    with pytest.raises(UsageError, match="publish_sync"):
        asyncio.run(hub.publish("lobby", "x"))


def test_a_sync_route_sends_to_clients_and_closes_them(serve: Serve) -> None:
    site = serve("from_threads")
    ws = site.opens("/ws")
    assert site.posts("/greet")[0] == 200
    assert ws.recv(timeout=DEADLINE) == "hello"
    assert site.posts("/close")[0] == 200
    with pytest.raises(ConnectionClosed, match="4000"):
        ws.recv(timeout=DEADLINE)


def test_a_worker_publishes_through_the_route(serve: Serve) -> None:
    site = serve("publish_door")
    watcher = site.opens("/ws/jobs/42")
    deadline = time.monotonic() + DEADLINE
    while not site.module.hub.clients:
        assert time.monotonic() < deadline, "the client did not come"
    command = [sys.executable, str(EXAMPLES / "worker.py"), f"127.0.0.1:{site.port}", "42"]
    subprocess.run(command, check=True, timeout=20)
    assert [hears(watcher) for _ in range(3)] == ['{"percent":0}', '{"percent":50}', '{"percent":100}']
    assert site.posts("/internal/publish/jobs/42", {}, token="wrong")[0] == 401
    refused = subprocess.run(
        command, env={**os.environ, "WORKER_TOKEN": "wrong"}, capture_output=True, text=True, check=False, timeout=20
    )
    assert "the server answered 401" in refused.stderr


# Delivery.


def test_a_newcomer_misses_nothing_and_gets_nothing_twice(serve: Serve) -> None:
    site = serve("history")
    in_room(site.opens("/ws/chat")).close()
    hub = site.module.hub

    async def count() -> None:
        for number in range(1_000_000):
            await hub.publish("chat:lobby", str(number))
            await asyncio.sleep(0.001)

    counting = asyncio.run_coroutine_threadsafe(count(), hub._engine.loop)
    try:
        for _ in range(5):
            with connect(f"ws://127.0.0.1:{site.port}/ws/chat", compression=None) as newcomer:
                numbers = [int(text) for text in (hears(newcomer) for _ in range(100)) if text != "here"]
            assert sorted(numbers) == list(range(min(numbers), max(numbers) + 1))
    finally:
        counting.cancel()


def test_every_goodbye_is_told(serve: Serve) -> None:
    site = serve("goodbyes")
    told: list[Goodbye] = []
    site.module.hub.on_goodbye(lambda client, goodbye: told.append(goodbye))
    stays, goes = in_room(site.opens("/ws/chat")), in_room(site.opens("/ws/chat"))
    assert hears(stays) == "here"
    goes.close(4000, "enough")
    assert hears(stays) == "Somebody left"
    assert told == [Goodbye(4000, "enough", "peer")]


def test_a_send_overtakes_a_publication_of_the_same_turn(serve: Serve) -> None:
    site = serve("rooms")
    peer = in_room(site.opens("/ws/rooms/order"))
    hub = site.module.hub
    (client,) = [client for client in hub.clients.values() if client.info.path == "/ws/rooms/order"]

    async def both() -> None:
        await hub.publish("chat:order", "first")
        await client.send("second")

    asyncio.run_coroutine_threadsafe(both(), hub._engine.loop).result(DEADLINE)
    assert [hears(peer), hears(peer)] == ["second", "first"]


# The rest.


@pytest.mark.parametrize("name", ["slow_naive", "slow_timeout", "slow_right"])
def test_the_rooms_of_the_page_on_slow_readers_work(serve: Serve, name: str) -> None:
    site = serve(name)
    first, second = in_room(site.opens("/ws")), in_room(site.opens("/ws"))
    assert hears(first) == "here"
    second.send("hello")
    assert [hears(first), hears(second)] == ["hello", "hello"]


def test_a_lifespan_of_ones_own(serve: Serve) -> None:
    in_room(serve("own_lifespan").opens("/ws/echo"))


def test_dependencies_of_routers(serve: Serve) -> None:
    site = serve("router_dependencies")
    assert site.refuses("/connection/websocket") == 401
    assert site.posts("/api/info", {})[0] == 403
    site.opens("/connection/websocket", headers={"cookie": "session=s"})


def test_the_tests_shown_pass() -> None:
    # Not with this suite's configuration: a newer Starlette warns where httpx2 is not installed.
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(EXAMPLES)]
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "testing"],
        cwd=EXAMPLES,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (EXAMPLES, EXAMPLES.parents[1] / "examples"))),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "12 passed" in finished.stdout
