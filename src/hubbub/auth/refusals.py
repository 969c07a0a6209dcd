"""Why tokens are refused, for the log of the server: clients are not told."""

import logging

ONCE = " (This is said once; the debug level says it each time.)"
_MOST = 50
"""Reasons that are remembered: some have what a token holds in them, such as a position, so there may be many."""

_log = logging.getLogger("hubbub")


class Refusals:
    """What one issuer's tokens are refused for. No line has a token in it."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def say(self, refused: str, reason: str, level: int = logging.WARNING) -> None:
        """Logs why something is refused: at ``level`` the first time, then at the debug level."""
        if (refused, reason) in self._said or len(self._said) >= _MOST:
            _log.debug("%s is refused: %s", refused, reason)
        else:
            self._said.add((refused, reason))
            _log.log(level, "%s is refused: %s" + ONCE, refused, reason)
