"""The rules of a channel in words."""

from collections.abc import Mapping
from typing import Any

from hubbub.asyncapi.markup import Html, element
from hubbub.channels import Rules
from hubbub.hub.maps.rules import MapRules
from hubbub.hub.polls.rules import PollRules

_MAY = "may_"
_WHO = {
    "users": "clients with a user",
    "handler": "the app decides",
    "nobody": "only the server",
}
_DEFAULTS = {**MapRules._field_defaults, **PollRules._field_defaults, **Rules._field_defaults, "type": "stream"}
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def features(rules: Mapping[str, Any]) -> Html:
    """What the channels do beyond what all do; empty if nothing."""
    items = [
        element("li", _feature(name, value))
        for name, value in rules.items()
        if not name.startswith(_MAY)
        and value
        and (value != _DEFAULTS.get(name) or (name == "ttl" and rules["history"]))
    ]
    return element("ul", *items, class_="features") if items else Html("")


def permissions(rules: Mapping[str, Any], *, tokens: bool) -> Html:
    """Who may do what without asking; empty if there are no rules of it.

    Args:
        tokens: whether a token may let in those who may not subscribe.
    """
    rows = []
    for name, who in rules.items():
        if name.startswith(_MAY):
            if tokens and name == "may_subscribe" and who == "nobody":
                who = "clients with a token for it"
            action = name.removeprefix(_MAY).replace("_", " ")
            rows.append(element("div", element("dt", f"May {action}"), element("dd", _WHO.get(who, who))))
    return element("dl", *rows, class_="permissions") if rows else Html("")


def _feature(name: str, value: Any) -> str:
    words = name.replace("_", " ")
    if value is True:
        return words
    if isinstance(value, float):  # all of them are times
        return f"{words}: {_duration(value)}"
    return f"{words}: {'for all' if value == 'force' else value}"


def _duration(seconds: float) -> str:
    size, unit = next((one for one in _UNITS if seconds % one[0] == 0), (1, "s"))
    return f"{seconds / size:g} {unit}"
