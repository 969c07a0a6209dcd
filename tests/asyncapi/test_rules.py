"""Rules in words."""

import pytest
from tests.asyncapi.reading import Reading

from hubbub.asyncapi.rules import features, permissions
from hubbub.channels import Rules


def text_of(**rules: object) -> str:
    return Reading(features(Rules(**rules)._asdict())).text  # type: ignore[arg-type]


def test_a_channel_that_does_nothing_special_says_nothing() -> None:
    assert features(Rules()._asdict()) == ""
    assert features({}) == ""


@pytest.mark.parametrize(
    ("ttl", "told"), [(7.5, "7.5 s"), (90.0, "90 s"), (300.0, "5 min"), (7200.0, "2 h"), (604800.0, "7 d")]
)
def test_a_history_says_how_long_it_is_kept(ttl: float, told: str) -> None:
    assert text_of(history=10, ttl=ttl) == f"history: 10 ttl: {told}"
    assert text_of(presence=True) == "presence"


def test_what_is_for_all_is_told_from_what_is_asked_for() -> None:
    assert text_of(join_leave="force") == "join leave: for all"
    assert text_of(join_leave=True) == "join leave"
    assert text_of(recovery_mode="cache") == "recovery mode: cache"


def test_maps_and_polls_have_rules_of_their_own() -> None:
    board = {
        "type": "map",
        "mode": "persistent",
        "key_ttl": 0.0,
        "meta_ttl": 0.0,
        "stream_size": 100,
        "may_remove": "users",
    }
    assert Reading(features(board)).text == "type: map mode: persistent"
    prices = {"type": "shared_poll", "every": 5.0, "timeout": 5.0, "batch": 10, "versioned": True}
    assert Reading(features(prices)).text == "type: shared_poll every: 5 s batch: 10 versioned"


def test_who_may_do_what_is_told() -> None:
    rules = {"may_subscribe": "nobody", "may_publish": "handler", "may_see_presence": "users", "may_read": "everyone"}
    told = "May publish the app decides May see presence clients with a user May read everyone"
    assert Reading(permissions(rules, tokens=False)).text == f"May subscribe only the server {told}"
    assert Reading(permissions(rules, tokens=True)).text == f"May subscribe clients with a token for it {told}"
    assert permissions({}, tokens=True) == ""
