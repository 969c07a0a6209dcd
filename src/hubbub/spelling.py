"""Names that were misspelt: what was meant, for the errors that say so."""

import difflib
from collections.abc import Collection, Iterable

from hubbub.errors import UsageError


def meant_by(name: str, known: Iterable[str]) -> str:
    """The one of ``known`` that looks most like ``name``; empty if none does."""
    return next(iter(difflib.get_close_matches(name, known, 1)), "")


def ensure_rules(given: Iterable[str], known: Collection[str], channel: str) -> None:
    """Refuses rules that a kind of channel does not have.

    Args:
        given: the names of the rules.
        known: all that there are.
        channel: the kind, as in "a map channel".

    Raises:
        UsageError: one is none of them.
    """
    for name in given:
        if name not in known:
            meant = meant_by(name, known)
            question = f" did you mean {meant!r}?" if meant else ""
            raise UsageError(f"{channel} has no rule {name!r};{question} there are {', '.join(known)}")
