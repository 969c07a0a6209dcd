"""What the server does to a client, the SDK tells its app."""

import pytest

from .clients import KINDS, CallRefused
from .conftest import Enter, Site

of_all_kinds = pytest.mark.parametrize("kind", KINDS, ids=str)


@of_all_kinds
def test_everyone_is_in_a_channel_of_their_own_from_the_start(enter: Enter, site: Site) -> None:
    ada, bob = enter("ada"), enter("bob")
    for client in (ada, bob):
        client.expect("subscribed", side="server", channel=f"#{client.user}")
        site.publish(f"#{client.user}", f"for {client.user}")
        told = client.expect("publication", side="server")
        assert (told["channel"], told["data"], told["offset"]) == (f"#{client.user}", f"for {client.user}", 1)
    assert len(ada.heard("publication")) == len(bob.heard("publication")) == 1


@of_all_kinds
def test_the_server_puts_a_user_into_a_channel_and_takes_it_out(enter: Enter, site: Site, room: str) -> None:
    channel = f"news:{room}"
    ada = enter("ada")
    site.post("/subscribe", user=ada.user, channel=channel)
    ada.expect("subscribed", side="server", channel=channel)
    site.publish(channel, "you are in")
    ada.expect("publication", side="server", channel=channel, data="you are in")
    site.post("/unsubscribe", user=ada.user, channel=channel)
    ada.expect("unsubscribed", side="server", channel=channel)
    site.publish(channel, "you are out")
    assert ada.call("rpc", name="bill", data={}) == {"total": 0}  # by then it would have come
    assert [one["data"] for one in ada.heard("publication")] == ["you are in"]


@of_all_kinds
def test_a_user_who_is_put_out_of_a_channel_of_its_own_choice_is_told_so(enter: Enter, site: Site, room: str) -> None:
    channel = f"chat:{room}"
    ada = enter("ada")
    ada.enter(channel)
    site.post("/unsubscribe", user=ada.user, channel=channel)
    ada.expect("unsubscribed", side="client", channel=channel, code=2000)
    with pytest.raises(CallRefused) as refused:
        ada.call("publish", channel=channel, data="am I?")
    assert refused.value.code == 103


@of_all_kinds
def test_a_user_who_is_disconnected_stays_away_or_comes_back_as_the_code_says(enter: Enter, site: Site) -> None:
    ada = enter("ada")
    site.post("/disconnect", user=ada.user, code=4000, reason="new prices")
    ada.expect("connecting", code=4000, reason="new prices")
    ada.expect_welcome()
    site.post("/disconnect", user=ada.user)
    ada.expect("disconnected", code=3503, reason="force disconnect")
    assert len(ada.heard("connected")) == 2
