"""How the channels of one pattern are polled."""

from collections.abc import Mapping
from typing import Any, NamedTuple, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from hubbub.channels import seconds
from hubbub.errors import UsageError
from hubbub.spelling import ensure_rules, wrong_values


class PollRules(NamedTuple):
    """How the channels of one pattern are polled."""

    every: float
    """Seconds from one poll of a channel to the next."""
    versioned: bool = False
    """Whether the source numbers its values. Else they are numbered here, by what differs from the value before."""
    batch: int = 1000
    """Keys that are asked for in one call. More are asked for in several, one after the other."""
    timeout: float = 5.0
    """Seconds for the answer to one call."""
    max_keys: int = 5000
    """Keys that one session may track in one channel. More: error 106."""
    publish_enabled: bool = False
    """Whether values may be published between the polls too. They need versions."""


SHARED = ("delta", "may_subscribe", "user_limited")
"""The rules of other channels that hold for shared poll channels too."""

_ARGUMENTS = ("secret", "previous_secret", "backend")
"""What ``hub.poll_channel`` takes besides rules, for who misspells it."""

_RULES: TypeAdapter[PollRules] = TypeAdapter(PollRules, config=ConfigDict(strict=True))


def check_poll_rules(given: Mapping[str, Any]) -> PollRules:
    """Rules from arguments by name; times may be as ``"5s"``.

    Raises:
        UsageError: one is unknown, or has a value that it cannot have.
    """
    ensure_rules(given, (*PollRules._fields, *SHARED, *_ARGUMENTS), "a shared poll channel")
    times = {name: seconds(given[name], name) for name in ("every", "timeout") if name in given}
    try:
        rules = _RULES.validate_python({**given, **times})
    except ValidationError as error:
        lines = [f"{name}: {fault}" for name, fault in wrong_values(error, get_type_hints(PollRules)).items()]
        raise UsageError("wrong rules of a shared poll channel: " + "; ".join(lines)) from None
    if rules.batch < 1 or rules.max_keys < 1:
        raise UsageError("wrong rules of a shared poll channel: batch and max_keys must be 1 or more")
    if rules.publish_enabled and not rules.versioned:
        raise UsageError("wrong rules of a shared poll channel: publish_enabled needs versions; say versioned=True")
    return rules
