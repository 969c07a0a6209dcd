"""One Centrifuge connection: a state machine that the transport calls, with no task and no timer of its own.

Theory of operation. The transport calls in with messages, faults and the end. Commands wait in the inbox as they
came, and each is decoded when its turn comes: decoded, a command can take many times its size, and the rates must
be spent before it takes our time. They are worked off one after the other, in order, by a task that lives only while
there are some: so what a command awaits (the app's handlers, a broker) holds up this session alone, and an idle
session has no task. A pong is the exception: it counts when it comes, however many commands wait. What the session
says within one turn of the event loop goes out as one message, except that the answers to connect and
subscribe go out at once: behind them, publications may come at any moment.

    CONNECTING   nothing but connect is accepted; at the deadline the session is stale
    CONNECTED    commands are answered
    REFUSED      connect was answered with an error: the session ignores all messages until the client goes or is stale
    ENDED        nothing goes out any more; what the client had sent before it left is still worked off
"""

import asyncio
import enum
import logging
import math
import uuid
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from hubbub.auth.base import Grant, Identity
from hubbub.channels import Who, check_name
from hubbub.errors import (
    BadRequest,
    CommandError,
    ConnectionClosed,
    ConnectionExpired,
    Disconnect,
    Expired,
    Forbidden,
    Goodbye,
    InsufficientState,
    InternalError,
    InvalidToken,
    LimitExceeded,
    NoPong,
    ServerError,
    SessionRateExceeded,
    Shutdown,
    Stale,
    SubscriptionExpired,
    TooManyRequests,
)
from hubbub.hub import joining
from hubbub.hub.answers import ANSWERS
from hubbub.hub.cancellation import is_stray
from hubbub.hub.deadlines import Deadline
from hubbub.hub.dependencies import ConnectionScope, SessionInfo
from hubbub.hub.encodings import frame
from hubbub.hub.handlers import Handler
from hubbub.hub.link import Link, end_for_want_of_answers, in_words_of_sessions
from hubbub.hub.subscription import Subscription
from hubbub.hub.transport import Framing, Transport
from hubbub.protocol import commands
from hubbub.protocol.codecs import Codec
from hubbub.protocol.commands import METHODS, Command
from hubbub.protocol.events import (
    Connect,
    ConnectResult,
    Error,
    Push,
    Reply,
    Result,
    Unsubscribe,
)
from hubbub.protocol.events import Disconnect as DisconnectPush
from hubbub.protocol.events import Refresh as RefreshPush
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Member, Payload, size_of
from hubbub.protocol.schema import NOTHING

if TYPE_CHECKING:
    from hubbub.hub.engine import Engine

_log = logging.getLogger("hubbub")

_KIB = 1024
_MESSAGE_SIZE = 32 * 1024
"""Bytes of answers that wait to go out before the next command has to wait for the peer to read."""
_COMMANDS_A_TURN = 16
"""Commands of one session that are worked off in one turn of the event loop."""
_NO_SUBSCRIPTIONS: dict[str, Subscription] = {}
_LONGEST_TTL = 2**32 - 1
"""Seconds that the protocol has room for."""
_REFUSED_FOR = 5.0
"""Seconds that a client has to go after its connect was answered with an error; less if it is stale by then."""


class State(enum.Enum):
    CONNECTING = enum.auto()
    CONNECTED = enum.auto()
    REFUSED = enum.auto()
    ENDED = enum.auto()


@cache
def _ping(framing: Framing, codec: Codec) -> Any:
    return framing.join((codec.ping,))


