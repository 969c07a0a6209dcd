"""How the maps of one pattern are kept, and who may do what with their entries."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from hubbub.brokers.maps import MapRetention
from hubbub.channels import Who, seconds
from hubbub.errors import UsageError
from hubbub.spelling import ensure_rules, wrong_values

SHARED = (
    "presence", "join_leave", "delta", "tags_filter", "binary", "user_limited", "clients_map", "users_map",
    "may_subscribe", "may_publish", "may_see_presence",
)  # fmt: skip
"""The fields of ``Rules`` that mean something for maps."""

MapMode = Literal["ephemeral", "recoverable", "persistent"]
"""Whether changes are kept for who comes back (not in ``ephemeral``), and entries expire (not in ``persistent``)."""


class MapRules(NamedTuple):
    """What holds for the map channels of one pattern, besides ``Rules``."""

    mode: MapMode = "ephemeral"
    of: Literal["entries", "clients", "users"] = "entries"
    """What the entries are: the app's own, or the presence of another channel, by client or by user."""
    key_ttl: float = 0.0
    """Seconds that an entry is there after it was published. 0: until it is removed."""
    stream_size: int = 100
    """Changes that are kept."""
    stream_ttl: float = 60.0
    """Seconds that a change is kept."""
    meta_ttl: float = 0.0
    """Seconds that offset and epoch are kept after the last use. 0: ten times ``stream_ttl``, at least ``key_ttl``."""
    client_key: Literal["", "client_id", "user_id"] = ""
    """What clients publish under, whatever key they say. Empty: the key that they say."""
    may_remove: Who = "nobody"
    remove_on_leave: bool = False
    """Whether the entry under its session's id goes with a subscription."""
    default_page_size: int = 100
    """Entries or changes in one answer to a client that does not say how many."""
    min_page_size: int = 100
    max_page_size: int = 1000
    max_catch_up: int = 0
    """Changes in the answer that makes a client a subscriber; if more came while it read, it reads anew. 0:
    ``max_page_size``."""
    catch_up_timeout: float = 5.0
    """Seconds that a client has for reading page after page."""
    debounce: float = 0.0
    """Seconds between two publications of a key that SDKs keep by themselves."""
    max_key_length: int = 255
    """Characters of a key that a client says. The app's own may be longer."""
    max_entries: int = 10_000
    """Entries of one channel with which a client may still add another. The app may always. 0: no limit."""

    @property
    def streams(self) -> bool:
        """Whether changes are kept, so that clients have a position and recover."""
        return self.mode != "ephemeral"

    @property
    def retention(self) -> MapRetention:
        """What the broker keeps."""
        if not self.streams:
            return MapRetention(self.key_ttl)
        meta_ttl = self.meta_ttl
        if not meta_ttl and self.key_ttl:
            meta_ttl = max(10 * self.stream_ttl, self.key_ttl)
        return MapRetention(self.key_ttl, self.stream_size, self.stream_ttl, meta_ttl)

    def page_size(self, asked: int) -> int:
        """How many entries or changes are in one answer to a client that asks for so many."""
        return min(max(asked if asked > 0 else self.default_page_size, self.min_page_size), self.max_page_size)


_RULES: TypeAdapter[MapRules] = TypeAdapter(MapRules, config=ConfigDict(strict=True))
_TIMES = ("key_ttl", "stream_ttl", "meta_ttl", "catch_up_timeout", "debounce")
_STREAM = ("stream_size", "stream_ttl", "meta_ttl")


def check_map_rules(given: Mapping[str, Any]) -> MapRules:
    """Rules from arguments by name; times may be as ``"5s"``.

    Raises:
        UsageError: one is unknown, or has a value that it cannot have, alone or beside another.
    """
    ensure_rules(given, (*MapRules._fields, *SHARED), "a map channel")
    times = {name: seconds(given[name], name) for name in _TIMES if name in given}
    try:
        rules = _RULES.validate_python({**given, **times})
    except ValidationError as error:
        lines = [f"{name}: {fault}" for name, fault in wrong_values(error, get_type_hints(MapRules)).items()]
        raise UsageError("wrong rules of a map channel: " + "; ".join(lines)) from None
    fault = _fault(rules, [name for name in _STREAM if name in given])
    if fault:
        raise UsageError(f"wrong rules of a map channel: {fault}")
    return rules


def _fault(rules: MapRules, of_stream: list[str]) -> str:
    if rules.mode == "persistent" and rules.key_ttl:
        return 'entries of mode="persistent" do not expire: leave out key_ttl, or say mode="recoverable"'
    if rules.mode != "persistent" and not rules.key_ttl:
        return f'entries of mode="{rules.mode}" expire: say key_ttl="60s", or mode="persistent"'
    if of_stream and not rules.streams:
        return f'mode="ephemeral" keeps no changes: leave out {of_stream[0]}, or say mode="recoverable"'
    if rules.stream_size < 1:
        return f"stream_size is {rules.stream_size}; it must be 1 or more"
    if rules.meta_ttl and not rules.key_ttl:
        return 'mode="persistent" keeps offset and epoch as long as entries, for ever: leave out meta_ttl'
    if rules.meta_ttl and rules.meta_ttl < max(rules.stream_ttl, rules.key_ttl):
        return "meta_ttl must not be below stream_ttl or key_ttl: offset and epoch outlive what they number"
    if not 1 <= rules.min_page_size <= rules.max_page_size or rules.default_page_size < 1 or rules.max_catch_up < 0:
        return "page sizes must be 1 or more, min_page_size not above max_page_size, and max_catch_up 0 or more"
    if rules.max_key_length < 1 or rules.max_entries < 0:
        return "max_key_length must be 1 or more, and max_entries 0 or more"
    return ""
