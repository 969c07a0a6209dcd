"""The endpoints of sessions over HTTP: ``http_stream``, ``sse``, their one-way forms, and ``/emulation``."""

from collections.abc import Mapping
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hubbub.errors import Refused, Restarting
from hubbub.hub.admission import ensure_not_cross_site, ensure_origin_allowed
from hubbub.hub.engine import Engine
from hubbub.hub.link import Link
from hubbub.protocol.codecs import JSON, PROTOBUF, UNIDIRECTIONAL, Codec
from hubbub.transports.asgi import server_transport
from hubbub.transports.bodies import Rejected, read_body
from hubbub.transports.entrance import Running, admit, open_session, query_of
from hubbub.transports.handshake import retry_after
from hubbub.transports.sockets import send_at_once
from hubbub.transports.stream import ENDED, Delimited, EventStream, Lines, StreamFraming, StreamTransport

_NO_CACHE = {
    "X-Accel-Buffering": "no",
    "Cache-Control": "private, no-cache, no-store, must-revalidate, max-age=0",
    "Pragma": "no-cache",
    "Expire": "0",
}
_BINARY = "application/octet-stream"


class Form(NamedTuple):
    """How one endpoint speaks."""

    link: Link
    framing: StreamFraming
    headers: Mapping[str, str]


_EVENTS = {**_NO_CACHE, "Content-Type": "text/event-stream; charset=utf-8"}
_TEXT = {**_NO_CACHE, "Content-Type": "text/plain; charset=utf-8"}
_BYTES = {**_NO_CACHE, "Content-Type": _BINARY}
SSE = Form(Link("sse", JSON, emulated=True), EventStream(), _EVENTS)
HTTP_STREAM = Form(Link("http_stream", JSON, emulated=True), Lines(), _TEXT)
HTTP_STREAM_PROTOBUF = Form(Link("http_stream", PROTOBUF, emulated=True), Delimited(), _BYTES)
UNI_SSE = Form(Link("uni_sse", UNIDIRECTIONAL, unidirectional=True), EventStream(), _EVENTS)
UNI_HTTP_STREAM = Form(Link("uni_http_stream", UNIDIRECTIONAL, unidirectional=True), Lines(), _TEXT)


class StreamDoor:
    """The ASGI app of one endpoint that answers with a stream."""

    def __init__(self, running: Running, form: Form, methods: tuple[str, ...]) -> None:
        self._running = running
        self._form = form
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        engine = self._running()
        request = Request(scope, receive)
        if request.method not in self._methods:
            await preflight(engine, request, self._methods)(scope, receive, send)
            return
        if request.headers.get("last-event-id") == ENDED:
            # An EventSource asks again and again, unless it is answered with another status than 200.
            await Response(status_code=204, headers=cors(engine, scope))(scope, receive, send)
            return
        try:
            address = admit(engine, scope)
        except (Refused, Restarting) as refused:
            response = Response(status_code=503 if refused.reconnect else 403)
            if refused.reconnect:
                response.raw_headers.append(retry_after())
            await response(scope, receive, send)
            return
        try:
            first = await self._connect_request(engine, request)
        except Rejected as rejected:
            engine.admission.leave(address)
            await Response(status_code=rejected.status, headers=cors(engine, scope))(scope, receive, send)
            return
        except ClientDisconnect:
            engine.admission.leave(address)
            return
        except BaseException:
            engine.admission.leave(address)
            raise
        form = self._form
        if form is HTTP_STREAM and request.headers.get("content-type", "").startswith(_BINARY):
            form = HTTP_STREAM_PROTOBUF
        connection = server_transport(scope)
        if connection is not None:
            send_at_once(connection)
        transport = StreamTransport(form.framing, form.link.codec, connection)
        session = open_session(engine, form.link, transport, engine.session_policy, address, scope)
        headers = {**form.headers, **cors(engine, scope)}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": raw})
        except BaseException:
            session.on_fault(Restarting("gone"))
            raise
        session.on_messages((first,), 1, len(first))
        await transport.respond(receive, send)

    async def _connect_request(self, engine: Engine, request: Request) -> str | bytes:
        """The connect command: the body of a POST, or a query parameter."""
        one_way = self._form.link.unidirectional
        if request.method == "GET":
            query = query_of(request.scope)
            first: str | bytes = query.get("cf_connect", "{}" if one_way else "")
            if not first:
                raise Rejected(400)
        else:
            first = await read_body(
                engine, request, engine.settings.max_message_size, engine.settings.handshake_timeout
            )
        if one_way and not _is_connect_request(first):
            raise Rejected(400)
        return first


def _is_connect_request(data: str | bytes) -> bool:
    try:
        UNIDIRECTIONAL.decode(data)
    except ValueError:
        return False
    return True


class EmulationDoor:
    """The ASGI app of ``/emulation``: the way back of transports that have none."""

    def __init__(self, running: Running) -> None:
        self._running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        engine = self._running()
        request = Request(scope, receive)
        if request.method != "POST":
            await preflight(engine, request, ("POST",))(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            ensure_not_cross_site(headers.getlist("origin"), headers.get("sec-fetch-site"))
            ensure_origin_allowed(headers.getlist("origin"), headers.get("host"), engine.settings.allowed_origins)
            status = await self._take(engine, request)
        except Refused:
            status = 403
        except Rejected as rejected:
            status = rejected.status
        except ClientDisconnect:
            return
        await Response(status_code=status, headers=cors(engine, scope))(scope, receive, send)

    async def _take(self, engine: Engine, request: Request) -> int:
        body = await read_body(engine, request, engine.settings.max_message_size, engine.settings.handshake_timeout)
        codec: Codec = PROTOBUF if request.headers.get("content-type", "").startswith(_BINARY) else JSON
        try:
            emulated = codec.decode_emulation(body)
        except ValueError:
            return 400
        if emulated.node != engine.node:
            return 404
        session = engine.sessions.by_secret(emulated.session)
        if session is not None:
            data = bytes(emulated.data)
            session.on_messages((data,), 1, len(data))
        return 204


def cors(engine: Engine, scope: Scope) -> dict[str, str]:
    """What lets a page of an allowed origin see the answer."""
    headers = Headers(scope=scope)
    origins = headers.getlist("origin")
    try:
        ensure_origin_allowed(origins, headers.get("host"), engine.settings.allowed_origins)
    except Refused:
        return {}
    if not origins:
        return {}
    return {"Access-Control-Allow-Origin": origins[0], "Access-Control-Allow-Credentials": "true", "Vary": "Origin"}


def preflight(engine: Engine, request: Request, methods: tuple[str, ...]) -> Response:
    """The answer to OPTIONS; and to any other method that is none of ``methods``."""
    if request.method != "OPTIONS":
        return Response(status_code=405, headers={"Allow": ", ".join((*methods, "OPTIONS"))})
    headers = cors(engine, request.scope)
    wanted = request.headers.get("access-control-request-headers")
    if headers and wanted:
        headers["Access-Control-Allow-Headers"] = wanted
    return Response(
        status_code=204,
        headers={
            "Access-Control-Max-Age": "300",
            "Access-Control-Allow-Methods": ", ".join((*methods, "OPTIONS")),
            **headers,
        },
    )
