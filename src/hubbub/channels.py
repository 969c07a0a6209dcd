"""Channels as they are declared: patterns of names, and the rules of all channels that match."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from hubbub.errors import InvalidRequest, UnknownChannel, UsageError
from hubbub.identifiers import ensure_text, text_of
from hubbub.spelling import ensure_rules, meant_by, wrong_values

Who = Literal["nobody", "subscribers", "users", "everyone"]
"""Who may do something where neither a token nor a handler decides: sessions that are in the channel, sessions with a
user, or all."""
Offer = bool | Literal["force"]
"""A feature of subscriptions: not there (False), there for those who ask (True), or on for all."""
Recovery = Offer | Literal["cache"]
"""What ``hub.channel`` takes for ``recovery``: ``"cache"`` is short for what three rules say."""

PRIVATE_PREFIX = "$"
USER_BOUNDARY = "#"
USER_SEPARATOR = ","
_LONGEST = 1024
"""Characters of a name that is looked for: what ``max_channel_length`` may be."""
DEFAULT_META_TTL = 30 * 24 * 3600.0

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PARAMETER = re.compile(r"\{(\w+)(:path)?\}")


class Rules(NamedTuple):
    """What holds for the channels of one pattern. Everything that is not set is off or denied."""

    history: int = 0
    """Publications that are kept."""
    ttl: float = 300.0
    """Seconds that a publication is kept."""
    meta_ttl: float = DEFAULT_META_TTL
    """Seconds that offset and epoch are kept after the last publication, at most: see ``max_idle_channels``."""
    recovery: Offer = False
    """Whether a session that comes back gets what it missed."""
    recovery_mode: Literal["stream", "cache"] = "stream"
    """What it gets: all that it missed, or (``cache``) the newest publication only."""
    auto_cache: bool = False
    """In ``cache`` mode: new subscribers get the newest publication too, and need not ask for it."""
    max_recovered: int = 0
    """Publications that a returning session is sent. It missed more: not recovered. 0: the setting
    ``max_recovered_publications``."""
    max_page_size: int = 0
    """Publications in one answer to a client's history command. 0: the setting ``max_history_publications``."""
    positioning: Offer = False
    """Whether a session's place in the history is watched, so that a loss makes it subscribe anew."""
    presence: bool = False
    """Whether it is kept who is in the channel."""
    join_leave: Offer = False
    """Whether subscribers are told who comes and leaves."""
    delta: bool = False
    """Whether publications may be sent as what differs from the one before."""
    tags_filter: bool = False
    """Whether a subscriber may ask for the publications whose tags match."""
    binary: bool = False
    """Whether bytes that are not JSON may be published. They disconnect subscribers that speak JSON (3506)."""
    user_limited: bool = False
    """Whether ``name#42,43`` is a channel for the users 42 and 43 alone."""
    personal: bool = False
    """Whether each user is in its own channel of this pattern from its connect on. Other users
    cannot enter it."""
    clients_map: str = ""
    """With ``"who:"``, the map channel ``who:chat:lobby`` has an entry for each client in ``chat:lobby``."""
    users_map: str = ""
    """As ``clients_map``, with an entry for each user."""
    may_subscribe: Who = "nobody"
    """Who may subscribe if neither a token nor a handler decides."""
    may_publish: Who = "nobody"
    """Who may publish if no handler decides."""
    may_see_presence: Who = "nobody"
    """Who may ask for the members of the channel."""
    may_read_history: Who = "nobody"
    """Who may ask for the channel's history."""


_TAKEN = frozenset(
    ("self", "data", "key", "tags", "idempotency_key", "version", "only", "epoch", "timeout", "expire_in")
)
"""Names that parameters of a pattern would share with arguments of ``publish`` and others."""

_RULES: TypeAdapter[Rules] = TypeAdapter(Rules, config=ConfigDict(strict=True))
_KINDS = {**get_type_hints(Rules), "recovery": Recovery}


def check_rules(given: Mapping[str, Any]) -> Rules:
    """Rules from arguments by name.

    Raises:
        UsageError: one is unknown, or has a value that it cannot have.
    """
    ensure_rules(given, Rules._fields, "a channel")
    try:
        rules = _RULES.validate_python(dict(given))
    except ValidationError as error:
        lines = [f"{name}: {fault}" for name, fault in wrong_values(error, _KINDS).items()]
        raise UsageError("wrong channel rules: " + "; ".join(lines)) from None
    if rules.history < 0:
        raise UsageError(f"wrong channel rules: history is {rules.history}; it must be 0 or more")
    if rules.max_recovered < 0 or rules.max_page_size < 0:
        raise UsageError("wrong channel rules: max_recovered and max_page_size must be 0 or more; 0 is the setting")
    if not rules.history and (rules.recovery or rules.positioning):
        raise UsageError("wrong channel rules: recovery and positioning need a history; say history=100")
    return rules


