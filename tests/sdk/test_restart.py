"""A server that stops says so, and every SDK is back when the next one is there."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.servers import Server, Stopped, faults_in

from .background import Background
from .clients import KINDS, Client, Host, Kind
from .conftest import APP, Site
from .proxy import Proxy

CHANNEL = "chat:lobby"


class Restart:
    """One restart, with clients of all kinds."""

    def __init__(self, site: Site, clients: dict[Kind, Client], stopped: Stopped) -> None:
        self.site = site
        self.clients = clients
        self.stopped = stopped


@pytest.fixture(scope="module")
def restart(
    background: Background, host_of: Callable[[str], Host], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Restart]:
    folder: Path = tmp_path_factory.mktemp("restart")
    first = Server("wire", APP, folder / "first.log")
    ways = {refuses: Proxy(background, first.port, refuses_upgrades=refuses) for refuses in (False, True)}
    site = Site(first, background)
    clients = {}
    for kind in KINDS:
        try:
            host = host_of(kind.host)
        except pytest.skip.Exception:
            continue
        way = ways[kind.transport != "websocket"]
        clients[kind] = site.open_client(host, kind, str(kind), through=way)
    for client in clients.values():
        client.expect_welcome()
        client.enter(CHANNEL)
    site.publish(CHANNEL, "before")
    stopped = first.stop()
    site.close()
    second = Server("wire", APP, folder / "second.log")
    for way in ways.values():
        way.target = second.port
    site = Site(second, background)
    yield Restart(site, clients, stopped)
    for client in clients.values():
        client.close()
    for way in ways.values():
        way.close()
    site.close()
    assert faults_in(second.log()) == []


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_clients_hear_of_the_stop_and_come_back_to_the_next_server(
    restart: Restart, host_of: Callable[[str], Host], kind: Kind
) -> None:
    host_of(kind.host)  # skips where it must
    ada = restart.clients[kind]
    ada.expect("publication", channel=CHANNEL, data="before")
    ada.expect("connecting", code=3001, reason="shutdown")
    ada.expect_welcome()
    back = ada.expect("subscribed", channel=CHANNEL)
    assert (back["was_recovering"], back["recovered"]) == (True, False), "the history was in the server that stopped"
    restart.site.publish(CHANNEL, f"welcome back, {kind}")
    ada.expect("publication", channel=CHANNEL, data=f"welcome back, {kind}")


def test_the_server_that_stopped_was_quick_and_had_nothing_to_complain_of(restart: Restart) -> None:
    assert restart.stopped.code in (0, -signal.SIGTERM)  # uvicorn ends by the signal that it heard
    assert restart.stopped.seconds < 3.0
    assert faults_in(restart.stopped.log) == []
