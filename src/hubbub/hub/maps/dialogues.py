"""What a session has read of a map so far: kept from one subscribe request to the next, and no longer than it."""

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from hubbub.auth.base import Grant
from hubbub.errors import LimitExceeded
from hubbub.hub.kinds.features import Features
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Publication

if TYPE_CHECKING:
    from hubbub.hub.session import Session


class Dialogue:
    """The requests by which one session comes to one map, from the first to the one that makes it a subscriber."""

    __slots__ = ("features", "grant", "position", "sent", "stream_top", "until")

    def __init__(self, grant: Grant, features: Features, until: float) -> None:
        self.grant = grant
        self.features = features
        self.until = until
        """When it must be over, by the clock of the event loop."""
        self.position: Position | None = None
        """That of the first page, which all pages are the state at."""
        self.stream_top: int | None = None
        """Where the stream ended when it was first read."""
        self.sent: dict[str, Publication] = {}
        """The entries of pages before, where the map has no stream to tell what became of them."""


class Dialogues:
    """The dialogues that wait for their next request. They go with their session, which they do not know."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[Session, dict[str, Dialogue]] = WeakKeyDictionary()

    def find(self, session: "Session", channel: str) -> Dialogue | None:
        """The session's dialogue with a channel."""
        return self._of.get(session, {}).get(channel)

    def take(self, session: "Session", channel: str) -> Dialogue | None:
        """As ``find``; it waits no longer."""
        dialogues = self._of.get(session)
        if dialogues is None:
            return None
        dialogue = dialogues.pop(channel, None)
        if not dialogues:
            del self._of[session]
        return dialogue

    def forget(self, session: "Session") -> None:
        """Ends all of a session."""
        self._of.pop(session, None)

    def put(self, session: "Session", channel: str, dialogue: Dialogue) -> None:
        """Lets a dialogue wait; those that have waited too long are dropped.

        Raises:
            LimitExceeded: they are too many, with the subscriptions.
        """
        engine = session.engine
        now = engine.loop.time()
        dialogues = {name: one for name, one in self._of.get(session, {}).items() if one.until > now}
        if len(session.subscriptions) + len(dialogues) >= engine.settings.max_channels_per_session:
            raise LimitExceeded
        self._of[session] = dialogues | {channel: dialogue}
