"""How the values of a shared poll channel are numbered, so that nobody gets one twice, or an old one after a new."""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence

from hubbub.errors import UsageError
from hubbub.protocol.publication import Publication


class Versions(ABC):
    """The versions of one channel's values, and the epoch that they count in."""

    epoch: str
    """Clients drop the versions that they remember when it is another than before."""

    @abstractmethod
    def ensure_fit(self, values: Sequence[Publication]) -> None:
        """Refuses values that cannot be numbered.

        Raises:
            UsageError: one of them.
        """

    @abstractmethod
    def enter(self, epoch: str) -> bool:
        """Whether values that came with ``epoch`` begin a new one; nothing from before counts then."""

    @abstractmethod
    def next(self, value: Publication, newest: Publication | None) -> int:
        """The version of a value that came; 0 if it is no newer than ``newest``."""

    @abstractmethod
    def known(self, newest: Publication | None) -> int:
        """The version that the source is told we have; 0 is none."""


class Given(Versions):
    """Versions are the source's own, and so is the epoch, if it has one. Without a word of it, it stays."""

    def __init__(self) -> None:
        self.epoch = ""

    def ensure_fit(self, values: Sequence[Publication]) -> None:
        for value in values:
            if not value.version and not value.removed:
                raise UsageError(
                    f"{value.key!r} came without a version, which a channel with versioned=True needs: "
                    "give each value one that grows with its changes, as in Polled(key, data, version=row.version)"
                )

    def enter(self, epoch: str) -> bool:
        if not epoch or epoch == self.epoch:
            return False
        self.epoch = epoch
        return True

    def next(self, value: Publication, newest: Publication | None) -> int:
        return value.version if value.version > self.known(newest) else 0

    def known(self, newest: Publication | None) -> int:
        return 0 if newest is None else newest.version


class Counted(Versions):
    """Versions are counted here, for all keys of the channel: a value that differs from the one before is the next."""

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(4)
        self._last = 0

    def ensure_fit(self, values: Sequence[Publication]) -> None:
        """Any value does."""

    def enter(self, epoch: str) -> bool:
        return False

    def next(self, value: Publication, newest: Publication | None) -> int:
        if newest is not None and type(value.data) is type(newest.data) and value.data == newest.data:
            return 0
        self._last += 1
        return self._last

    def known(self, newest: Publication | None) -> int:
        return 0
