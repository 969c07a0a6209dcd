"""The hub as a FastAPI app uses it: assembly of the engine, a broker and the transports."""

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, Literal, TypeVar, Unpack, overload

import uvicorn
from fastapi import APIRouter, FastAPI
from starlette.websockets import WebSocket

from hubbub.api import api_router
from hubbub.asyncapi import asyncapi_router, describe, document
from hubbub.auth.base import Auth, Grant
from hubbub.auth.signatures import TrackSigner
from hubbub.brokers.base import NO_GUARD, Broker, Guard
from hubbub.brokers.memory import MemoryBroker
from hubbub.channels import Offer, Pattern, Recovery, Who, seconds
from hubbub.connecting import Connecting
from hubbub.declared import Channel, MapChannel, PollChannel
from hubbub.declared.arguments import ChannelRules, MapChannelRules, PollChannelRules, SettingsByName
from hubbub.declared.functions import ConnectFunction
from hubbub.errors import ForceDisconnect, UsageError
from hubbub.errors.sessions import custom_end
from hubbub.hosting import hosting_server
from hubbub.hub.client import Client
from hubbub.hub.engine import NOT_RUNNING, WITHOUT_LIFESPAN, Engine, OnGoodbye
from hubbub.hub.handlers import Handler
from hubbub.hub.maps.rules import MapMode
from hubbub.hub.messages import MessageType
from hubbub.hub.reading import Mode, reading_of
from hubbub.hub.registry import Registry
from hubbub.hub.threads import ensure_on_loop, from_thread
from hubbub.identifiers import ensure_text
from hubbub.javascript import sdk_router
from hubbub.logs import protect_logs
from hubbub.protocol.position import HistoryPage, Position
from hubbub.protocol.publication import Member
from hubbub.settings import BROKER_VARIABLE, Settings
from hubbub.stopping import on_stop
from hubbub.transports.asgi import ServerDoor
from hubbub.transports.router import sessions_router
from hubbub.workers import ensure_one_worker

ResultT = TypeVar("ResultT")
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
ConnectT = TypeVar("ConnectT", bound=ConnectFunction)
MessageT = TypeVar("MessageT")
OnGoodbyeT = TypeVar("OnGoodbyeT", bound=OnGoodbye)


