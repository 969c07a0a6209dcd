"""News of a shared poll channel on its way to those who track it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hubbub.errors import Disconnect
from hubbub.hub.encodings import frame
from hubbub.hub.polls.board import Key, Tracker
from hubbub.hub.transport import Framing
from hubbub.protocol.codecs import Codec
from hubbub.protocol.publication import Payload

if TYPE_CHECKING:
    from hubbub.hub.session import Session

_Form = tuple[Framing, Codec, tuple[Payload, ...]]


class Wave:
    """Trackers that are to be brought up to date, each with some keys.

    Each gets its news as one batch, behind all that its session has said; a batch is framed once for all who are
    sent the same.
    """

    def __init__(self, due: Mapping[Tracker, Iterable[Key]]) -> None:
        self._due = iter(due.items())
        self._batches: dict[_Form, Any] = {}

    @classmethod
    def of(cls, keys: Iterable[Key]) -> "Wave":
        """All who track one of these keys."""
        due: dict[Tracker, list[Key]] = {}
        for key in keys:
            for tracker in key.trackers:
                due.setdefault(tracker, []).append(key)
        return cls(due)

    def slices(self, limit: int) -> Iterator[None]:
        """Pushes all, and stops after about ``limit`` messages each."""
        while self.push(limit):
            yield

    def push(self, limit: int) -> bool:
        """Pushes about ``limit`` messages; False when none are left."""
        groups: dict[_Form, list[Session]] = {}
        for tracker, keys in self._due:
            session = tracker.session
            try:
                messages = tuple(message for key in keys if (message := tracker.update(key)) is not None)
            except Disconnect as fault:
                session.transport.give_up(fault)
                continue
            if messages:
                groups.setdefault((session.transport.framing, session.codec, messages), []).append(session)
            limit -= len(messages) or 1
            if limit <= 0:
                break
        for form, sessions in groups.items():
            self._push(form, sessions)
        return limit <= 0

    def _push(self, form: _Form, sessions: "list[Session]") -> None:
        framing, codec, messages = form
        if form not in self._batches:
            self._batches[form] = frame(framing, codec, messages)
        for session in sessions:
            session.flush()
        framing.push_all(self._batches[form], [session.transport for session in sessions])
