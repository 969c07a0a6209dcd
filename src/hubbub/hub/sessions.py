"""The live sessions of one hub: who they are, by session, user and secret, and what the server does to them."""

import asyncio
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from hubbub.auth.base import Grant, Identity
from hubbub.errors import BadRequest, ConnectionLimit, Disconnect, Expired, InvalidToken, SessionEnd, UsageError
from hubbub.hub.by_user import ByUser
from hubbub.hub.handlers import Handler
from hubbub.hub.heartbeat import Heartbeat
from hubbub.protocol.commands import ConnectRequest
from hubbub.protocol.position import Position
from hubbub.protocol.schema import NOTHING

if TYPE_CHECKING:
    from hubbub.hub.engine import Engine
    from hubbub.hub.session import Session


class Sessions:
    """Sessions from their first byte to their end; those that have connected, by user too."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        settings = engine.settings
        self._all: set[Session] = set()
        self._connected: dict[str, Session] = {}
        self._of_user: ByUser[Session] = ByUser()
        """From the moment when it is known who they are, in the order of that."""
        self._of_secret: dict[str, Session] = {}
        self._endings: dict[Session, asyncio.Future[None]] = {}
        self._heartbeat = Heartbeat(settings.session_ping_interval, settings.session_pong_timeout)

    def __len__(self) -> int:
        return len(self._connected)

    def __iter__(self) -> Iterator["Session"]:
        return iter(tuple(self._connected.values()))

    @property
    def users(self) -> int:
        """How many users are connected; the anonymous are one."""
        return len({session.user for session in self._connected.values()})

    # Life

    def open(self, session: "Session") -> None:
        """Counts in a session that has not connected yet."""
        self._all.add(session)
        self._engine.clocks.watch()
        if session.secret:
            self._of_secret[session.secret] = session

    def know(self, session: "Session") -> None:
        """Counts a session among those of its user: it can be disconnected, refreshed and removed from channels."""
        self._of_user.add(session.user, session)

    def forget(self, session: "Session") -> None:
        """Does not count a session among those of its user any more."""
        self._of_user.discard(session.user, session)

    def admit(self, session: "Session", *, pinged: bool) -> None:
        """Counts a session in that has connected, and pings it from now on if it is to be."""
        self._connected[session.id] = session
        if pinged:
            self._heartbeat.add(session)

    def dismiss(self, session: "Session", address: str) -> None:
        """Counts a session out."""
        self._all.discard(session)
        self._heartbeat.discard(session)
        self._connected.pop(session.id, None)
        self.forget(session)
        if session.secret:
            self._of_secret.pop(session.secret, None)
        self._engine.admission.leave(address)
        self._engine.clocks.unwatch()
        if session in self._endings:
            self._endings.pop(session).set_result(None)

    async def ended(self, session: "Session") -> None:
        """Waits for the end of a session. One task may wait for each."""
        if session in self._all:
            ending = self._endings[session] = self._engine.loop.create_future()
            try:
                await asyncio.shield(ending)
            finally:
                self._endings.pop(session, None)

    def end_all(self, fault: Disconnect) -> None:
        """Ends every session."""
        for session in tuple(self._all):
            session.on_fault(fault)

    def set_alarms(self) -> None:
        """Makes deadlines by the wall clock count anew, after that has jumped."""
        for session in self:
            session.set_alarm()

    # Who is there

    async def identify(self, session: "Session", request: ConnectRequest) -> Identity:
        """Who wants to connect: by its token, by the app's own function, or nobody known.

        Raises:
            CommandError: not now, or not with this token.
            InvalidToken: the token is nobody's.
            ConnectionLimit: the user has as many connections as it may.
            BadRequest: nobody is known, and nobody in particular may not connect.
        """
        registry, settings = self._engine.registry, self._engine.settings
        if request.token and registry.auth is not None:
            identity = (await registry.auth.authenticate(request.token)).encoded(binary=True)
            self.ensure_within_user_limit(identity.user)
            return identity
        if registry.on_connect is not None:
            identity = await self._ask(session, registry.on_connect, request)
            self.ensure_within_user_limit(identity.user)
            return identity
        if request.token:
            registry.advice.give(
                "token",
                "a client showed a token that nobody reads: it is refused with 3500. "
                "Declare the hub with auth=JWT(…), or decorate a function with hub.on_connect.",
            )
            raise InvalidToken
        if settings.allow_anonymous:
            return Identity()
        registry.advice.give(
            "anonymous",
            "a client without a token is refused with 3501. Give it one that auth=JWT(…) reads, decorate a function "
            "with hub.on_connect, or set allow_anonymous=True if anybody may connect.",
        )
        raise BadRequest

    async def _ask(self, session: "Session", handler: Handler, request: ConnectRequest) -> Identity:
        data = "null" if request.data is NOTHING else session.codec.payload(request.data)
        known = {"token": request.token, "name": request.name, "version": request.version}
        identity = await session.call(handler, {}, known, data)
        if identity is None:
            raise BadRequest
        if not isinstance(identity, Identity):
            raise UsageError(f"on_connect returned {identity!r}; it must return an Identity, or None to refuse")
        return identity.encoded()

    def ensure_within_user_limit(self, user: str) -> None:
        """Refuses one more session of a user that has as many as it may.

        Raises:
            ConnectionLimit: that.
        """
        limit = self._engine.settings.max_connections_per_user
        if limit and user and self._of_user.count(user) >= limit:
            raise ConnectionLimit

    def of_user(self, user: str, client: str = "", secret: str = "") -> tuple["Session", ...]:
        """The sessions of a user: all, or the one of an id or a secret."""
        return tuple(
            session
            for session in self._of_user.of(user)
            if (not client or session.id == client) and (not secret or session.secret == secret)
        )

    def by_secret(self, secret: str) -> "Session | None":
        """The session that shows this secret."""
        return self._of_secret.get(secret)

    def lose(self, channel: str, receivers: Collection[object]) -> None:
        """Publications of ``channel`` were lost on their way to these receivers, which are transports of sessions."""
        losers = set(receivers)
        for session in self:
            if session.transport in losers:
                session.lose(channel)

    # What the server does to them

    async def subscribe(
        self, user: str, channel: str, grant: Grant, since: Position | None = None, client: str = "", secret: str = ""
    ) -> None:
        """Subscribes sessions of a user.

        Raises:
            Expired: the grant is in the past.
            CommandError: that channel cannot be.
        """
        if 0 < grant.expire_at <= self._engine.wall():
            raise Expired
        self._engine.registry.catalogue.find(channel)
        for session in self.of_user(user, client, secret):
            await session.subscribe(channel, grant, since)

    def unsubscribe(self, user: str, channel: str = "", client: str = "", secret: str = "") -> None:
        """Takes sessions of a user from a channel, or from all."""
        for session in self.of_user(user, client, secret):
            session.remove(channel)

    def disconnect(
        self, user: str, end: SessionEnd, client: str = "", secret: str = "", spared: Collection[str] = ()
    ) -> None:
        """Ends sessions of a user, but for the spared ids."""
        for session in self.of_user(user, client, secret):
            if session.id not in spared:
                session.end(end)
