"""The SDKs, the server that they meet, and what is between them. Skips by name where an SDK cannot run."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import httpx
import pytest
from tests.e2e.servers import Server, faults_in

from .background import Background
from .clients import Client, Host, Kind
from .hosts import NodeHost, PageHost
from .proxy import Proxy
from .python_host import PythonHost

APP = "tests.sdk.app:app"

numbers = itertools.count(1)


class Site:
    """A server, and the ways to it."""

    def __init__(self, server: Server, background: Background) -> None:
        self.server = server
        self.address = f"127.0.0.1:{server.port}"
        self.without_websockets = Proxy(background, server.port, refuses_upgrades=True)
        self._http = httpx.Client(base_url=f"http://{self.address}", trust_env=False)

    def address_for(self, kind: Kind) -> str:
        """Where a client of this kind connects: it falls back only where WebSockets are refused."""
        return self.address if kind.transport == "websocket" else self.without_websockets.address

    def open_client(
        self, host: Host, kind: Kind, user: str, token: str = "/token?user={user}", through: Proxy | None = None
    ) -> Client:
        """A client that is on its way here; ``token`` is the route that hands out its tokens."""
        address = through.address if through is not None else self.address_for(kind)
        return Client(host, kind, user, address, f"http://{address}{token.format(user=user)}")

    def post(self, path: str, body: Any = None, **query: Any) -> Any:
        """What a route answers."""
        response = self._http.post(path, json=body, params=query)
        response.raise_for_status()
        return response.json()

    def publish(self, channel: str, data: Any) -> int:
        """Publishes by the app's own route; gives the offset."""
        return int(self.post("/publish", data, channel=channel))

    def close(self) -> None:
        self._http.close()
        self.without_websockets.close()
        self.server.kill()


class Enter(Protocol):
    def __call__(self, name: str, *, through: Proxy | None = None, token: str = ...) -> Client: ...


@pytest.fixture(scope="session")
def background() -> Iterator[Background]:
    background = Background()
    yield background
    background.stop()


@pytest.fixture(scope="session")
def host_of(background: Background) -> Iterator[Callable[[str], Host]]:
    """What clients of a kind run in; started for the first that asks."""
    hosts: dict[str, Host] = {}
    makers: dict[str, Callable[[], Host]] = {
        "node": NodeHost,
        "chromium": lambda: PageHost(background),
        "python": lambda: PythonHost(background),
    }

    def host_of(name: str) -> Host:
        if name not in hosts:
            hosts[name] = makers[name]()
        return hosts[name]

    yield host_of
    for host in hosts.values():
        host.stop()


@pytest.fixture(scope="session")
def site_of(background: Background, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Site]]:
    """The app on a kind of server (see ``tests/e2e/servers.py``); started for the first that asks."""
    sites: dict[str, Site] = {}

    def site_of(kind: str) -> Site:
        if kind not in sites:
            log = tmp_path_factory.mktemp("sdk") / f"{kind}.log"
            sites[kind] = Site(Server(kind, APP, log), background)
        return sites[kind]

    yield site_of
    for site in sites.values():
        site.close()


@pytest.fixture
def served_by() -> str:
    """The kind of server; tests may be parametrised with others."""
    return "wire"


@pytest.fixture
def site(served_by: str, site_of: Callable[[str], Site]) -> Iterator[Site]:
    """The server of this test, which may not complain of anything meanwhile."""
    site = site_of(served_by)
    before = len(site.server.log())
    yield site
    said = site.server.log()[before:]
    assert faults_in(said) == [], said


@pytest.fixture
def kind() -> Kind:
    """The kind of the clients; tests may be parametrised with others."""
    return Kind("python", "json")


@pytest.fixture
def proxy(site: Site, kind: Kind, background: Background) -> Iterator[Proxy]:
    """A way of its own for this test, to be cut. It lets through what clients of this kind use."""
    proxy = Proxy(background, site.server.port, refuses_upgrades=kind.transport != "websocket")
    yield proxy
    proxy.close()


@pytest.fixture
def number() -> int:
    """A number that no other test has."""
    return next(numbers)


@pytest.fixture
def room(number: int) -> str:
    """A room that no other test uses."""
    return f"room-{number}"


@pytest.fixture
def enter(site: Site, kind: Kind, number: int, host_of: Callable[[str], Host]) -> Iterator[Enter]:
    """Lets a client connect, as a user that no other test knows."""
    entered: list[Client] = []

    def enter(name: str, *, through: Proxy | None = None, token: str = "/token?user={user}") -> Client:
        client = site.open_client(host_of(kind.host), kind, f"{name}-{number}", token, through)
        entered.append(client)
        client.expect_welcome()
        return client

    yield enter
    for client in entered:
        client.close()
    for client in entered:
        assert client.host.complaints == []
