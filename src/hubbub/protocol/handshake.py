"""The opening handshake, server side (RFC 6455 §4.2): request bytes → request or refusal; answer → bytes.

The request comes from an HTTP parser that has checked its syntax and written it out again, one header a line;
what is checked here is what WebSocket asks for.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}
_ABSOLUTE = re.compile(rb"(?:http|ws)s?://(?:[^/?#@]*@)?([^/?#@]+)([^#]*)", re.IGNORECASE)
_FORBIDDEN = (b"\r", b"\n", b"\x00")
_NAMES = {
    name: name
    for name in (
        b"host connection upgrade origin user-agent cookie pragma cache-control accept-encoding accept-language "
        b"authorization sec-websocket-key sec-websocket-version sec-websocket-extensions sec-websocket-protocol "
        b"x-forwarded-for x-forwarded-proto x-real-ip"
    ).split()
}
"""Names that nearly every request has: one object for all connections, which keep their headers."""

Headers = list[tuple[bytes, bytes]]


class Upgrade(NamedTuple):
    """A request to open a WebSocket. ``headers`` are as received, names in lower case."""

    target: bytes
    headers: Headers
    key: bytes
    subprotocols: list[str]
    extensions: list[str]


class Refusal(NamedTuple):
    """A request that cannot open a WebSocket, and the answer to it."""

    status: int
    text: str
    headers: Headers


def parse_upgrade(head: bytes) -> Upgrade | Refusal:
    """Reads the head of a request: request line, headers, empty line."""
    request_line, *lines = head.rstrip(b"\r\n").split(b"\r\n")
    method, target, _ = request_line.split(b" ", 2)
    headers: Headers = []
    for line in lines:
        name, _, value = line.partition(b":")
        name = name.lower()
        headers.append((_NAMES.get(name, name), value.strip(b" \t")))
    if method != b"GET":
        return Refusal(405, "A WebSocket is opened with GET.", [(b"allow", b"GET")])
    if b"websocket" not in _tokens(headers, b"upgrade") or b"upgrade" not in _tokens(headers, b"connection"):
        return Refusal(426, "This is a WebSocket endpoint.", [(b"upgrade", b"websocket")])
    if _values(headers, b"sec-websocket-version") != [b"13"]:
        # §4.4: the answer lists the versions that the server speaks.
        return Refusal(426, "Use WebSocket version 13.", [(b"sec-websocket-version", b"13")])
    keys = _values(headers, b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        return Refusal(400, "Sec-WebSocket-Key must be 16 bytes in base64, once.", [])
    subprotocols = [
        token.strip().decode("latin-1")
        for value in _values(headers, b"sec-websocket-protocol")
        for token in value.split(b",")
        if token.strip()
    ]
    extensions = [value.decode("latin-1") for value in _values(headers, b"sec-websocket-extensions")]
    return Upgrade(*_origin_form(target, headers), keys[0], subprotocols, extensions)


def _origin_form(target: bytes, headers: Headers) -> tuple[bytes, Headers]:
    """The path and query of a target, and headers whose Host is that of the target, if it names one.

    A client may send the whole URI to any server, and then its host counts instead of the header's (RFC 9112 §3.2.2).
    """
    uri = _ABSOLUTE.fullmatch(target)
    if uri is None:
        return target, headers
    host, path = uri.groups()
    others = [(name, value) for name, value in headers if name != b"host"]
    return path if path.startswith(b"/") else b"/" + path, [(_NAMES[b"host"], host), *others]


def accept_response(upgrade: Upgrade, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The answer that opens the WebSocket (§4.2.2), with ``headers`` besides its own."""
    digest = hashlib.sha1(upgrade.key + _GUID, usedforsecurity=False).digest()
    own = [
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-accept", base64.b64encode(digest)),
    ]
    return response(101, [*own, *headers])


def response(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes = b"") -> bytes:
    """An HTTP response.

    Raises:
        ValueError: a header would break out of its line.
    """
    parts = [b"HTTP/1.1 %d %s\r\n" % (status, _PHRASES.get(status, b""))]
    for name, value in headers:
        if any(char in name or char in value for char in _FORBIDDEN):
            raise ValueError(f"header {name!r} contains a line break")
        parts += [name, b": ", value, b"\r\n"]
    parts += [b"\r\n", body]
    return b"".join(parts)


def _values(headers: Headers, wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name == wanted]


def _tokens(headers: Headers, wanted: bytes) -> set[bytes]:
    return {token.strip().lower() for value in _values(headers, wanted) for token in value.split(b",")}


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False
