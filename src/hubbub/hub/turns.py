"""What happens to sessions in their channels: to one session in one channel, one thing after the other.

Theory of operation. To come into a channel takes time (a handler of the app decides, a broker is asked), and so
does what a leave leaves to do. Meanwhile the client, the app and the end of the session may want other things of
the same channel. Therefore whoever prepares a subscription holds the channel until it is live or undone, and what
ends one is done behind. A removal does not wait: it revokes the attempts that are under way, which then come to
nothing, wherever they are.
"""

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from hubbub.hub.engine import Engine
    from hubbub.hub.session import Session

Place = tuple["Session", str]


class Attempt:
    """A session that is on its way into a channel or, with its connect, into some. It ends with its ``with``."""

    __slots__ = ("_held", "_removed", "_session", "_token", "_turns", "deciding")

    def __init__(self, turns: "Turns", session: "Session") -> None:
        self.deciding = ""
        """The channel that the app decides on just now: what it does meanwhile is not meant against it."""
        self._token: Token[Attempt | None] | None = None
        self._turns = turns
        self._session = session
        self._removed: set[str] = set()
        self._held: tuple[Place, asyncio.Future[None]] | None = None

    def __enter__(self) -> Self:
        self._turns.attempts.setdefault(self._session, []).append(self)
        self._token = _OWN.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        _OWN.reset(self._token)
        attempts = self._turns.attempts[self._session]
        attempts.remove(self)
        if not attempts:
            del self._turns.attempts[self._session]
        if self._held is not None:
            self._turns.release(*self._held)
            self._held = None
        del self._session  # timers that were begun meanwhile keep the context, and so this object

    async def hold(self, channel: str) -> None:
        """Waits until a channel is done with what was before. Up to the end, nothing else is done there."""
        place = self._session, channel
        self._held = place, await self._turns.take(place)

    def revoke(self, channel: str) -> None:
        """Makes it come to nothing in a channel; without a name, in any."""
        self._removed.add(channel)

    def revoked(self, channel: str) -> bool:
        """Whether the session has been removed from a channel meanwhile."""
        return channel in self._removed or "" in self._removed


_OWN: ContextVar[Attempt | None] = ContextVar("own", default=None)
"""The attempt on whose way the running code is."""


class Turns:
    """The turns that are held or waited for, and the attempts that are under way, of all sessions of one hub."""

    def __init__(self, engine: "Engine") -> None:
        self.attempts: dict[Session, list[Attempt]] = {}
        self._engine = engine
        self._last: dict[Place, asyncio.Future[None]] = {}
        """Of each place, the end of what is the last in its row."""

    def attempt(self, session: "Session") -> Attempt:
        """A new attempt of a session, to be used in a ``with``."""
        return Attempt(self, session)

    def revoke(self, session: "Session", channel: str) -> None:
        """Makes a session's attempts at a channel come to nothing; without a name, those at any.

        Not that on which the caller is asked to decide: a handler may make room for what it admits.
        """
        own = _OWN.get()
        for attempt in self.attempts.get(session, ()):
            if attempt is own and own.deciding and channel in ("", own.deciding):
                continue
            attempt.revoke(channel)

    async def take(self, place: Place) -> asyncio.Future[None]:
        """Waits for a turn, and returns what is to be released after it."""
        while place in self._last:
            await asyncio.wait([self._last[place]])
        turn = self._last[place] = self._engine.loop.create_future()
        return turn

    def release(self, place: Place, turn: asyncio.Future[None]) -> None:
        """Ends a turn."""
        if not turn.done():
            turn.set_result(None)
        if self._last.get(place) is turn:
            del self._last[place]

    def begin(self, session: "Session", channel: str, chore: Coroutine[Any, Any, None]) -> None:
        """Does in the background what a channel asks for, behind what it asked for before."""
        place = session, channel
        before = self._last.get(place)
        begun = self._last[place] = self._engine.begin(chore if before is None else _behind(before, chore))

        def end(_: asyncio.Future[None]) -> None:
            chore.close()  # it may not have had its turn
            self.release(place, begun)

        begun.add_done_callback(end)


async def _behind(before: asyncio.Future[None], chore: Coroutine[Any, Any, None]) -> None:
    await asyncio.wait([before])
    await chore