class Session:
    """A connected client that speaks the Centrifuge protocol."""

    __slots__ = (
        "__weakref__",
        "_address",
        "_connected_at",
        "_connection",
        "_context",
        "_expire_at",
        "_inbox",
        "_inbox_bytes",
        "_link",
        "_meta",
        "_out",
        "_out_size",
        "_owes",
        "_rate",
        "_state",
        "_turns",
        "_worker",
        "engine",
        "id",
        "info",
        "ping_payload",
        "ping_progress",
        "ping_reach",
        "pinged_at",
        "secret",
        "subscriptions",
        "transport",
        "user",
    )  # fmt: skip

    def __init__(
        self, engine: "Engine", link: Link, transport: Transport, address: str, connection: ConnectionScope | None
    ) -> None:
        self.engine = engine
        self.transport = transport
        self.id = str(uuid.uuid4())
        self.user = ""
        self.info: Payload | None = None
        self.secret = str(uuid.uuid4()) if link.emulated or link.unidirectional else ""
        self.subscriptions = _NO_SUBSCRIPTIONS
        self.ping_payload: bytes | None = None
        self.pinged_at = 0.0
        self.ping_reach = self.ping_progress = 0
        self._link = link
        self._address = address
        self._connection = connection
        self._context = engine.contexts.current() if engine.registry.runs_code else None
        self._connected_at = engine.wall()
        self._meta: Mapping[str, Any] | None = None
        self._expire_at = 0.0
        self._state = State.CONNECTING
        self._inbox: list[Payload | Disconnect] = []
        """What is to be worked off: commands as they came, and behind them the fault that ends the session."""
        self._inbox_bytes = 0
        self._out: list[Payload] = []
        self._out_size = 0
        self._owes = False
        """Whether an answer is among what waits to go out, or something else that the client has asked for."""
        self._turns = 0
        self._worker: asyncio.Task[None] | None = None
        self._rate = engine.session_rates.limit(engine.loop.time())
        engine.alarms.set(self, engine.loop.time() + engine.settings.stale_timeout)

    # Who it is

    @property
    def codec(self) -> Codec:
        """How it speaks."""
        return self._link.codec

    @property
    def alive(self) -> bool:
        """Whether it has connected, and not ended."""
        return self._state is State.CONNECTED

    def member(self, channel_info: Payload | None) -> Member:
        """Who it is in a channel."""
        return Member(self.user, self.id, self.info, channel_info)

    def may(self, who: Who, *, subscribed: bool) -> bool:
        """Whether it is one of those who may."""
        return who == "everyone" or (who == "users" and self.user != "") or (who == "subscribers" and subscribed)

    # What the transport calls

    def on_messages(self, messages: Sequence[Payload], count: int, size: int) -> None:
        if self._state is State.ENDED:
            return
        engine, most = self.engine, self.engine.most_commands
        waiting = len(self._inbox)
        if self._state is State.CONNECTING or (self._state is State.CONNECTED and not self._link.unidirectional):
            self._keep(messages, most)
        too_many = len(self._inbox) > most or self._inbox_bytes > engine.settings.max_inbox_bytes
        # A message may hold many commands, and each is work. Nobody may send more than the rates, heard or not.
        if too_many or self._is_too_fast(max(count, len(self._inbox) - waiting), size):
            self.end(SessionRateExceeded())
        elif self._inbox and self._worker is None:
            context = self._context.copy() if self._context is not None else None
            self._worker = engine.loop.create_task(self._work(), context=context)

    def _keep(self, messages: Sequence[Payload], most: int) -> None:
        """Puts the commands of messages into the inbox, up to one more than ``most`` or to the first fault."""
        inbox, codec = self._inbox, self._link.codec
        for message in messages:
            if inbox and isinstance(inbox[-1], Disconnect):
                return
            try:
                for command in codec.split(message):
                    if self.ping_payload is not None and codec.is_pong(command):
                        self.ping_payload = None  # at once: it shows that the peer lives, however busy we are
                        continue
                    inbox.append(command)
                    self._inbox_bytes += size_of(command)
                    if len(inbox) > most:
                        return
            except ValueError as error:
                inbox.append(self._fault(error))

    def _fault(self, error: ValueError) -> BadRequest:
        _log.debug("session %s: %s", self.id, error)
        return BadRequest()

    def charge(self, work: float) -> None:
        """Counts work that was done for a command: see ``work_rate`` in the settings."""
        if self._rate is not None:
            self._rate.charge(work, self.engine.loop.time())

    def ensure_within_work(self) -> None:
        """Refuses one more command that may make much work, while that of those before is not paid off.

        Raises:
            TooManyRequests: that.
        """
        if self._rate is not None and not self._rate.has_work_left(self.engine.loop.time()):
            raise TooManyRequests

    def _is_too_fast(self, count: int, size: int) -> bool:
        return self._rate is not None and self._rate.spend(count, size, self.engine.loop.time()) is not None

    def on_lost(self, goodbye: Goodbye) -> None:
        self._finish()

    def on_fault(self, fault: Disconnect) -> None:
        self.end(in_words_of_sessions(fault))

    # What the wheel and the alarms call

    def ping(self, payload: bytes) -> None:
        """Sends the protocol's own ping."""
        self.transport.push(_ping(self.transport.framing, self._link.codec))
        if self._link.unidirectional:
            self.ping_payload = None

    def progress(self) -> int:
        return self.transport.progress()

    def reach(self) -> int:
        return self.transport.reach()

    def on_silence(self) -> None:
        self.end(NoPong())

    def on_alarm(self) -> None:
        """A deadline has passed: that of the connect, of the connection or of a subscription."""
        if self._state in (State.CONNECTING, State.REFUSED):
            # Where it is we who are late with the answer, the client may come back.
            self.end(Stale() if self._worker is None else ServerError())
            return
        settings = self.engine.settings
        now = self.engine.wall()
        grace = 0.0 if self._link.unidirectional else settings.expired_grace
        if self._expire_at and self._expire_at + grace <= now:
            self.end(ConnectionExpired())
            return
        for channel, subscription in tuple(self.subscriptions.items()):
            if subscription.expire_at and subscription.expire_at + settings.expired_subscription_grace <= now:
                if subscription.server_side:
                    self.end(SubscriptionExpired())
                    return
                self.unsubscribe(channel, 2501, "subscription expired")
        self.set_alarm()

    def set_alarm(self) -> None:
        if not self.alive:
            return
        settings = self.engine.settings
        grace = 0.0 if self._link.unidirectional else settings.expired_grace
        due = [
            one.expire_at + settings.expired_subscription_grace for one in self.subscriptions.values() if one.expire_at
        ]
        if self._expire_at:
            due.append(self._expire_at + grace)
        if due:
            self.engine.alarms.set(self, self.engine.loop.time() + min(due) - self.engine.wall())
        else:
            self.engine.alarms.clear(self)

    # Commands

    async def _work(self) -> None:
        """Works off the inbox, one command after the other."""
        try:
            while self._inbox:
                await self._keep_pace()
                if not self._inbox:  # it has ended meanwhile
                    break
                waited = self._inbox.pop(0)
                if isinstance(waited, Disconnect):
                    raise waited
                self._inbox_bytes -= size_of(waited)
                try:
                    command = self._link.codec.decode(waited)
                except ValueError as error:
                    raise self._fault(error) from None
                await self._handle(command)
        except Disconnect as fault:
            self.end(fault)
        except Exception:
            _log.exception("session %s: a command failed", self.id)
            self.end(ServerError())
        finally:
            self._worker = None
            if self._state is State.ENDED:
                self._leave_all()

    async def _handle(self, command: Command) -> None:
        if command.is_pong and self.ping_payload is not None:  # one that was too long to be looked into before
            self.ping_payload = None
            return
        method = next((name for name in METHODS if getattr(command, name) is not None), None)
        if command.is_pong or method is None or (method == "connect") != (self._state is State.CONNECTING):
            if self._state is not State.ENDED:
                raise BadRequest
            return
        if self._state is State.ENDED and method not in _WORTH_DOING:
            return
        request = getattr(command, method)
        if method in _OF_A_CHANNEL and not request.channel:
            raise BadRequest
        try:
            if method in _LOOK_UP:
                check_name(request.channel, self.engine.settings.max_channel_length)
            if method == "connect":
                await self._connect(command.id, request)
            elif method == "subscribe":
                await joining.subscribe(self, command.id, request)
            else:
                self.answer(command.id, method, await ANSWERS[method](self, request))
        except CommandError as error:
            self._refuse(command.id, error, connecting=method == "connect")
        except Disconnect:
            raise
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and not is_stray(error):
                raise
            _log.exception("session %s: %s failed", self.id, method)
            self._refuse(command.id, InternalError(), connecting=method == "connect")

    def _refuse(self, number: int, error: CommandError, *, connecting: bool) -> None:
        if connecting and self._link.unidirectional:
            _log.info("session %s: connect was refused: %d %s", self.id, error.code, error)
            raise end_for_want_of_answers(error)
        self._say(Reply(number, error=Error(error.code, error.message, error.temporary)))
        if connecting and self._state is not State.ENDED:
            self.flush()
            self._inbox = []
            self._state = State.REFUSED
            engine = self.engine
            engine.sessions.forget(self)
            engine.alarms.set(self, engine.loop.time() + min(_REFUSED_FOR, engine.settings.stale_timeout))

    def answer(self, number: int, method: str, result: Result) -> None:
        """Answers a command."""
        reply = Reply(number)
        setattr(reply, method, result)
        size = self._say(reply)
        if size >= _KIB:
            self.charge(size / _KIB)

    async def _connect(self, number: int, request: commands.ConnectRequest) -> None:
        engine = self.engine
        with engine.turns.attempt(self) as attempt:
            identity = await engine.sessions.identify(self, request)
            if self._state is not State.CONNECTING:
                return
            self.user, self.info, self._meta = identity.user, identity.info, identity.meta
            self._expire_at = identity.expire_at
            engine.sessions.know(self)
            data = self.data(identity.data)
            entries = await joining.at_connect(self, identity, request, attempt)
        if self._state is not State.CONNECTING:  # it left meanwhile
            joining.abandon(entries)
            return
        self._state = State.CONNECTED
        settings = engine.settings
        result = ConnectResult(
            client=self.id,
            version=engine.version,
            data=data,
            ping=0 if self._link.native_pings else max(1, round(settings.session_ping_interval)),
            pong=not (self._link.native_pings or self._link.unidirectional),
            session=self.secret,
            node=engine.node if self._link.emulated else "",
        )
        if self._expire_at:
            result.expires, result.ttl = True, self.ttl(self._expire_at)
        behind: list[Any] = []
        waiting = dict(entries)
        try:
            for channel, entry in entries.items():
                del waiting[channel]
                named = Subscription.OF_IDENTITY if channel in identity.subscriptions else 0
                behind += joining.commit(self, channel, entry, Subscription.SERVER_SIDE | named)
                result.subs[channel] = entry.result
            if self._link.unidirectional:
                self.push(Push(connect=Connect(**asdict(result))), owed=True)
            else:
                self.answer(number, "connect", result)
        except BaseException:
            joining.abandon(waiting)
            self._leave_all()
            raise
        self.flush(behind)
        if not self.alive:  # that was too much for it
            return
        engine.sessions.admit(self, pinged=not self._link.native_pings)
        self.set_alarm()
        for channel in entries:
            joining.announce(self, channel)

    # What commands need

    async def authorize(self, token: str, channel: str) -> Grant:
        """What a subscription token grants.

        Raises:
            CommandError: nothing.
            InvalidToken: it is another's.
        """
        if self.engine.registry.auth is None:
            raise Forbidden
        grant = await self.engine.registry.auth.authorize(token, channel, self.user, self.id)
        return grant.encoded(binary=True)

    async def call(
        self, handler: Handler, path: Mapping[str, str], known: Mapping[str, Any], payload: Payload | None
    ) -> Any:
        """Runs a handler of the app."""
        return await handler(
            SessionInfo(
                self.id, self.user, self.info, self._meta, self._link.transport, self.codec.name, self._connected_at
            ),
            self._connection,
            path=path,
            known=known,
            payload=payload,
        )

    def data(self, payload: Payload | None) -> Any:
        return NOTHING if payload is None else self.codec.data(payload)

    def ttl(self, expire_at: float) -> int:
        return math.ceil(max(0, min(expire_at - self.engine.wall(), _LONGEST_TTL)))

    # What the hub calls

    async def subscribe(self, channel: str, grant: Grant, since: Position | None = None) -> None:
        """Subscribes by the will of the server; the client is told by a push, also of a grant that replaces another.

        Raises:
            CommandError: that channel cannot be.
        """
        try:
            await joining.subscribe_by_server(self, channel, grant, since)
        except Disconnect as fault:
            self.end(fault)

    def unsubscribe(self, channel: str, code: int = 2000, reason: str = "server unsubscribe") -> None:
        """Ends a subscription; the client is told by a push."""
        if self.leave(channel):
            self.push(Push(channel=channel, unsubscribe=Unsubscribe(code, reason)))

    def remove(self, channel: str = "") -> None:
        """Ends a subscription, or all of them, by the will of the server: those too that are on their way."""
        engine = self.engine
        engine.turns.revoke(self, channel)
        for kind in engine.registry.kinds:
            kind.withdraw(self, channel)
        for name in (channel,) if channel else tuple(self.subscriptions):
            self.unsubscribe(name)

    def lose(self, channel: str) -> None:
        """Publications of ``channel`` did not arrive here: the client comes back for what it misses."""
        subscription = self.subscriptions.get(channel)
        if subscription is not None and subscription.positioned:
            if subscription.server_side:
                self.end(InsufficientState())
            else:
                self.unsubscribe(channel, 2500, "insufficient state")

    def enter(self, channel: str, subscription: Subscription) -> None:
        """Takes the session into a channel."""
        if self.subscriptions is _NO_SUBSCRIPTIONS:
            self.subscriptions = {}
        self.subscriptions[channel] = subscription

    def leave(self, channel: str) -> bool:
        """Takes the session from a channel; False if it is not there."""
        subscription = self.subscriptions.pop(channel, None)
        if subscription is None:
            return False
        rest = subscription.declaration.kind.leave(self, channel, subscription)
        if rest is not None:
            self.engine.turns.begin(self, channel, rest)
        return True

    def refresh(self, identity: Identity) -> None:
        """Makes a new identity of the same user count.

        Raises:
            InvalidToken: it is another user's.
            Expired: it is in the past.
        """
        if identity.user != self.user:
            raise InvalidToken
        if identity.expire_at and identity.expire_at <= self.engine.wall():
            raise Expired
        if identity.info is not None:
            self.info = identity.info
        self._expire_at = identity.expire_at
        self.set_alarm()

    def renew(self, identity: Identity) -> None:
        """As ``refresh``, by the will of the server; the client is told by a push.

        Raises:
            Expired: it is in the past.
        """
        self.refresh(identity)
        if not self.alive:  # the answer to its connect tells it
            return
        expires = bool(identity.expire_at)
        told = RefreshPush(expires=expires, ttl=self.ttl(identity.expire_at) if expires else 0)
        self.push(Push(refresh=told))

    def push(self, push: Push, *, owed: bool = False) -> None:
        """Tells the client something that is no answer; if it is ``owed``, it is no sign of slowness either."""
        self._owes = self._owes or owed
        self._say(Reply(push=push))

    # The way out

    async def _keep_pace(self) -> None:
        """Before a command: gives the others their turn, and lets the peer read what it was answered before."""
        self._turns += 1
        if self._turns % _COMMANDS_A_TURN == 0:
            await asyncio.sleep(0)
        if self._out_size >= _MESSAGE_SIZE:
            self.flush()
        if self.transport.answering:
            await self.transport.answered()

    def _say(self, reply: Reply) -> int:
        """Tells the client something; returns how long that is."""
        if self._state is State.ENDED:
            return 0
        message = self.codec.encode(reply)
        if reply.id:
            self._ensure_within_bound(message)
            self._owes = True
        self._out.append(message)
        self._out_size += len(message)
        if len(self._out) == 1:
            self.engine.loop.call_soon(self.flush)
        return len(message)

    def _ensure_within_bound(self, answer: Payload) -> None:
        """Refuses an answer that is larger than one may be.

        Raises:
            LimitExceeded: that.
        """
        size = size_of(answer)
        if size > self.engine.settings.max_answer_bytes:
            _log.warning(
                "session %s: an answer has %d bytes and max_answer_bytes is less: it became error 106", self.id, size
            )
            raise LimitExceeded

    def flush(self, behind: Sequence[Any] = ()) -> None:
        """Pushes what it has said, and then these batches."""
        if self._out:
            out, self._out, self._out_size = self._out, [], 0
            owes, self._owes = self._owes, False
            batch = frame(self.transport.framing, self.codec, out)
            if owes:
                self.transport.answer(batch)
            else:
                self.transport.push(batch)
        for batch in behind:
            self.transport.push(batch)

    # The end

    def end(self, fault: Disconnect) -> None:
        """Disconnects."""
        if self._state is State.ENDED:
            return
        told = not isinstance(fault, ConnectionClosed)  # the protocol has no word for it: SDKs see a lost transport
        if told and self._link.farewell and not fault.aborts:
            self.push(Push(disconnect=DisconnectPush(fault.code, fault.reason)))
        self.flush()
        self._inbox = []
        self._finish()
        if told:
            self.transport.close(fault.code, fault.reason)
        else:
            self.transport.hang_up()
        if fault.aborts:
            self.transport.abort()
        if not isinstance(fault, Shutdown):
            _log.info("session %s (%s): %d %s", self.id, self._address, fault.code, fault)

    def _finish(self) -> None:
        if self._state is State.ENDED:
            return
        self._state = State.ENDED
        self._out = []
        engine = self.engine
        engine.alarms.clear(self)
        engine.sessions.dismiss(self, self._address)
        if self._worker is not None and self._worker is not asyncio.current_task():
            # What the client sent before it left counts as said in its channels.
            Deadline(engine.loop, engine.settings.leave_grace, self._cancel_work)
        else:
            self._leave_all()
        if self._connection is not None:
            engine.begin(self._close(self._connection))

    def _cancel_work(self) -> None:
        if self._worker is not None:
            self._worker.cancel()
            grace = self.engine.settings.leave_grace
            _log.info(
                "session %s: a command is cancelled, %g s after its client left; HUBBUB_LEAVE_GRACE gives it longer",
                self.id,
                grace,
            )

    def _leave_all(self) -> None:
        for channel in tuple(self.subscriptions):
            self.leave(channel)

    async def _close(self, connection: ConnectionScope) -> None:
        if self._worker is not None:
            await asyncio.wait([self._worker])
        await connection.aclose()


_OF_A_CHANNEL = frozenset(
    ("subscribe", "unsubscribe", "publish", "presence", "presence_stats", "history", "sub_refresh")
)
_LOOK_UP = _OF_A_CHANNEL - {"unsubscribe", "sub_refresh"}
"""Commands that look up what is declared for a channel; the others are about one that the session is in."""
_WORTH_DOING = frozenset(("publish", "rpc", "send"))
"""Commands that are worked off though the client has left: they have an effect besides the answer."""