class Hub:
    """Channels, and the clients of one app.

    Args:
        broker: a URL, or a broker of your own. ``memory://`` is for one process. None: the URL in the variable
            ``HUBBUB_BROKER``, or else ``memory://``.
        auth: how sessions are known by their tokens: ``JWT(secret=...)``. Without it, ``on_connect`` decides.
        settings: limits and times, by name (``Hub(message_rate=0)``); what is not given comes from the
            environment (``HUBBUB_MESSAGE_RATE``), and else from safe defaults. See ``Settings``.

    Raises:
        UsageError: the URL or a setting is wrong.
    """

    def __init__(
        self, broker: str | Broker | None = None, *, auth: Auth | None = None, **settings: Unpack[SettingsByName]
    ) -> None:
        if auth is not None and not isinstance(auth, Auth):
            raise UsageError(f"auth is {type(auth).__name__!r}; give auth=JWT(secret=…), or an instance of hubbub.Auth")
        if not isinstance(broker, str | Broker | None):
            raise UsageError(
                f"the broker is {type(broker).__name__!r}; give a URL or a hubbub.Broker, and auth= by its name"
            )
        self.settings = Settings.load(**settings)
        self._registry = Registry(auth)
        self._broker = broker if isinstance(broker, Broker) else _open(broker, self.settings)
        self._engine: Engine | None = None
        self._on_goodbye: list[OnGoodbye] = []

    @property
    def one_process(self) -> bool:
        """Whether the broker connects nothing but this process."""
        return isinstance(self._broker, MemoryBroker)

    # Life

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """Runs the hub as long as the app: ``FastAPI(lifespan=hub.lifespan)``.

        An app with a lifespan of its own enters it there: ``async with hub.lifespan(app): yield``.

        Raises:
            UsageError: the server was told to run several workers, which a broker inside one process
                cannot connect.
        """
        if self._engine is not None:
            raise UsageError("the hub is running already: give each app a hub of its own")
        if self.one_process:
            ensure_one_worker()
        protect_logs()
        server = hosting_server()
        _install_door(app, server)
        engine = Engine(self._broker, self.settings, self._registry)
        engine.on_goodbye = self._on_goodbye
        await engine.start()
        self._engine = engine
        try:
            with on_stop(engine, server):
                yield
        finally:
            await engine.stop()
            self._engine = None

    @property
    def clients(self) -> Mapping[str, Client[Any]]:
        """The live clients by their ids."""
        return MappingProxyType(self._engine.clients if self._engine is not None else {})

    # Clients

    @overload
    def connect(
        self, websocket: WebSocket, *, receive: Literal["text"] = "text", user: str = "", data: Any = None,
        subprotocol: str | None = None, headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> "Connecting[str]": ...  # fmt: skip

    @overload
    def connect(
        self, websocket: WebSocket, *, receive: Literal["bytes"], user: str = "", data: Any = None,
        subprotocol: str | None = None, headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> "Connecting[bytes]": ...  # fmt: skip

    @overload
    def connect(
        self, websocket: WebSocket, *, receive: Literal["json"], user: str = "", data: Any = None,
        subprotocol: str | None = None, headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> "Connecting[Any]": ...  # fmt: skip

    @overload
    def connect(
        self, websocket: WebSocket, *, receive: type[MessageT], user: str = "", data: Any = None,
        subprotocol: str | None = None, headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> "Connecting[MessageT]": ...  # fmt: skip

    def connect(
        self,
        websocket: WebSocket,
        *,
        receive: Mode | type[Any] = "text",
        user: str = "",
        data: Any = None,
        subprotocol: str | None = None,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> "Connecting[Any]":
        """Takes a WebSocket: ``async with hub.connect(websocket) as client``.

        Entering accepts it; leaving the block says goodbye. In between, nothing that the peer does raises:
        the body ends when the peer leaves. A body that reads sees its loop end, and has ``leave_grace``
        seconds for what is left; one that only sends is cancelled at once, its ``finally`` blocks run, and
        the cancellation stops at the end of the block. A ``WebSocketException`` closes with its code and ends here.
        Any other exception of the body closes with 1011, is logged once with the client's id, and goes on to FastAPI
        and the app's exception handlers. What these send or return is dropped, since the WebSocket is closed by then.

        Args:
            websocket: not accepted yet, or accepted by you.
            receive: what iteration gives: ``"text"`` (str), ``"bytes"``, ``"json"`` (parsed text), or a type such as
                a Pydantic model, which validates the JSON. A message of the other kind closes with 1003; text that is
                not JSON, or does not fit the type, closes with 1007 and names the field in the reason.
            user: who it is, as text: for ``client.info``, and for ``hub.disconnect(user)``. The hub does not check
                that it is true.
            data: anything you want to find again in ``client.info``.
            subprotocol: the one of ``websocket.scope["subprotocols"]`` to speak.
            headers: more headers for the answer to the handshake.

        Raises:
            fastapi.WebSocketException: on entering, before the accept: foreign Origin (1008), which answers the
                handshake with 403; too many connections (1013) or stopping (1012), which answer it with 503 and
                Retry-After, so that clients come back.
            UsageError: ``receive`` is none of these, or ``user`` no text; on entering: the hub is not running.
        """
        ensure_text(user, "user")
        return Connecting(self._running, websocket, reading_of(receive), user, data, subprotocol, list(headers))

    def on_goodbye(self, function: OnGoodbyeT) -> OnGoodbyeT:
        """Decorates a function, sync or async, that is told once how each client ended: ``(client, goodbye)``."""
        self._on_goodbye.append(function)
        return function

    # Sessions

    @overload
    def channel(
        self, pattern: str, *, message: None = None, history: int = 0, ttl: str | float = 300.0,
        recovery: Recovery | None = None, presence: bool = False, join_leave: Offer = False,
        **rules: Unpack[ChannelRules],
    ) -> Channel[Any]: ...  # fmt: skip

    @overload
    def channel(
        self, pattern: str, *, message: type[MessageT], history: int = 0, ttl: str | float = 300.0,
        recovery: Recovery | None = None, presence: bool = False, join_leave: Offer = False,
        **rules: Unpack[ChannelRules],
    ) -> Channel[MessageT]: ...  # fmt: skip

    def channel(
        self,
        pattern: str,
        *,
        message: type[Any] | None = None,
        history: int = 0,
        ttl: str | float = 300.0,
        recovery: Recovery | None = None,
        presence: bool = False,
        join_leave: Offer = False,
        **rules: Unpack[ChannelRules],
    ) -> Channel[Any]:
        """Declares the channels that sessions may know: ``chat = hub.channel("chat:{room}", history=100)``.

        The first pattern that matches a name counts. Everything that is not set is off or denied: a client needs a
        subscription token, an ``on_subscribe`` that lets it, or ``may_subscribe``.

        Args:
            pattern: a name, with parameters in braces. ``{room}`` is anything without a colon, ``{rest:path}``
                anything. With ``personal=True`` and ``#{user}``, each user's own channel.
            message: a type such as a Pydantic model, that everything published in these channels must fit: by the app
                (else a ``UsageError``) and by clients (else error 107). It is in the AsyncAPI document, and
                ``Channel[ChatMessage]`` tells type checkers. None: anything.
            history: how many publications are kept.
            ttl: how long, in seconds or as ``"90s"``, ``"1h"``, ``"7d"``.
            recovery: whether sessions that come back get what they missed: all of them (``"force"``, the default
                where there is a history), those that ask (True), none (False). ``"cache"`` gives
                every subscriber, new or returning, the newest publication alone.
            presence: whether it is kept who is there.
            join_leave: whether subscribers are told who comes and leaves: all (``"force"``), or those that ask.
            rules: the other fields of ``Rules``.

        Raises:
            UsageError: the pattern or a rule is wrong, or the pattern is declared already.
        """
        cache = {"recovery_mode": "cache", "auto_cache": True} if recovery == "cache" else {}
        if recovery is None or cache:
            recovery = "force" if history or cache else False
        given = {
            "history": history,
            "ttl": seconds(ttl, "ttl"),
            "recovery": recovery,
            "presence": presence,
            "join_leave": join_leave,
            **cache,
            **rules,
        }
        channel: Channel[Any] = Channel(Pattern(pattern), given, self._running, _message(message))
        self._registry.catalogue.add(channel.declaration)
        return channel

    @overload
    def map_channel(
        self, pattern: str, *, message: None = None, mode: MapMode = "ephemeral", key_ttl: str | float | None = None,
        may_subscribe: Who = "nobody", may_publish: Who = "nobody", may_remove: Who = "nobody",
        **rules: Unpack[MapChannelRules],
    ) -> MapChannel[Any]: ...  # fmt: skip

    @overload
    def map_channel(
        self, pattern: str, *, message: type[MessageT], mode: MapMode = "ephemeral",
        key_ttl: str | float | None = None, may_subscribe: Who = "nobody", may_publish: Who = "nobody",
        may_remove: Who = "nobody", **rules: Unpack[MapChannelRules],
    ) -> MapChannel[MessageT]: ...  # fmt: skip

    def map_channel(
        self,
        pattern: str,
        *,
        message: type[Any] | None = None,
        mode: MapMode = "ephemeral",
        key_ttl: str | float | None = None,
        may_subscribe: Who = "nobody",
        may_publish: Who = "nobody",
        may_remove: Who = "nobody",
        **rules: Unpack[MapChannelRules],
    ) -> MapChannel[Any]:
        """Declares channels of entries by key: ``board = hub.map_channel("board:{name}", mode="persistent")``.

        A subscriber gets all entries, and then each change; who comes back gets what changed meanwhile. What is
        published under a key takes the place of the entry that was there.

        Args:
            pattern: as of ``channel``.
            message: as of ``channel``: what the data of every entry must fit.
            mode: ``"ephemeral"`` entries expire, and who comes back reads them all; ``"recoverable"`` entries expire,
                and changes are kept for who comes back; ``"persistent"`` entries stay until they are removed.
            key_ttl: how long an entry is there after it was published, in seconds or as ``"60s"``.
            may_subscribe: who may come without a token or an ``on_subscribe``.
            may_publish: who may publish without an ``on_publish``.
            may_remove: who may remove entries.
            rules: the other fields of ``MapRules``, such as ``stream_size``, ``client_key`` and ``max_entries``;
                ``delta`` (not with ``"ephemeral"``), ``tags_filter``, ``presence``, ``join_leave``, ``binary``,
                ``user_limited``, ``clients_map``, ``users_map``.

        Raises:
            UsageError: the pattern or a rule is wrong, or the pattern is declared already.
        """
        times = {} if key_ttl is None else {"key_ttl": key_ttl}
        may = {"may_subscribe": may_subscribe, "may_publish": may_publish, "may_remove": may_remove}
        given = {"mode": mode, **times, **may, **rules}
        channel: MapChannel[Any] = MapChannel(Pattern(pattern), given, self._running, _message(message))
        self._registry.catalogue.add(channel.declaration)
        return channel

    def poll_channel(
        self,
        pattern: str,
        *,
        every: str | float,
        secret: str,
        previous_secret: str | None = None,
        backend: str | None = None,
        versioned: bool = False,
        may_subscribe: Who = "nobody",
        **rules: Unpack[PollChannelRules],
    ) -> PollChannel:
        """Declares channels of keys whose values are asked for: ``prices = hub.poll_channel("prices:{market}", ...)``.

        Sessions say which keys they track, as far as a signature lets them (``prices.sign``). The hub asks for all
        keys that anyone tracks, together and once in an interval, and sends each session what has changed for it.
        So ten thousand viewers cost one query. Whom to ask is said by ``@prices.on_poll`` or ``backend``.

        Args:
            pattern: as of ``channel``.
            every: from one poll to the next, in seconds or as ``"5s"``.
            secret: what signatures are made with: at least 32 random bytes.
            previous_secret: what they were made with before, for as long as such ones are about.
            backend: the URL that is asked by POST, where no function is.
            versioned: whether values come with versions of their own. Else a value that differs is a new one.
            may_subscribe: who may come without a token or an ``on_subscribe``. For each key it takes a signature.
            rules: the other fields of ``PollRules``, such as ``batch`` and ``max_keys``; ``delta``, ``user_limited``.

        Raises:
            UsageError: the pattern, the URL or a rule is wrong, or the pattern is declared already.
        """
        given = {"every": every, "versioned": versioned, "may_subscribe": may_subscribe, **rules}
        channel = PollChannel(Pattern(pattern), TrackSigner(secret, previous_secret), backend, given, self._running)
        self._registry.catalogue.add(channel.declaration)
        return channel

    def rpc(self, name: str) -> Callable[[FunctionT], FunctionT]:
        """Decorates the function that answers an RPC method: ``@hub.rpc("rooms.list")``.

        It may take the data of the call, ``method``, dependencies and a ``SessionInfo``. What it returns is the
        answer; so is a ``CommandError`` that it raises.

        Raises:
            UsageError: there is one of this name, or it has parameters that nothing gives.
        """

        if not isinstance(name, str):
            raise UsageError('an RPC method needs a name: @hub.rpc("rooms.list")')

        def declare(function: FunctionT) -> FunctionT:
            self._registry.add_method(name, Handler(function, known=("method",), message=True, scalars=True))
            return function

        return declare

    def on_connect(self, function: ConnectT) -> ConnectT:
        """Decorates the function that says who a session is: it returns an ``Identity``, or None to refuse.

        It is asked if there is no ``auth``, or the client shows no token. It may take ``token``, ``name`` and
        ``version`` of the client, its data (a model, or a parameter marked with ``Data``), dependencies, and the
        connection.

        Raises:
            UsageError: there is one already, or it has parameters that nothing gives.
        """
        if self._registry.on_connect is not None:
            raise UsageError("the hub has an on_connect function already")
        self._registry.on_connect = Handler(function, known=("token", "name", "version"), message=True)
        return function

    @cached_property
    def router(self) -> APIRouter:
        """The endpoints of sessions: ``app.include_router(hub.router)``.

        ``/connection/websocket``, ``/connection/http_stream`` and ``/connection/sse`` with ``/emulation``, and
        the one-way forms ``/connection/uni_websocket``, ``/connection/uni_http_stream``, ``/connection/uni_sse``.
        ``/connection/centrifuge.js`` is the JavaScript SDK for a ``<script>`` of a page. The page at ``asyncapi_url``
        (``/asyncapi``, for programs ``/asyncapi.json``) describes the channels.
        """
        router = sessions_router(self._running)
        router.include_router(asyncapi_router(self._registry, self.settings))
        router.include_router(sdk_router())
        router.lifespan_context = self._watch
        return router

    @cached_property
    def api(self) -> APIRouter:
        """The HTTP API for other programs: ``app.include_router(hub.api)``. Callers show ``HUBBUB_API_KEY``."""
        router = api_router(self._running)
        router.lifespan_context = self._watch
        return router

    def asyncapi(self, app: FastAPI) -> dict[str, Any]:
        """The AsyncAPI document of the hub in ``app``, without the servers: those are known to ``/asyncapi.json``."""
        return document(app, describe(self._registry))

    @contextlib.asynccontextmanager
    async def _watch(self, app: Any) -> AsyncIterator[None]:
        """The lifespan of the hub's routers: FastAPI enters it after the app's own, in which the hub should run."""
        if self._engine is None:
            self._registry.advice.give("lifespan", WITHOUT_LIFESPAN)
        yield

    def _running(self) -> Engine:
        if self._engine is None:
            raise UsageError(NOT_RUNNING)
        return self._engine

    def _here(self, method: str) -> Engine:
        """The engine, for a method that runs on its event loop."""
        engine = self._running()
        ensure_on_loop(engine, f"hub.{method}")
        return engine

    def run_sync(
        self, function: Callable[..., Coroutine[Any, Any, ResultT]], *args: Any, timeout: float | None = 10.0
    ) -> ResultT:
        """Runs an async function on the hub's event loop, from another thread: ``hub.run_sync(client.join, "lobby")``.

        All methods of the hub, of its clients and of declared channels belong to that event loop. Keyword arguments
        are given with ``functools.partial``. On another event loop call it in a thread, so that it does not block
        there: ``await asyncio.to_thread(hub.run_sync, client.send, "hello")``.

        Returns:
            What the function returns.

        Raises:
            UsageError: the hub is not running, or this is the event loop's own thread, which must not block.
            TimeoutError: the function was not done within ``timeout`` seconds; it goes on.
            Exception: whatever the function raises.
        """
        return from_thread(self._running(), partial(function, *args), timeout, "hub.run_sync")

    async def subscribe(self, user: str, channel: str, grant: Grant | None = None) -> None:
        """Subscribes all sessions of ``user`` that are connected now to ``channel``; their clients are told.

        Where a session is subscribed already, the ``info``, ``data`` and ``expire_at`` of the new grant replace those
        of the one before, and its client is told again; its overrides stay. A client that has subscribed by itself
        keeps its own subscription with the new ``info`` and ``expire_at``, and is not told.

        What a client is to be in from its connect on belongs into its ``Identity`` or its token.

        Raises:
            UsageError: the hub is not running or runs on another event loop.
            UnknownChannel: the channel is not declared.
        """
        ensure_text(user, "user")
        ensure_text(channel, "channel")
        await self._here("subscribe").sessions.subscribe(user, channel, (grant or Grant()).encoded())

    async def unsubscribe(self, user: str, channel: str = "") -> None:
        """Takes all sessions of ``user`` from ``channel``, or from all channels; their clients are told.

        A subscription that is on its way there is refused (103).

        Raises:
            UsageError: the hub is not running or runs on another event loop.
        """
        ensure_text(user, "user")
        ensure_text(channel, "channel")
        self._here("unsubscribe").sessions.unsubscribe(user, channel)

    async def disconnect(self, user: str, code: int = ForceDisconnect.code, reason: str = "") -> None:
        """Disconnects a user: all sessions, and all WebSockets of ``hub.connect(websocket, user=user)``.

        Clients come back after codes 3000 to 3499 and 4000 to 4499, and do not after 3500 to 3999 (3503 is the
        default) and 4500 to 4999.

        Raises:
            UsageError: ``code`` is none of these, or the hub is not running or runs on another event loop.
        """
        ensure_text(user, "user")
        self._here("disconnect").disconnect(user, custom_end(code, reason))

    async def presence(self, channel: str) -> Mapping[str, Member]:
        """Who is in ``channel``, by session id. Only channels with ``presence=True`` know.

        Raises:
            UsageError: the hub is not running or runs on another event loop.
        """
        ensure_text(channel, "channel")
        return await self._here("presence").members(channel)

    # Publications

    async def publish(
        self, channel: str, data: Any, *, tags: Mapping[str, str] | None = None, idempotency_key: str = ""
    ) -> Position:
        """Sends to everyone in ``channel``; never waits for a receiver, and never raises because of one.

        Args:
            channel: any name, such as ``"chat:lobby"``. It need not be declared: rooms of plain clients are not, and
                a name without anyone in it is a room where nobody is at the moment. So a misspelt name is no error;
                publish to declared channels by what ``hub.channel`` returned, which knows their names.
            data: text, bytes, a Pydantic model or anything else that JSON can hold. Bytes that are JSON, as
                ``orjson.dumps`` makes them, are JSON; other bytes need a channel with ``binary=True``, or one that
                is not declared, where there are plain clients alone and bytes go out as a binary message.
            tags: what subscribers may filter by.
            idempotency_key: a second publication with the same one, in the same channel and within five minutes,
                is not made.

        Returns:
            The position of the publication in the channel's history.

        Raises:
            UsageError: the hub is not running, ``data`` has no JSON form or is bytes that the channel does not
                carry, or this is not the hub's event loop (then: ``publish_sync``).
        """
        guard = Guard(idempotency_key) if idempotency_key else NO_GUARD
        return await self._running().publish(channel, data, tags=tags, guard=guard)

    def publish_sync(
        self,
        channel: str,
        data: Any,
        timeout: float | None = 10.0,
        *,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str = "",
    ) -> Position:
        """As ``publish``, from any other thread: a sync route, a worker, a callback.

        Raises:
            UsageError: as ``publish``; and on the event loop's own thread, which must not block.
            TimeoutError: the event loop did not get to it in ``timeout`` seconds.
        """

        async def publish() -> Position:
            return await self.publish(channel, data, tags=tags, idempotency_key=idempotency_key)

        return from_thread(self._running(), publish, timeout, "publish_sync")

    async def history(
        self, channel: str, since: Position | None = None, limit: int | None = None, *, reverse: bool = False
    ) -> HistoryPage:
        """What ``channel`` keeps, and its newest position: ``publications, top = await hub.history("chat:lobby")``.

        Args:
            since: only publications after this position; none match one of another epoch.
            limit: at most so many; ``more`` of the page says whether it keeps others. None: all.
            reverse: newest first, and with ``since`` those before it.

        Raises:
            UsageError: the broker keeps no history, ``limit`` is negative, or the hub is not running or runs on
                another event loop.
        """
        ensure_text(channel, "channel")
        return await self._here("history").read(channel, since, limit, reverse=reverse)


def _message(kind: Any) -> MessageType | None:
    return None if kind is None else MessageType(kind)


def _open(given: str | None, settings: Settings) -> Broker:
    url = os.environ.get(BROKER_VARIABLE) or "memory://" if given is None else given
    if url == "memory://":
        return MemoryBroker(max_idle_channels=settings.max_idle_channels)
    source = f"{BROKER_VARIABLE}: " if given is None else ""
    raise UsageError(f"{source}no broker for {url!r}: there is memory://, or give an instance of hubbub.Broker")


def _install_door(app: Any, server: uvicorn.Server | None) -> None:
    """Puts the ServerDoor around everything that the server runs, or else around the app's middleware; once."""
    owner, name = (app, "middleware_stack") if server is None else (server.config, "loaded_app")
    inside = getattr(owner, name, None)
    if inside is not None and not isinstance(inside, ServerDoor):
        setattr(owner, name, ServerDoor(inside))