class Pattern:
    """A channel name with parameters: ``chat:{room}``.

    ``{name}`` matches anything without a colon, ``{name:path}`` anything. All else matches itself. One parameter may
    end anywhere; a colon or the end is behind all others, or a long name would take long to match.

    Raises:
        UsageError: it is malformed or no text, names a parameter twice, or takes long to match.
    """

    def __init__(self, text: str) -> None:
        ensure_text(text, "the channel pattern")
        self.text = text
        self.parameters = tuple(match[1] for match in _PARAMETER.finditer(text))
        if len(set(self.parameters)) != len(self.parameters):
            raise UsageError(f"the pattern {text!r} names a parameter twice")
        for name in self.parameters:
            if not name.isidentifier() or name in _TAKEN:
                raise UsageError(f"the pattern {text!r} has a parameter {name!r}, which no argument can be called")
        literal = _PARAMETER.sub("", text)
        if not text or "{" in literal or "}" in literal or not literal.isascii():
            raise UsageError(f"{text!r} is no channel pattern; write ASCII such as 'news' or 'chat:{{room}}'")
        parts = []
        end = open_ends = 0
        for match in _PARAMETER.finditer(text):
            parts.append(re.escape(text[end : match.start()]))
            end = match.end()
            # Behind ``[^:]+`` and in front of a colon there is nothing to try again.
            certain = end == len(text) or (text[end] == ":" and not match[2])
            open_ends += not certain
            parts.append(f"(?P<{match[1]}>{'.*' if match[2] else '[^:]++' if certain else '[^:]+'})")
        if open_ends > 1:
            raise UsageError(
                f"the pattern {text!r} has {open_ends} parameters that may end anywhere, so that a name takes long to "
                "match: put a colon behind each, or use one {name:path}, at the end"
            )
        self._expression = re.compile("".join([*parts, re.escape(text[end:])]), re.DOTALL)
        self.prefix = text.partition("{")[0]

    def match(self, name: str) -> dict[str, str] | None:
        """The parameters in ``name``; None if it does not match."""
        match = self._expression.fullmatch(name)
        return None if match is None else match.groupdict()

    def hides(self, other: "Pattern") -> bool:
        """Whether every name that ``other`` matches is one of ours too, as far as a look at the two can tell."""
        if _PARAMETER.sub(r"{\2}", self.text) == _PARAMETER.sub(r"{\2}", other.text):
            return True
        return not other.parameters and self.match(other.text) is not None

    def name(self, parameters: Mapping[str, object]) -> str:
        """The channel with these parameters: text, whole numbers, UUIDs, or enums of these.

        Raises:
            UsageError: one is missing, unknown, of another type, or has a value that the pattern would not match.
        """
        if parameters.keys() != set(self.parameters):
            raise UsageError(self._explain(parameters))
        name = _PARAMETER.sub(lambda match: text_of(parameters[match[1]], match[1]), self.text)
        if self.match(name) is None:
            raise UsageError(f"{dict(parameters)!r} does not fit into the channel pattern {self.text!r}")
        return name

    def _explain(self, parameters: Mapping[str, object]) -> str:
        """Why these are not the parameters of the pattern."""
        wanted = ", ".join(self.parameters) or "no parameters"
        missing = [name for name in self.parameters if name not in parameters]
        meant = [meant_by(name, missing) for name in parameters if name not in self.parameters]
        questions = "".join(f"; did you mean {name!r}?" for name in meant if name)
        return f"channel {self.text!r} takes {wanted}; given: {', '.join(parameters) or 'none'}{questions}"


def seconds(value: str | float, name: str) -> float:
    """A time such as ``"1h"``, ``"90s"``, ``"1h30m"``, or seconds.

    Raises:
        UsageError: it is none, or not above 0.
    """
    if isinstance(value, str):
        parts = _DURATION.findall(value)
        if not parts or "".join(number + unit for number, unit in parts) != value:
            raise UsageError(f"{name} is {value!r}; write seconds as a number, or '90s', '15m', '1h30m', '7d'")
        value = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not 0 < value < float("inf"):
        raise UsageError(f"{name} is {value!r}; it must be above 0")
    return float(value)


def check_name(name: str, max_length: int) -> None:
    """Refuses a channel name that is empty or too long.

    Raises:
        InvalidRequest: that.
    """
    if not 0 < len(name) <= max_length:
        raise InvalidRequest


def allowed_users(name: str) -> list[str]:
    """The users that a channel is for, by a name such as ``room#42,43``; none if it does not say."""
    _, boundary, users = name.rpartition(USER_BOUNDARY)
    return users.split(USER_SEPARATOR) if boundary else []


class Declared(Protocol):
    """Anything that is declared for the channels of a pattern."""

    pattern: Pattern


DeclaredT = TypeVar("DeclaredT", bound=Declared)


class Catalogue(Generic[DeclaredT]):
    """What is declared, found by channel name: the first declaration that matches counts."""

    _CACHED = 10_000

    def __init__(self) -> None:
        self._declared: list[DeclaredT] = []
        self._found: dict[str, tuple[DeclaredT, Mapping[str, str]]] = {}

    def __iter__(self) -> Iterator[DeclaredT]:
        return iter(self._declared)

    def add(self, declared: DeclaredT) -> None:
        """Declares the channels of a pattern.

        Raises:
            UsageError: the very pattern is declared already.
        """
        text = declared.pattern.text
        for known in self._declared:
            if known.pattern.text == text:
                raise UsageError(f"channel {text!r} is declared already: keep what hub.channel returned")
            if known.pattern.hides(declared.pattern):
                raise UsageError(
                    f"channel {text!r} would never be found behind {known.pattern.text!r}: declare it first"
                )
        self._declared.append(declared)
        self._found.clear()

    def find(self, name: str) -> tuple[DeclaredT, Mapping[str, str]]:
        """What is declared for the channel ``name``, and the parameters in the name.

        Raises:
            UnknownChannel: nothing is.
        """
        found = self._found.get(name)
        if found is None:
            if len(name) > _LONGEST:  # none that a session may subscribe to; and patterns take their time for it
                raise UnknownChannel
            public = name.removeprefix(PRIVATE_PREFIX)
            for declared in self._declared:
                parameters = declared.pattern.match(public)
                if parameters is not None:
                    break
            else:
                raise UnknownChannel
            found = (declared, parameters)
            if name.isascii():
                if len(self._found) >= self._CACHED:
                    self._found.clear()
                self._found[name] = found
        return found
