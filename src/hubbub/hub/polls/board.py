"""Who tracks which keys of one channel, and which version of each it has.

Theory of operation. The newest value of each tracked key is kept. A tracker is *brought up to date* with a key: if
the newest value is newer than what it has, it is sent that, and has it. So it does not matter when that is done, how
often, or what happened since it was found to be due, and a large wave of news can go out in slices: no version comes
twice or after a newer one, and the last one always comes. Whoever was sent a value can be sent the next as what
differs from it. Each message is encoded once for all who are sent the same.
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from hubbub.hub.encodings import delta_publication
from hubbub.hub.polls.versions import Versions
from hubbub.protocol.codecs import Codec
from hubbub.protocol.events import Push, Reply
from hubbub.protocol.publication import Payload, Publication

if TYPE_CHECKING:
    from hubbub.hub.session import Session


class Key:
    """A key while it is tracked: its newest value, and who tracks it."""

    __slots__ = ("_before", "_channel", "_messages", "asked", "name", "newest", "trackers")

    def __init__(self, channel: str, name: str) -> None:
        self.name = name
        self.newest: Publication | None = None
        self.asked = False
        """Whether the source was asked for it."""
        self.trackers: dict[Tracker, None] = {}
        self._channel = channel
        self._before: Publication | None = None
        self._messages: dict[tuple[Codec, bool, bool], Payload] = {}

    def change(self, value: Publication) -> None:
        """Makes ``value`` the newest."""
        self._before = self.newest if value.delta else None
        self.newest = value
        self._messages = {}

    def follows(self, version: int) -> bool:
        """Whether the newest value is known by what differs from ``version``."""
        return self._before is not None and self._before.version == version

    def message(self, codec: Codec, *, deltas: bool, follows: bool) -> Payload:
        """The push of the newest value.

        Args:
            deltas: whether it is for those who take deltas, which have a form of their own for all values.
            follows: whether they have the value before.

        Raises:
            Disconnect: those who speak ``codec`` cannot be sent that.
        """
        form = (codec, deltas, follows)
        message = self._messages.get(form)
        if message is None:
            assert self.newest is not None
            if deltas and not self.newest.removed:
                told = delta_publication(codec, self.newest, self._before if follows else None)
            else:
                told = codec.publication(self.newest)
            message = self._messages[form] = codec.encode(Reply(push=Push(channel=self._channel, pub=told)))
        return message


class Track:
    """That a session tracks a key, and which version of it the client has."""

    __slots__ = ("expires", "key", "sent", "version")

    def __init__(self, key: Key, version: int, expires: float) -> None:
        self.key = key
        self.version = version
        self.expires = expires
        """Unix seconds; infinite is never."""
        self.sent = False
        """Whether the client has that version from here."""

    @property
    def due(self) -> bool:
        """Whether the client has not got the newest."""
        newest = self.key.newest
        return newest is not None and (newest.removed or newest.version > self.version)


class Tracker:
    """A session in the channel, and the keys that it tracks."""

    __slots__ = ("deltas", "expires", "session", "tracks")

    def __init__(self, session: "Session", *, deltas: bool) -> None:
        self.session = session
        self.deltas = deltas
        self.tracks: dict[str, Track] = {}
        self.expires = math.inf
        """When the first of them expires, or before that."""

    def update(self, key: Key) -> Payload | None:
        """Takes the newest of a key as sent; returns the message to send, if there is one.

        Raises:
            Disconnect: it cannot be sent to this session.
        """
        track = self.tracks.get(key.name)
        if track is None or track.key is not key or not track.due:
            return None
        assert key.newest is not None
        follows = self.deltas and track.sent and key.follows(track.version)
        message = key.message(self.session.codec, deltas=self.deltas, follows=follows)
        if key.newest.removed:
            self.drop(key.name)
        else:
            track.version = key.newest.version
            track.sent = True
        return message

    def drop(self, name: str) -> Key | None:
        """Does not track a key any more; returns it if it did."""
        track = self.tracks.pop(name, None)
        if track is None:
            return None
        del track.key.trackers[self]
        return track.key

    def expired(self, before: float) -> list[str]:
        """The keys that expired before that."""
        names = [name for name, track in self.tracks.items() if track.expires < before]
        self.expires = min((one.expires for one in self.tracks.values() if one.expires >= before), default=math.inf)
        return names


class Board:
    """The keys that are tracked in one channel, and the sessions in it."""

    def __init__(self, channel: str, versions: Versions, *, deltas: bool) -> None:
        self.channel = channel
        self.versions = versions
        self.keys: dict[str, Key] = {}
        self.trackers: set[Tracker] = set()
        self.expires = math.inf
        """When the first track expires, or before that."""
        self._deltas = deltas

    def track(self, tracker: Tracker, name: str, version: int, expires: float) -> Track:
        """Makes ``tracker`` one of those who track a key, in place of what it tracked of it before."""
        key = self.keys.get(name)
        if key is None:
            key = self.keys[name] = Key(self.channel, name)
        key.trackers[tracker] = None
        track = tracker.tracks[name] = Track(key, version, expires)
        tracker.expires = min(tracker.expires, expires)
        self.expires = min(self.expires, expires)
        return track

    def untrack(self, tracker: Tracker, names: Iterable[str]) -> None:
        """Drops keys of a tracker, and what nobody tracks any more."""
        for name in names:
            key = tracker.drop(name)
            if key is not None and not key.trackers and self.keys.get(name) is key:
                del self.keys[name]

    def leave(self, tracker: Tracker) -> None:
        """Drops a tracker."""
        self.trackers.discard(tracker)
        self.untrack(tracker, tuple(tracker.tracks))

    def expire(self, before: float) -> None:
        """Drops all tracks that expired before that."""
        if self.expires < before:
            for tracker in self.trackers:
                if tracker.expires < before:
                    self.untrack(tracker, tracker.expired(before))
            self.expires = min((tracker.expires for tracker in self.trackers), default=math.inf)

    def note(self, value: Publication) -> Key | None:
        """Takes in a value that came; returns its key if that is news for its trackers."""
        key = self.keys.get(value.key)
        if key is None:
            return None
        if value.removed:
            del self.keys[key.name]
            key.change(value)
            return key
        version = self.versions.next(value, key.newest)
        if not version:
            return None
        key.change(value._replace(version=version, delta=self._deltas))
        return key
