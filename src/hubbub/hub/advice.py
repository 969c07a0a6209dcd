"""What the log says, once, to whoever wonders why clients are refused: the remedy, which clients are not told."""

import logging
from collections.abc import Hashable

_log = logging.getLogger("hubbub")


class Advice:
    """The advice of one hub. What it is about comes from what the app declares, so there is only so much of it."""

    def __init__(self) -> None:
        self._given: set[Hashable] = set()

    def give(self, about: Hashable, text: str, *values: object) -> None:
        """Logs a warning, unless there was one about that."""
        if about not in self._given:
            self._given.add(about)
            _log.warning(f"{text} (This is said once.)", *values)
