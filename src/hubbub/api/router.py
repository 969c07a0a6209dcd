"""The endpoints of the HTTP API: who may call, and how results and errors are answered."""

import functools
import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from fastapi import APIRouter
from msgspec import Raw, Struct, field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import request_response
from starlette.types import ASGIApp

from hubbub.api.methods import METHODS, decode, run
from hubbub.errors import CommandError, InternalError, InvalidRequest, MethodNotFound
from hubbub.hub.engine import Engine
from hubbub.protocol.events import Error
from hubbub.protocol.nulls import read
from hubbub.transports.bodies import Rejected, read_body
from hubbub.transports.doors import http_door
from hubbub.transports.entrance import Running

_log = logging.getLogger("hubbub")

_STATUS = {102: 404, 104: 404, 107: 400, 108: 400, 110: 400, 112: 416, 113: 409}
"""HTTP statuses of errors, for callers that ask for them."""
_MAX_BODY = 10 * 1024 * 1024
_BODY_TIMEOUT = 60.0
"""Seconds for the whole body of a call."""
_encode = msgspec.json.Encoder().encode
_NULL = Raw(b"null")


class _Batch(Struct):
    commands: list[Raw] = field(default_factory=list)
    parallel: bool = False


class _Replies(Struct, omit_defaults=True):
    replies: list[dict[str, Any]] = field(default_factory=list)


_batch = msgspec.json.Decoder(_Batch)
_methods = msgspec.json.Decoder(dict[str, Raw])


def api_router(running: Running) -> APIRouter:
    """``POST /api/<method>``, for those who show the key."""
    router = APIRouter()
    api = _Api(running)
    for name in METHODS:
        router.routes.append(http_door(f"/api/{name}", api.endpoint(functools.partial(_call, name)), ("POST",)))
    router.routes.append(http_door("/api/batch", api.endpoint(_call_all), ("POST",)))
    return router


_Call = Callable[[Engine, Request, bytes], Awaitable[Response]]


class _Api:
    def __init__(self, running: Running) -> None:
        self._running = running

    def endpoint(self, call: _Call) -> ASGIApp:
        """The app that calls one method for those who may."""

        async def answer(request: Request) -> Response:
            engine = self._running()
            if not may_call(engine, request):
                return Response(status_code=401)
            try:
                body = await read_body(engine, request, _MAX_BODY, _BODY_TIMEOUT)
            except Rejected as rejected:
                return Response(status_code=rejected.status)
            return await call(engine, request, body)

        return request_response(answer)


async def _call(name: str, engine: Engine, request: Request, body: bytes) -> Response:
    """Runs one method."""
    try:
        decoded = decode(name, body)
    except ValueError as error:
        return Response(f"cannot decode the request: {error}\n", 400, media_type="text/plain")
    try:
        result = await run(engine, name, decoded)
    except CommandError as error:
        return _failed(request, error)
    except Exception:
        _log.exception("the HTTP API's %s failed", name)
        return _failed(request, InternalError())
    return Response(b'{"result":' + _encode(result) + b"}", media_type="application/json")


async def _call_all(engine: Engine, _: Request, body: bytes) -> Response:
    """Runs the commands of a batch, one after the other."""
    try:
        commands = [_command(text) for text in read(_batch, body).commands]
    except ValueError as error:
        return Response(f"cannot decode the request: {error}\n", 400, media_type="text/plain")
    replies = [await _one(engine, command) for command in commands]
    return Response(_encode(_Replies(replies)), media_type="application/json")


async def _one(engine: Engine, command: tuple[str, Any] | CommandError) -> dict[str, Any]:
    try:
        if isinstance(command, CommandError):
            raise command
        name, request = command
        return {name: await run(engine, name, request)}
    except CommandError as error:
        return {"error": Error(error.code, error.message)}
    except Exception:
        _log.exception("a command of a batch failed")
        return {"error": Error(InternalError.code, InternalError.message)}


def _command(text: Raw) -> tuple[str, Any] | CommandError:
    """One command of a batch, which is one key, the method's name; or the error that it is answered with.

    Raises:
        ValueError: a request in it is none of its method, so that nothing of the batch is run.
    """
    if text == _NULL:
        return InvalidRequest()
    requests = read(_methods, bytes(text))
    decoded = {name: decode(name, bytes(requests[name])) for name in METHODS if requests.get(name, _NULL) != _NULL}
    return next(iter(decoded.items()), MethodNotFound("not found"))


def may_call(engine: Engine, request: Request) -> bool:
    """Whether the request shows the API key: in ``X-API-Key`` or else ``Authorization: apikey``, or in the query."""
    key = engine.settings.api_key.get_secret_value()
    in_header = request.headers.get("x-api-key")
    if not in_header:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        in_header = credentials if scheme.lower() == "apikey" else ""
    shown = (in_header, request.query_params.get("api_key", ""))
    return bool(key) and any(hmac.compare_digest(one.encode(), key.encode()) for one in shown)


def _failed(request: Request, error: CommandError) -> Response:
    content = Error(error.code, error.message)
    if request.headers.get("x-centrifugo-error-mode") == "transport":
        return Response(_encode(content), _STATUS.get(error.code, 500), media_type="application/json")
    return Response(b'{"error":' + _encode(content) + b"}", media_type="application/json")
