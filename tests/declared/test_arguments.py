"""What type checkers are told that a hub takes by name is what it takes."""

import inspect
from collections.abc import Sequence
from typing import Any, get_args, get_type_hints

import pytest

from hubbub import Hub, Settings
from hubbub.channels import Rules
from hubbub.declared import arguments
from hubbub.declared.arguments import ChannelRules, MapChannelRules, PollChannelRules, SettingsByName
from hubbub.hub.maps import rules as maps
from hubbub.hub.polls import rules as polls

TIME = str | float
RULES = get_type_hints(Rules)


def own(function: Any) -> set[str]:
    """The parameters that a method spells out."""
    return set(inspect.signature(function).parameters)


def shared(names: Sequence[str]) -> dict[str, Any]:
    return {name: RULES[name] for name in names}


@pytest.mark.parametrize(
    ("told", "taken", "function"),
    [
        (SettingsByName, {name: field.annotation for name, field in Settings.model_fields.items()}, Hub.__init__),
        (ChannelRules, RULES, Hub.channel),
        (MapChannelRules, {**shared(maps.SHARED), **get_type_hints(maps.MapRules)}, Hub.map_channel),
        (PollChannelRules, {**shared(polls.SHARED), **get_type_hints(polls.PollRules)}, Hub.poll_channel),
    ],
    ids=["Hub", "hub.channel", "hub.map_channel", "hub.poll_channel"],
)
def test_checkers_are_told_every_name_and_its_type(told: Any, taken: dict[str, Any], function: Any) -> None:
    hints = get_type_hints(told)
    missing = taken.keys() - hints.keys() - own(function)
    assert (missing, hints.keys() - taken.keys()) == (set(), set()), f"mend {told.__name__} in {arguments.__file__}"
    for name, hint in hints.items():
        of = set(get_args(hint)) or {hint}
        also_text = taken[name] is float and hint == TIME
        assert hint == taken[name] or also_text or name in ("api_key", "allowed_origins"), f"{name}: {of}"
