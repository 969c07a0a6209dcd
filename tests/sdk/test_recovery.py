"""A connection that breaks costs an SDK nothing that the history still has; what it does not have is said."""

from itertools import count

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
def test_what_was_published_during_an_outage_comes_after_it(
    enter: Enter, site: Site, proxy: Proxy, room: str
) -> None:
    channel = f"chat:{room}"
    ada = enter("ada", through=proxy)
    ada.enter(channel)
    site.publish(channel, 1)
    expect_number(ada, channel, 1)
    with proxy.outage():
        ada.expect("connecting")
        for number in range(2, 6):
            site.publish(channel, number)
    back = ada.expect("subscribed", channel=channel)
    assert (back["was_recovering"], back["recovered"]) == (True, True)
    assert site.publish(channel, 6) == 6
    expect_number(ada, channel, 6)
    assert numbers_heard(ada, channel) == [(number, number) for number in range(1, 7)]


@everywhere
def test_a_client_that_missed_more_than_is_kept_is_told_so_and_goes_on(
    enter: Enter, site: Site, proxy: Proxy, room: str
) -> None:
    channel = f"short:{room}"
    ada = enter("ada", through=proxy)
    ada.enter(channel)
    site.publish(channel, 1)
    expect_number(ada, channel, 1)
    with proxy.outage():
        ada.expect("connecting")
        for number in range(2, 5):
            site.publish(channel, number)
    back = ada.expect("subscribed", channel=channel)
    assert (back["was_recovering"], back["recovered"]) == (True, False)
    assert back["position"]["offset"] == 4
    site.publish(channel, 5)
    expect_number(ada, channel, 5)
    assert numbers_heard(ada, channel) == [(1, 1), (5, 5)]


@pytest.mark.parametrize("kind", [Kind("node", "json"), Kind("python", "protobuf")], ids=str)
def test_the_personal_channel_is_recovered_too(enter: Enter, site: Site, proxy: Proxy, kind: Kind) -> None:
    ada = enter("ada", through=proxy)
    channel = f"#{ada.user}"
    ada.expect("subscribed", side="server", channel=channel)
    numbers = count(1)
    assert site.publish(channel, next(numbers)) == 1
    expect_number(ada, channel, 1)
    with proxy.outage():
        ada.expect("connecting")
        site.publish(channel, next(numbers))
    back = ada.expect("subscribed", side="server", channel=channel)
    assert (back["was_recovering"], back["recovered"]) == (True, True)
    expect_number(ada, channel, 2)
    assert numbers_heard(ada, channel) == [(1, 1), (2, 2)]
