"""How the terminal reaches the channels of a server: as a session over WebSocket, or over the HTTP API with its key."""

import asyncio
import itertools
import json
import re
import socket
import ssl
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from hubbub.errors import BadRequest, HubbubError, InvalidToken, UsageError

_TIMEOUT = 10.0
"""Seconds for one answer of the server."""
_TLS_TIMEOUT = 3.0
"""Seconds for a look at whether a server that gave no good answer speaks TLS."""
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_SESSION_PATH = "/connection/websocket"
_API_PATH = "/api"


class Refused(HubbubError):
    """The server could not be reached, or said no; the message is for the terminal."""


def open_url(url: str, token: str | None) -> str:
    """The WebSocket URL for what was typed: without a scheme, or with that of a page; plus the token.

    Raises:
        UsageError: it is none.
    """
    wrong = UsageError(f"{url!r} is no WebSocket address: try ws://127.0.0.1:8000/ws/echo")
    try:
        parts = urlsplit(url if _SCHEME.match(url) else f"ws://{url}")
        _ = parts.port  # looked at here, since only looking says that it is none
    except ValueError:
        raise wrong from None
    if parts.scheme not in _SCHEMES or not parts.netloc:
        raise wrong
    query = parse_qsl(parts.query, keep_blank_values=True)
    if token is not None:
        query.append(("token", token))
    return urlunsplit(parts._replace(scheme=_SCHEMES[parts.scheme], query=urlencode(query)))


def address(url: str, path: str, *, web: bool = False) -> str:
    """The address for what was typed, as ``open_url`` has it; ``path`` where it has none.

    Raises:
        UsageError: it is none.
    """
    parts = urlsplit(open_url(url, None))
    scheme = parts.scheme.replace("ws", "http") if web else parts.scheme
    return urlunsplit(parts._replace(scheme=scheme, path=parts.path.rstrip("/") or path))


def unreachable(url: str, error: Exception) -> str:
    """Why a server cannot be reached, with its host and what to look at."""
    parts = urlsplit(url)
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    where = parts.hostname or url
    match error:
        case ssl.SSLCertVerificationError():
            return (
                f"the certificate of {parts.netloc} is not trusted ({error.verify_message}): check the host, or name "
                "the file of the certificate's authority in the variable SSL_CERT_FILE"
            )
        case ssl.SSLError() if "ALERT" not in (error.reason or ""):  # an alert is TLS
            return f"{parts.netloc} seems not to speak TLS: begin the address with {parts.scheme.removesuffix('s')}://"
        case OSError(errno=int(number)) if number < 0:  # of getaddrinfo
            return f"cannot find the host {where!r} ({why}): look for a typing error, or check the network"
        case TimeoutError():
            return f"{parts.netloc} does not answer: check host and port, and whether a firewall is in between"
        case ConnectionRefusedError():
            return f"nothing listens on {parts.netloc}: start the server, or check host and port"
        case InvalidURI():
            return f"{parts.netloc} redirects to {error.uri.partition('?')[0]}: give that address"
    return _hint_of_tls(url) or f"cannot connect to {parts.netloc}: {why}"


def refused(url: str, status: int, hints: Mapping[int, str]) -> str:
    """What the server answered instead, with a hint for its status: one of these, or one that is true of any server."""
    hint = hints.get(status) or ("the app failed: see the log of the server" if status == 500 else "")
    if status == 400:  # so nginx and others answer on a port for TLS
        hint = _hint_of_tls(url) or hint
    return f"refused with HTTP {status}" + (f": {hint}" if hint else "")


def _hint_of_tls(url: str) -> str:
    """What to type for a server that gave no good answer, if it speaks TLS and was not asked so; else empty."""
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "http"):
        return ""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent, and nothing that comes is believed
    try:
        with (
            socket.create_connection((parts.hostname, parts.port or 80), _TLS_TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=parts.hostname),
        ):
            return f"{parts.netloc} speaks TLS: begin the address with {parts.scheme}s://"
    except OSError:
        return ""


class Caller(ABC):
    """What can ask a server for something about a channel."""

    @abstractmethod
    async def call(self, method: str, request: dict[str, Any]) -> dict[str, Any]:
        """The result of a method of the Centrifuge protocol.

        Raises:
            Refused: there is none.
        """


