"""What every SDK does all day, over each of its transports and in both encodings."""

import pytest
from tests.e2e.peers import Peer

from .clients import FALLBACK_KINDS, KINDS, WEBSOCKET_KINDS, CallRefused, Kind
from .conftest import Enter, Site

PLACES = [
    *((kind, "wire") for kind in KINDS),
    *((kind, "uvicorn-default") for kind in WEBSOCKET_KINDS),
]
everywhere = pytest.mark.parametrize(("kind", "served_by"), PLACES, ids=lambda one: str(one))


@everywhere
def test_a_client_connects_with_the_token_that_its_app_hands_out(enter: Enter, room: str) -> None:
    ada = enter("ada")
    assert len(ada.heard("asked for a token")) == 1
    assert ada.heard("connected")[0]["transport"] == ada.kind.transport
    ada.enter(f"chat:{room}")
    (member,) = ada.call("presence", channel=f"chat:{room}")
    assert member == {"id": ada.id, "user": ada.user, "conn_info": {"name": ada.user.title()}, "chan_info": None}


@everywhere
def test_a_publication_reaches_everyone_in_the_channel_with_its_publisher(enter: Enter, room: str) -> None:
    ada, bob = enter("ada"), enter("bob")
    for client in (ada, bob):
        client.enter(f"chat:{room}")
    data = {"text": "héllo\nworld \N{PARTY POPPER}", "list": [1, 2.5, None, True]}
    ada.call("publish", channel=f"chat:{room}", data=data)
    for client in (ada, bob):
        told = client.expect("publication", channel=f"chat:{room}")
        assert (told["data"], told["offset"]) == (data, 1)
        assert (told["info"]["user"], told["info"]["id"]) == (ada.user, ada.id)


@everywhere
def test_members_see_who_is_there_and_who_comes_and_leaves(enter: Enter, room: str) -> None:
    channel = f"chat:{room}"
    ada = enter("ada")
    ada.enter(channel)
    bob = enter("bob")
    bob.enter(channel)
    assert ada.expect("join", channel=channel, user=bob.user)["id"] == bob.id
    assert {one["id"] for one in ada.call("presence", channel=channel)} == {ada.id, bob.id}
    assert ada.call("presence_stats", channel=channel) == {"clients": 2, "users": 2}
    bob.call("unsubscribe", channel=channel)
    bob.expect("unsubscribed", channel=channel, code=0)
    assert ada.expect("leave", channel=channel, user=bob.user)["id"] == bob.id
    assert ada.call("presence_stats", channel=channel) == {"clients": 1, "users": 1}


@everywhere
def test_the_history_is_read_from_any_position_in_both_directions(enter: Enter, site: Site, room: str) -> None:
    channel = f"chat:{room}"
    for number in range(1, 6):
        site.publish(channel, number)
    ada = enter("ada")
    ada.enter(channel)

    def read(**options: object) -> list[tuple[object, int]]:
        return [(one["data"], one["offset"]) for one in ada.call("history", channel=channel, **options)["publications"]]

    top = ada.call("history", channel=channel)
    assert (top["publications"], top["offset"]) == ([], 5)
    assert read(limit=-1) == [(number, number) for number in range(1, 6)]
    assert read(limit=2, reverse=True) == [(5, 5), (4, 4)]
    assert read(limit=10, since={"offset": 3, "epoch": top["epoch"]}) == [(4, 4), (5, 5)]
    with pytest.raises(CallRefused, match="unrecoverable position") as refused:
        read(limit=10, since={"offset": 3, "epoch": "another"})
    assert refused.value.code == 112


@everywhere
def test_an_rpc_is_answered_by_a_typed_function_or_told_what_is_wrong(enter: Enter) -> None:
    ada = enter("ada")
    assert ada.call("rpc", name="bill", data={"soup": 7, "bread": 2}) == {"total": 9}
    for name, data, code, message in [
        ("bill", {"soup": -7}, 107, "soup: Input should be greater than or equal to 0"),
        ("bill", [7], 107, "prices: Input should be an object"),
        ("tip", {}, 104, "method not found"),
    ]:
        with pytest.raises(CallRefused) as refused:
            ada.call("rpc", name=name, data=data)
        assert (refused.value.code, refused.value.message) == (code, message)


@everywhere
def test_a_typed_function_changes_what_is_published_or_refuses_it(enter: Enter, room: str) -> None:
    channel = f"orders:{room}"
    ada = enter("ada")
    ada.enter(channel)
    ada.call("publish", channel=channel, data={"dish": "soup", "tip": 3})
    placed = {"dish": "soup", "portions": 1, "room": room, "by": ada.user}
    assert ada.expect("publication", channel=channel)["data"] == placed
    for data, code, message in [
        ({"dish": "soup", "portions": 0}, 107, "portions: Input should be greater than or equal to 1"),
        ({"portions": 2}, 107, "dish: Field required"),
        ({"dish": "fugu"}, 103, "not here"),
    ]:
        with pytest.raises(CallRefused) as refused:
            ada.call("publish", channel=channel, data=data)
        assert (refused.value.code, refused.value.message) == (code, message)
    ada.call("publish", channel=channel, data={"dish": "cake"})
    assert ada.expect("publication", channel=channel)["data"]["dish"] == "cake"


@everywhere
def test_only_those_with_a_right_come_in(enter: Enter, site: Site, room: str) -> None:
    ada = enter("ada")
    for channel, code in [(f"paid:{room}", 103), ("nowhere", 102)]:
        ada.call("subscribe", channel=channel)
        ada.expect("unsubscribed", channel=channel, code=code)
    bob = enter("bob")
    channel = f"paid:{room}"
    token_url = f"http://{site.address_for(bob.kind)}/subscription-token?user={bob.user}&channel={channel}"
    bob.enter(channel, token_url=token_url)
    assert len(bob.heard("asked for a token", channel=channel)) == 1
    site.publish(channel, "worth it")
    bob.expect("publication", channel=channel, data="worth it")
    for method in ("publish", "presence", "history"):
        with pytest.raises(CallRefused) as refused:
            ada.call(method, channel=f"chat:{room}", **({"data": 1} if method == "publish" else {}))
        assert refused.value.code == 103


@everywhere
def test_a_route_reaches_sdk_clients_and_plain_websockets_of_one_channel(enter: Enter, site: Site, room: str) -> None:
    channel = f"chat:{room}"
    ada = enter("ada")
    ada.enter(channel)
    with Peer(site.server.port, f"/ws/{room}") as plain:
        plain.expect_text("joined")
        site.publish(channel, {"text": "to all"})
        assert ada.expect("publication", channel=channel)["data"] == {"text": "to all"}
        plain.expect_text('{"text":"to all"}')
        ada.call("publish", channel=channel, data="from an SDK")
        assert ada.expect("publication", channel=channel)["data"] == "from an SDK"
        plain.expect_text('"from an SDK"')
        plain.send_text("plain words")
        plain.expect_text("plain words")
        assert ada.expect("publication", channel=channel)["data"] == "plain words"


@pytest.mark.parametrize("kind", FALLBACK_KINDS, ids=str)
def test_where_websockets_are_refused_the_sdk_falls_back(enter: Enter, kind: Kind) -> None:
    ada = enter("ada")
    assert ada.heard("error")[0]["type"] == "transport"
    assert ada.heard("connected")[0]["transport"] == kind.transport
