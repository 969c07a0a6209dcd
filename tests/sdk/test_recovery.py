"""A connection that breaks costs an SDK nothing that the history still has; what it does not have is said."""

import pytest

from .clients import KINDS, WEBSOCKET_KINDS, Client, Kind
from .conftest import Enter, Site
from .proxy import Proxy

PLACES = [
    *((kind, "wire") for kind in KINDS),
    *((kind, "uvicorn-default") for kind in WEBSOCKET_KINDS if kind.encoding == "json"),
]
everywhere = pytest.mark.parametrize(("kind", "served_by"), PLACES, ids=str)

CUTS = 3


def numbers_heard(client: Client, channel: str) -> list[tuple[int, int]]:
    return [(one["data"], one["offset"]) for one in client.heard("publication", channel=channel)]


def expect_number(client: Client, channel: str, number: int) -> None:
    client.expect("publication", channel=channel, data=number)


@everywhere
def test_connections_that_break_in_mid_stream_lose_and_double_nothing(
    enter: Enter, site: Site, proxy: Proxy, room: str
) -> None:
    channel = f"chat:{room}"
    ada = enter("ada", through=proxy)
    ada.enter(channel)
    site.post("/count/start", channel=channel)
    for _ in range(CUTS):
        ada.expect("publication", channel=channel)
        proxy.cut()
        ada.expect("connecting")
        back = ada.expect("subscribed", channel=channel)
        assert (back["was_recovering"], back["recovered"]) == (True, True)
    last = site.post("/count/stop", channel=channel)
    expect_number(ada, channel, last)
    assert numbers_heard(ada, channel) == [(number, number) for number in range(1, last + 1)]
    assert len(ada.heard("connected")) == CUTS + 1


@everywhere
def test_an_outage_costs_nothing_that_is_kept_and_the_client_is_told_what_is_not(
    enter: Enter, site: Site, proxy: Proxy, room: str
) -> None:
    kept, short = f"chat:{room}", f"short:{room}"
    ada = enter("ada", through=proxy)
    for channel in (kept, short):
        ada.enter(channel)
        site.publish(channel, 1)
        expect_number(ada, channel, 1)
    with proxy.outage():
        ada.expect("connecting")
        for channel in (kept, short):
            for number in range(2, 5):
                site.publish(channel, number)
    for channel, recovered in ((kept, True), (short, False)):
        back = ada.expect("subscribed", channel=channel)
        assert (back["was_recovering"], back["recovered"]) == (True, recovered)
        site.publish(channel, 5)
        expect_number(ada, channel, 5)
    assert numbers_heard(ada, kept) == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]
    assert numbers_heard(ada, short) == [(1, 1), (5, 5)]
    assert back["position"]["offset"] == 4


@pytest.mark.parametrize("kind", [Kind("node", "json"), Kind("python", "protobuf")], ids=str)
def test_the_personal_channel_is_recovered_too(enter: Enter, site: Site, proxy: Proxy, kind: Kind) -> None:
    ada = enter("ada", through=proxy)
    channel = f"#{ada.user}"
    ada.expect("subscribed", side="server", channel=channel)
    site.publish(channel, 1)
    expect_number(ada, channel, 1)
    with proxy.outage():
        ada.expect("connecting")
        site.publish(channel, 2)
    back = ada.expect("subscribed", side="server", channel=channel)
    assert (back["was_recovering"], back["recovered"]) == (True, True)
    expect_number(ada, channel, 2)
    assert numbers_heard(ada, channel) == [(1, 1), (2, 2)]