class ApiCaller(Caller):
    """By ``POST /api/<method>``, with the key of the HTTP API: may do anything."""

    def __init__(self, url: str, key: str) -> None:
        self._url = address(url, _API_PATH, web=True)
        self._key = key

    async def call(self, method: str, request: dict[str, Any]) -> dict[str, Any]:
        return await asyncio.to_thread(self._post, method, request)

    def _post(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - the address is http or https
            f"{self._url}/{method}",
            json.dumps(body).encode(),
            {"X-API-Key": self._key, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310
                reply = json.loads(response.read())
        except urllib.error.HTTPError as error:
            hints = {
                401: "the API key is wrong, or the server has none: HUBBUB_API_KEY there and --api-key here",
                404: "there is no HTTP API: app.include_router(hub.api)",
            }
            raise Refused(refused(self._url, error.code, hints)) from None
        except urllib.error.URLError as error:
            reason = error.reason if isinstance(error.reason, Exception) else error
            raise Refused(unreachable(self._url, reason)) from None
        except (OSError, ValueError) as error:
            raise Refused(unreachable(self._url, error)) from None
        return _result(reply, "result")


class SessionCaller(Caller):
    """As one session over WebSocket, with what its token allows."""

    def __init__(self, url: str, token: str) -> None:
        self._url = address(url, _SESSION_PATH)
        self._token = token
        self._ids = itertools.count(1)
        self._pushes: list[dict[str, Any]] = []
        self._socket: ClientConnection

    async def __aenter__(self) -> Self:
        try:
            self._socket = await connect(self._url, max_size=None, open_timeout=_TIMEOUT)
        except InvalidStatus as error:
            hints = dict.fromkeys((403, 404), "is app.include_router(hub.router) in the app?")
            raise Refused(refused(self._url, error.response.status_code, hints)) from None
        except (OSError, InvalidHandshake, InvalidURI, TimeoutError) as error:
            raise Refused(unreachable(self._url, error)) from None
        try:
            await self.call("connect", {"token": self._token} if self._token else {})
        except BaseException:
            await self._socket.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()

    async def call(self, method: str, request: dict[str, Any]) -> dict[str, Any]:
        number = next(self._ids)
        try:
            async with asyncio.timeout(_TIMEOUT):
                await self._socket.send(json.dumps({"id": number, method: request}))
                async for reply in self._replies():
                    if reply.get("id") == number:
                        return _result(reply, method)
                    self._pushes.append(reply)
        except ConnectionClosed:
            pass
        except TimeoutError:
            raise Refused(f"no answer to {method} within {_TIMEOUT:.0f} s") from None
        raise Refused(self._end())

    async def pushes(self) -> AsyncIterator[dict[str, Any]]:
        """What the server pushes; ends with ``Refused`` when the server ends the connection."""
        for reply in self._pushes:
            yield reply.get("push", {})
        try:
            async for reply in self._replies():
                if "push" in reply:
                    yield reply["push"]
        except ConnectionClosed:
            pass
        raise Refused(self._end())

    async def _replies(self) -> AsyncIterator[dict[str, Any]]:
        async for message in self._socket:
            for line in message.splitlines():
                reply = json.loads(line)
                if reply:
                    yield reply
                else:
                    await self._socket.send("{}")

    def _end(self) -> str:
        code, reason = self._socket.close_code, self._socket.close_reason
        hint = ""
        if self._token and code == InvalidToken.code:
            hint = "; look at the token with: hubbub token check"
        elif not self._token and code == BadRequest.code:
            hint = "; show a token with --token, or let anybody connect: Hub(allow_anonymous=True)"
        return f"the server closed the connection: {code}{f' {reason}' if reason else ''}{hint}"


def _result(reply: Any, name: str) -> dict[str, Any]:
    if not isinstance(reply, dict):
        raise Refused("this is no server of the Centrifuge protocol")
    if "error" in reply:
        error = reply["error"]
        raise Refused(f"error {error.get('code')}: {error.get('message', '')}")
    result = reply.get(name) or {}
    assert isinstance(result, dict)
    return result
