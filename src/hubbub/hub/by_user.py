"""Who is connected as which user."""

from typing import Generic, TypeVar

OneT = TypeVar("OneT")


class ByUser(Generic[OneT]):
    """Connections, found by their user in the order in which they came; those without a user are not in it."""

    def __init__(self) -> None:
        self._of: dict[str, dict[OneT, None]] = {}

    def __len__(self) -> int:
        """How many users there are."""
        return len(self._of)

    def add(self, user: str, one: OneT) -> None:
        """Counts a connection in, if it has a user."""
        if user:
            self._of.setdefault(user, {})[one] = None

    def discard(self, user: str, one: OneT) -> None:
        """Counts a connection out, if it is in."""
        ones = self._of.get(user)
        if ones is not None:
            ones.pop(one, None)
            if not ones:
                del self._of[user]

    def count(self, user: str) -> int:
        """How many connections a user has."""
        return len(self._of.get(user, ()))

    def of(self, user: str) -> tuple[OneT, ...]:
        """The connections of a user now."""
        return tuple(self._of.get(user, ()))
