"""How channels are polled: what may be said, and what is said to the rest."""

from typing import Any

import pytest

from hubbub.errors import UsageError
from hubbub.hub.polls import PollRules, check_poll_rules


@pytest.mark.parametrize(
    ("given", "rules"),
    [
        ({"every": 5}, PollRules(5.0)),
        ({"every": "200ms", "timeout": "1m"}, PollRules(0.2, timeout=60.0)),
        (
            {"every": 1.5, "versioned": True, "batch": 10, "max_keys": 20, "publish_enabled": True},
            PollRules(1.5, True, 10, 5.0, 20, True),
        ),
    ],
)
def test_rules_come_from_arguments(given: dict[str, Any], rules: PollRules) -> None:
    assert check_poll_rules(given) == rules


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"every": "soon"}, "every is 'soon'; write seconds"),
        ({"every": 0}, "every is 0; it must be above 0"),
        ({"every": 1, "timeout": -1}, "timeout is -1"),
        ({"every": 1, "batch": 0}, "batch and max_keys must be 1 or more"),
        ({"every": 1, "max_keys": -5}, "batch and max_keys must be 1 or more"),
        ({"every": 1, "batch": "all"}, "batch: Input should be a valid integer, not 'all'"),
        ({"every": 1, "history": 100}, "no rule 'history'; there are every, versioned, .*, may_subscribe"),
        ({"every": 1, "publish_enabled": True}, "publish_enabled needs versions; say versioned=True"),
    ],
)
def test_what_cannot_be_is_refused_by_name(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_poll_rules(given)
