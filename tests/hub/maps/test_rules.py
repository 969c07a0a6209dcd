"""The rules of maps: what they may be, and what they come to."""

from typing import Any

import pytest

from hubbub.brokers.maps import MapRetention
from hubbub.errors import UsageError
from hubbub.hub.maps.rules import MapRules, check_map_rules

ENTRY = {"key_ttl": "60s"}


def test_times_may_be_written_as_text() -> None:
    given = {"mode": "recoverable", "key_ttl": "1m", "stream_ttl": 30, "meta_ttl": "1h", "debounce": "50ms"}
    assert check_map_rules(given) == MapRules("recoverable", "entries", 60.0, 100, 30.0, 3600.0, debounce=0.05)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"key_ttl": 60}, MapRetention(60.0)),
        ({"mode": "persistent"}, MapRetention(0.0, 100, 60.0, 0.0)),
        ({"mode": "persistent", "stream_size": 2, "stream_ttl": "5m"}, MapRetention(0.0, 2, 300.0, 0.0)),
        ({"mode": "recoverable", "key_ttl": "60s"}, MapRetention(60.0, 100, 60.0, 600.0)),
        ({"mode": "recoverable", "key_ttl": "1h"}, MapRetention(3600.0, 100, 60.0, 3600.0)),
        ({"mode": "recoverable", "key_ttl": "1h", "meta_ttl": "2h"}, MapRetention(3600.0, 100, 60.0, 7200.0)),
    ],
)
def test_the_mode_says_what_is_kept(given: dict[str, Any], kept: MapRetention) -> None:
    rules = check_map_rules(given)
    assert rules.retention == kept
    assert rules.streams is bool(kept.stream)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({}, 'entries of mode="ephemeral" expire: say key_ttl'),
        ({"mode": "recoverable"}, 'entries of mode="recoverable" expire: say key_ttl'),
        ({"mode": "persistent", **ENTRY}, "do not expire: leave out key_ttl"),
        ({**ENTRY, "stream_size": 5}, 'mode="ephemeral" keeps no changes: leave out stream_size'),
        ({**ENTRY, "stream_ttl": 5}, "leave out stream_ttl"),
        ({**ENTRY, "meta_ttl": 5}, "leave out meta_ttl"),
        ({"mode": "persistent", "stream_size": 0}, "stream_size is 0; it must be 1 or more"),
        ({"mode": "persistent", "meta_ttl": "1d"}, "leave out meta_ttl"),
        ({"mode": "recoverable", "key_ttl": "1h", "meta_ttl": "10m"}, "must not be below stream_ttl or key_ttl"),
        ({"mode": "recoverable", "key_ttl": 1, "stream_ttl": "1h", "meta_ttl": "10m"}, "must not be below"),
        ({**ENTRY, "min_page_size": 0}, "page sizes must be 1 or more"),
        ({**ENTRY, "default_page_size": 0}, "page sizes must be 1 or more"),
        ({**ENTRY, "min_page_size": 5, "max_page_size": 4}, "min_page_size not above max_page_size"),
        ({**ENTRY, "max_catch_up": -1}, "max_catch_up 0 or more"),
        ({**ENTRY, "max_key_length": 0}, "max_key_length must be 1 or more"),
        ({**ENTRY, "max_entries": -1}, "max_entries 0 or more"),
        ({"key_ttl": "soon"}, "key_ttl is 'soon'"),
        ({"key_ttl": 0}, "must be above 0"),
        ({"mode": "other", **ENTRY}, "mode: .* not 'other'"),
        ({**ENTRY, "client_key": "ip"}, "client_key: "),
        ({**ENTRY, "may_remove": "admins"}, "may_remove: "),
        ({**ENTRY, "history": 10}, "no rule 'history'; there are mode, of, .*, presence, "),
    ],
)
def test_rules_that_cannot_be_are_refused_with_what_to_do(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        check_map_rules(given)


@pytest.mark.parametrize(("asked", "size"), [(0, 100), (-5, 100), (1, 20), (50, 50), (1000, 500)])
def test_a_page_is_as_large_as_is_asked_for_within_bounds(asked: int, size: int) -> None:
    rules = check_map_rules({**ENTRY, "min_page_size": 20, "max_page_size": 500})
    assert rules.page_size(asked) == size
