"""What a subscription gets of what its channel offers, its request asks for and its grant overrides."""

from typing import Any

import pytest
from tests.clock import Clock
from tests.hub.sessions import SessionStage

from hubbub import Grant
from hubbub.auth.base import Override
from hubbub.channels import Rules
from hubbub.errors import InvalidRequest
from hubbub.hub.kinds.features import Features, either
from hubbub.hub.subscription import Subscription
from hubbub.protocol.commands import FilterNode, SubscribeRequest

WANTED = FilterNode(key="lang", cmp="eq", val="en")
PRESENT, JOIN_LEAVE = Subscription.PRESENT, Subscription.JOIN_LEAVE


def features(
    clock: Clock, rules: dict[str, Any], request: dict[str, Any], override: Override, user: str = ""
) -> Features:
    """What a session of ``user`` gets."""

    async def scenario() -> Features:
        stage = await SessionStage.open()
        session = (await stage.enter(user)).session
        return Features(session, Rules(**rules), SubscribeRequest("room", **request), Grant(override=override))

    return clock.run(scenario())


def test_what_a_grant_says_counts_more_than_a_rule() -> None:
    assert [either(override, rule) for override in (None, False, True) for rule in (False, True)] == [
        False,
        True,
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("rules", "override", "flags"),
    [
        ({}, Override(), 0),
        ({"presence": True}, Override(), PRESENT),
        ({"presence": True}, Override(presence=False), 0),
        ({}, Override(presence=True), PRESENT),
        ({"join_leave": True}, Override(), JOIN_LEAVE),
        ({"join_leave": "force"}, Override(), JOIN_LEAVE),
        ({"join_leave": "force"}, Override(join_leave=False), 0),
        ({}, Override(join_leave=True), JOIN_LEAVE),
        ({"presence": True, "join_leave": True}, Override(), PRESENT | JOIN_LEAVE),
    ],
)
def test_others_see_of_a_session_what_rule_and_grant_say(
    clock: Clock, rules: dict[str, Any], override: Override, flags: int
) -> None:
    assert features(clock, rules, {}, override).flags == flags


@pytest.mark.parametrize(
    ("rules", "asks", "override", "user", "told"),
    [
        ({}, False, Override(), "anna", False),
        ({}, True, Override(), "anna", False),
        ({"join_leave": True}, False, Override(), "anna", False),
        ({"join_leave": True}, True, Override(), "anna", False),
        ({"join_leave": True, "may_see_presence": "subscribers"}, True, Override(), "", True),
        ({"join_leave": True, "may_see_presence": "users"}, True, Override(), "", False),
        ({"join_leave": True, "may_see_presence": "users"}, True, Override(), "anna", True),
        ({"join_leave": True, "may_see_presence": "users"}, False, Override(), "anna", False),
        ({"may_see_presence": "everyone"}, True, Override(join_leave=True), "", True),
        ({"join_leave": "force"}, False, Override(), "", True),
        ({"join_leave": "force"}, True, Override(force_push_join_leave=False), "", False),
        (
            {"join_leave": "force", "may_see_presence": "everyone"},
            True,
            Override(force_push_join_leave=False),
            "",
            True,
        ),
        ({"join_leave": True}, False, Override(force_push_join_leave=True), "", True),
        ({}, False, Override(force_push_join_leave=True), "", True),
    ],
)
def test_who_comes_and_leaves_is_told_to_all_or_to_those_who_ask_and_may_know(
    clock: Clock, rules: dict[str, Any], asks: bool, override: Override, user: str, told: bool
) -> None:
    assert features(clock, rules, {"join_leave": asks}, override, user).pushes_presence is told


@pytest.mark.parametrize(
    ("rules", "request_", "delta"),
    [
        ({"delta": True}, {"delta": "fossil"}, True),
        ({"delta": True}, {}, False),
        ({}, {"delta": "fossil"}, False),
        ({"delta": True, "tags_filter": True}, {"delta": "fossil", "tf": WANTED}, False),
    ],
)
def test_deltas_are_for_those_who_ask_where_the_channel_has_them_and_nothing_is_left_out(
    clock: Clock, rules: dict[str, Any], request_: dict[str, Any], delta: bool
) -> None:
    assert features(clock, rules, request_, Override()).delta is delta


def test_a_filter_is_taken_where_the_channel_has_filters(clock: Clock) -> None:
    taken = features(clock, {"tags_filter": True}, {"tf": WANTED}, Override())
    assert taken.filter is not None
    assert taken.filter.matches({"lang": "en"})
    assert not taken.filter.matches({})
    assert features(clock, {"tags_filter": True}, {}, Override()).filter is None


@pytest.mark.parametrize(
    ("rules", "node", "message"),
    [
        ({}, WANTED, "^bad request$"),
        ({"tags_filter": True}, FilterNode(key="lang", cmp="like", val="en"), "^bad request: no comparison is called"),
        ({"tags_filter": True}, FilterNode(op="and"), "^bad request: the operation 'and' needs at least one node"),
    ],
)
def test_a_filter_that_cannot_be_is_refused_with_the_reason(
    clock: Clock, rules: dict[str, Any], node: FilterNode, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        features(clock, rules, {"tf": node}, Override())
