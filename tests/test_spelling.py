"""Names that were misspelt are answered with the one that was meant, and with all that there are."""

import pytest

from hubbub import Hub, UsageError
from hubbub.channels import Rules
from hubbub.hub.maps.rules import MapRules
from hubbub.hub.polls import PollRules
from hubbub.spelling import ensure_rules, meant_by

KNOWN = ("history", "ttl", "may_publish", "may_subscribe")


@pytest.mark.parametrize(
    ("name", "meant"), [("histroy", "history"), ("may_subscrib", "may_subscribe"), ("colour", ""), ("", "")]
)
def test_what_looks_like_a_name_is_meant_by_it(name: str, meant: str) -> None:
    assert meant_by(name, KNOWN) == meant


def test_known_rules_pass_and_one_that_is_not_is_answered_with_all() -> None:
    ensure_rules(["ttl", "history"], KNOWN, "a channel")
    with pytest.raises(UsageError) as caught:
        ensure_rules(["ttl", "histroy"], KNOWN, "a channel")
    assert str(caught.value) == (
        "a channel has no rule 'histroy'; did you mean 'history'? there are history, ttl, may_publish, may_subscribe"
    )
    with pytest.raises(UsageError, match=r"^a map has no rule 'colour'; there are history, ttl"):
        ensure_rules(["colour"], KNOWN, "a map")


def test_every_kind_of_channel_answers_a_misspelt_rule_with_its_own() -> None:
    hub = Hub()
    with pytest.raises(UsageError, match="a channel has no rule 'may_publsh'; did you mean 'may_publish'") as stream:
        hub.channel("a", may_publsh="users")
    with pytest.raises(UsageError, match="a map channel has no rule 'key_tll'; did you mean 'key_ttl'") as entries:
        hub.map_channel("a", key_tll="60s")
    with pytest.raises(UsageError, match="a shared poll channel has no rule 'bacth'; did you mean 'batch'") as polled:
        hub.poll_channel("a", every=5, secret="x" * 32, bacth=10)
    with pytest.raises(UsageError, match="did you mean 'previous_secret'"):
        hub.poll_channel("a", every=5, secret="x" * 32, previos_secret="y" * 32)
    assert "there are " + ", ".join(Rules._fields) in str(stream.value)
    assert "there are " + ", ".join(MapRules._fields) + ", presence," in str(entries.value)
    assert "there are " + ", ".join(PollRules._fields) + ", delta," in str(polled.value)
