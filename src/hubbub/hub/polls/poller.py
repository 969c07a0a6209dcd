"""One shared poll channel: asks for what is tracked, and tells the trackers what came.

Theory of operation. While keys are tracked there is one task, which asks, and waits for the answer, and tells; so no
two polls of a channel overlap, and a slow source makes its channel late and nothing else. Keys that nobody has asked
for yet are asked for at once, the others once in an interval: a *round*, of several calls where they are many. With
the last tracked key the task ends.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from hubbub.hub.polls.board import Board, Key, Tracker
from hubbub.hub.polls.rules import PollRules
from hubbub.hub.polls.sources import Answer, Source, TrackedKey
from hubbub.hub.polls.wave import Wave

if TYPE_CHECKING:
    from hubbub.hub.engine import Engine

_log = logging.getLogger("hubbub")

EXPIRED_GRACE = 25.0
"""Seconds that a key is tracked beyond the expiry of its signature, in which the client gets a new one."""
_SURELY = 0.1
"""Seconds after which what is due by the one clock is so by the other too."""
_MAX_WAVE = 64 * 1024
"""Pairs of key and tracker that are gone through in one go."""


class Poller:
    """One shared poll channel."""

    def __init__(
        self, engine: "Engine", board: Board, parameters: Mapping[str, str], source: Source, rules: PollRules
    ) -> None:
        self.board = board
        self._engine = engine
        self._parameters = parameters
        self._source = source
        self._rules = rules
        self._fresh: dict[str, None] = {}
        self._round: list[str] = []
        self._due = 0.0
        self._changed = asyncio.Event()
        self._task: asyncio.Future[None] | None = None
        self._failing = False

    @property
    def polling(self) -> bool:
        """Whether its task runs."""
        return self._task is not None and not self._task.done()

    def track(self, tracker: Tracker, wanted: Iterable[tuple[str, int, float]]) -> None:
        """Makes ``tracker`` track keys, from the version that it has, and until they expire.

        What the hub has and the tracker has not is sent in the next turn of the event loop, behind the answer; what
        nobody has asked for yet is asked for at once, unless the tracker has it.
        """
        tracks = [self.board.track(tracker, *one) for one in wanted]
        due = [track.key for track in tracks if track.due]
        if due:
            self._engine.loop.call_soon(Wave({tracker: due}).push, len(due))
        self._fresh.update((track.key.name, None) for track in tracks if not (track.version or track.key.asked))
        if self.board.keys and not self.polling:
            self._due = self._engine.loop.time() + self._rules.every
            self._task = self._engine.begin(self._run())
        self._changed.set()

    def untrack(self, tracker: Tracker, names: Iterable[str]) -> None:
        """Drops keys of a tracker."""
        self.board.untrack(tracker, names)
        self._rest()

    def leave(self, tracker: Tracker) -> None:
        """Drops a tracker."""
        self.board.leave(tracker)
        self._rest()

    def _rest(self) -> None:
        """Lets the task end if nothing is tracked: a poll under way is waited for, except when the hub stops."""
        if not self.board.keys and self._task is not None:
            self._changed.set()
            if self._engine.stopping:
                self._task.cancel()

    async def take(self, answer: Answer) -> None:
        """Takes in values, and tells those who track them. In a new epoch, everyone must come back.

        Raises:
            UsageError: one has no version where it must.
        """
        versions = self.board.versions
        versions.ensure_fit(answer.values)
        if versions.enter(answer.epoch):
            for tracker in tuple(self.board.trackers):
                tracker.session.lose(self.board.channel)
        news = dict.fromkeys(key for value in answer.values if (key := self.board.note(value)) is not None)
        for keys in _waves(news):
            for _ in Wave.of(keys).slices(self._engine.settings.fan_out_slice):
                await asyncio.sleep(0)

    async def _run(self) -> None:
        while self.board.keys:
            names = self._next()
            if names:
                await self._poll(names)
            elif not self._round and not self._fresh:
                await self._wait()
            self.board.expire(self._engine.wall() - EXPIRED_GRACE)

    def _next(self) -> list[str]:
        """The keys of the next call: fresh ones, and what has room of the round."""
        now = self._engine.loop.time()
        if not self._round and now >= self._due:
            self._due = max(self._due + self._rules.every, now)
            self._round = sorted(self.board.keys)
        names = set(islice(self._fresh, self._rules.batch))
        for name in names:
            del self._fresh[name]
        room = self._rules.batch - len(names)
        names.update(self._round[:room])
        self._round = self._round[room:]
        return sorted(names & self.board.keys.keys())

    async def _poll(self, names: list[str]) -> None:
        wanted = []
        for name in names:
            key = self.board.keys[name]
            key.asked = True
            wanted.append(TrackedKey(name, self.board.versions.known(key.newest)))
        try:
            await self.take(await self._source.ask(self.board.channel, self._parameters, wanted))
        except Exception as error:
            self._complain(error)
        else:
            self._failing = False

    def _complain(self, error: Exception) -> None:
        """Logs the first of several failures."""
        if not self._failing:
            self._failing = True
            trace = None if isinstance(error, OSError) else error  # what a foreign server does has no line here
            said = str(error) or type(error).__name__
            again = self._rules.every
            _log.warning(
                "%s: a poll failed (%s); polled again every %g s", self.board.channel, said, again, exc_info=trace
            )

    async def _wait(self) -> None:
        """Waits for the next round, the next expiry, or a change of what is tracked."""
        engine = self._engine
        expired = engine.loop.time() + self.board.expires - engine.wall() + EXPIRED_GRACE + _SURELY
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(min(self._due, expired)):
                await self._changed.wait()


def _waves(keys: Iterable[Key]) -> Iterator[list[Key]]:
    """The keys in groups, each with so many trackers that going through them is quick."""
    group: list[Key] = []
    size = 0
    for key in keys:
        if group and size + len(key.trackers) > _MAX_WAVE:
            yield group
            group, size = [], 0
        group.append(key)
        size += len(key.trackers)
    if group:
        yield group
