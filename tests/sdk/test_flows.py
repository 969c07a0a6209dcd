"""What only the SDK for JavaScript does: maps, shared polls, pages that are put aside, and handlers that throw."""

import pytest

from .clients import KINDS
from .conftest import Enter, Site

JAVASCRIPT = [kind for kind in KINDS if kind.host != "python"]
of_all_javascript = pytest.mark.parametrize("kind", JAVASCRIPT, ids=str)


@of_all_javascript
def test_a_map_arrives_as_a_whole_and_then_change_by_change(enter: Enter, room: str) -> None:
    channel = f"board:{room}"
    ada, bob = enter("ada"), enter("bob")
    ada.call("subscribe_map", channel=channel)
    assert ada.expect("sync", channel=channel)["entries"] == []
    for key in ("one", "two", "three"):
        ada.call("put", channel=channel, key=key, data={"text": key})
    bob.call("subscribe_map", channel=channel, pageSize=2)
    entries = bob.expect("sync", channel=channel)["entries"]
    assert {one["key"]: one["data"] for one in entries} == {key: {"text": key} for key in ("one", "two", "three")}
    bob.call("put", channel=channel, key="one", data={"text": "changed"})
    bob.call("remove", channel=channel, key="two")
    ada.expect("update", channel=channel, key="one", data={"text": "changed"}, removed=False)
    ada.expect("update", channel=channel, key="two", removed=True)


@of_all_javascript
def test_a_poll_tells_each_client_what_it_tracks_and_what_changes(enter: Enter, site: Site, room: str) -> None:
    channel = f"prices:{room}"
    site.post("/price", market=room, key="ink", price=40)
    ada = enter("ada")
    url = f"http://{site.address_for(ada.kind)}/signature?user={ada.user}&market={room}"
    ada.call("subscribe_poll", channel=channel, keys=["ink", "paper"], signature_url=url)
    ada.expect("update", channel=channel, key="ink", data=40)
    site.post("/price", market=room, key="paper", price=12)
    ada.expect("update", channel=channel, key="paper", data=12)
    assert ada.heard("asked for a signature")


@of_all_javascript
def test_a_page_that_is_put_aside_and_shown_again_gets_what_it_missed(enter: Enter, site: Site, room: str) -> None:
    channel = f"chat:{room}"
    ada, bob = enter("ada"), enter("bob")
    for client in (ada, bob):
        client.enter(channel)
    ada.call("page", event="pagehide")
    ada.expect("connecting", code=1)
    bob.expect("leave", channel=channel, user=ada.user)  # the server needs no ping to notice
    site.publish(channel, "missed")
    ada.call("page", event="pageshow")
    assert ada.expect("subscribed", channel=channel)["recovered"]
    ada.expect("publication", channel=channel, data="missed", offset=1)
    site.publish(channel, "live")
    ada.expect("publication", channel=channel, data="live", offset=2)
    assert [one["offset"] for one in ada.heard("publication", channel=channel)] == [1, 2]


@pytest.mark.parametrize("kind", [kind for kind in JAVASCRIPT if kind.host == "node"], ids=str)
def test_a_handler_that_throws_stops_its_client_alone_and_gets_its_publication_again(
    enter: Enter, site: Site, room: str
) -> None:
    channel = f"chat:{room}"
    ada, bob = enter("ada"), enter("bob")
    bob.enter(channel)
    ada.call("subscribe_with_a_bug", channel=channel)
    ada.expect("subscribed", channel=channel)
    site.publish(channel, "first")
    ada.expect("bug", channel=channel, offset=1)
    ada.expect("disconnected", reason="exception in event handler: a bug of the app")
    site.publish(channel, "second")
    bob.expect("publication", channel=channel, data="second", offset=2)
    heard = len(ada.heard("publication", channel=channel))
    ada.call("reconnect")
    assert ada.expect("subscribed", channel=channel)["recovered"]
    ada.expect("publication", channel=channel, data="second", offset=2)
    assert [one["offset"] for one in ada.heard("publication", channel=channel)[heard:]] == [1, 2]
