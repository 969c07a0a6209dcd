"""How a WebSocket becomes a client: the way in of ``hub.connect``, and the way out."""

import logging
import secrets
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Generic, TypeVar

from fastapi.exceptions import WebSocketException
from starlette.websockets import WebSocket, WebSocketState

from hubbub.errors import Refused, Restarting, UsageError
from hubbub.hub.client import Client, ClientInfo
from hubbub.hub.deadlines import deadline
from hubbub.hub.engine import Engine
from hubbub.hub.reading import Reading
from hubbub.hub.threads import ensure_on_loop
from hubbub.hub.transport import Transport
from hubbub.transports.asgi import AsgiTransport
from hubbub.transports.entrance import Running, admit
from hubbub.transports.exchange import EXTENSION
from hubbub.transports.handshake import app_send_of

_log = logging.getLogger("hubbub")

_TAKEN = "hubbub.taken"

Message_co = TypeVar("Message_co", covariant=True)


class Connecting(Generic[Message_co]):
    """What ``hub.connect`` returns: enter it."""

    __slots__ = (
        "_client",
        "_data",
        "_ended",
        "_headers",
        "_reading",
        "_running",
        "_subprotocol",
        "_user",
        "_websocket",
    )

    def __init__(
        self, running: Running, websocket: WebSocket, reading: Reading, user: str, data: Any, subprotocol: str | None,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> None:  # fmt: skip
        self._running = running
        self._websocket = websocket
        self._reading = reading
        self._user = user
        self._data = data
        self._subprotocol = subprotocol
        self._headers: Sequence[tuple[bytes, bytes]] = headers
        self._client: Client[Message_co] | None = None
        self._ended: tuple[int, str] | None = None

    async def __aenter__(self) -> Client[Message_co]:
        websocket = self._websocket
        engine = self._running()
        ensure_on_loop(engine, "hub.connect")
        if websocket.scope.get(_TAKEN):
            raise UsageError("this WebSocket has a client already: enter hub.connect once, and use that client")
        try:
            address = admit(engine, websocket.scope)
        except (Refused, Restarting) as refused:
            raise WebSocketException(refused.code, refused.reason) from None
        engine.clients_of_user.add(self._user, self)
        try:
            client = await self._accept(engine, address, websocket.scope["path"])
        except BaseException:
            engine.admission.leave(address)
            raise
        finally:
            engine.clients_of_user.discard(self._user, self)
        # What the connection does not need while it lives.
        self._client = client
        self._data = None
        self._headers = ()
        return await client.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        assert self._client is not None
        swallowed = False
        try:
            swallowed = await self._client.__aexit__(kind, error, trace)
        finally:
            app_send = app_send_of(self._websocket.scope)
            if error is None or swallowed or app_send is None:
                # The hub may have closed past Starlette, which then must know.
                self._websocket.application_state = WebSocketState.DISCONNECTED
            else:
                # The app's exception handlers may send: that gets as far as here, and is dropped.
                app_send.mute()
                self._websocket.application_state = WebSocketState.CONNECTED
        return swallowed

    async def _accept(self, engine: Engine, address: str, path: str) -> Client[Message_co]:
        websocket = self._websocket
        extension = websocket.scope.get("extensions", {}).get(EXTENSION)
        transport: Transport = AsgiTransport(websocket, engine.policy) if extension is None else extension["transport"]
        if websocket.application_state is WebSocketState.CONNECTING:
            async with deadline(engine.settings.handshake_timeout):
                await websocket.accept(self._subprotocol, self._headers)
        websocket.scope[_TAKEN] = True
        client: Client[Message_co] = Client(
            engine,
            transport,
            ClientInfo(
                secrets.token_urlsafe(9),
                self._user,
                address,
                path,
                self._subprotocol,
                self._data,
                time.time(),
            ),
            self._reading,
        )
        engine.welcome(client)
        transport.attach(client, engine.policy)
        if engine.stopping:
            client.on_fault(Restarting("the server restarts: come back in a moment"))
        elif self._ended is not None:
            client.end(*self._ended)
        return client

    @property
    def id(self) -> str:
        """That of the client, which has none yet."""
        return ""

    def end(self, code: int, reason: str) -> None:
        """Ends the client as soon as it is accepted."""
        self._ended = code, reason
