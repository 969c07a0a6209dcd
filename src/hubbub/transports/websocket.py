"""Sessions over WebSocket, on the fast path or on any ASGI server."""

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from hubbub.errors import Refused, Restarting
from hubbub.hub.deadlines import deadline
from hubbub.hub.link import Link
from hubbub.hub.transport import Transport
from hubbub.protocol.codecs import JSON, PROTOBUF, UNIDIRECTIONAL
from hubbub.transports.asgi import AsgiTransport
from hubbub.transports.doors import HELD
from hubbub.transports.entrance import Running, admit, open_session, query_of
from hubbub.transports.exchange import EXTENSION

_JSON = Link("websocket", JSON)
_PROTOBUF = Link("websocket", PROTOBUF)
_JSON_NATIVE = Link("websocket", JSON, native_pings=True)
_PROTOBUF_NATIVE = Link("websocket", PROTOBUF, native_pings=True)
_ONE_WAY = Link("uni_websocket", UNIDIRECTIONAL, unidirectional=True, farewell=True)
_SUBPROTOCOLS = {"centrifuge-json": JSON, "centrifuge-protobuf": PROTOBUF}


class WebSocketDoor:
    """The ASGI app of ``/connection/websocket`` and ``/connection/uni_websocket``."""

    def __init__(self, running: Running, *, unidirectional: bool = False) -> None:
        self._running = running
        self._unidirectional = unidirectional

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        engine = self._running()
        try:
            address = admit(engine, scope)
        except (Refused, Restarting) as refused:
            await send({"type": "websocket.close", "code": refused.code, "reason": refused.reason})
            return
        try:
            subprotocol = next((name for name in scope["subprotocols"] if name in _SUBPROTOCOLS), None)
            query = query_of(scope)
            link = _ONE_WAY if self._unidirectional else _link(subprotocol, query)
            # A client that only listens answers no pings but those of WebSocket.
            answers = not (link.native_pings or link.unidirectional)
            policy = engine.session_policy if answers else engine.policy
            extension = scope.get("extensions", {}).get(EXTENSION)
            transport: Transport
            # Compression is left out: messages are small, and clients that compress may send out of order.
            accept = {"type": "websocket.accept", "subprotocol": subprotocol, "hubbub.deflate": False}
            if extension is None:
                websocket = WebSocket(scope, receive, send)
                transport = AsgiTransport(websocket, policy)
                async with deadline(engine.settings.handshake_timeout):
                    await websocket.accept(subprotocol)
            else:
                transport = extension["transport"]
                await send(accept)
        except BaseException:
            engine.admission.leave(address)
            raise
        session = open_session(engine, link, transport, policy, address, scope)
        if self._unidirectional and query.get("cf_connect"):
            session.on_messages((query["cf_connect"],), 1, 0)
        await transport.serve()
        if scope.get(HELD):
            await engine.sessions.ended(session)


def _link(subprotocol: str | None, query: dict[str, str]) -> Link:
    native = query.get("cf_ws_frame_ping_pong") == "true"
    protobuf = subprotocol == "centrifuge-protobuf" or "protobuf" in (query.get("format"), query.get("cf_protocol"))
    if protobuf:
        return _PROTOBUF_NATIVE if native else _PROTOBUF
    return _JSON_NATIVE if native else _JSON
