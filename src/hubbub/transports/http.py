"""uvicorn's HTTP protocol with bounds on what a peer may keep here before it is anybody's client.

Theory of operation. uvicorn's own waits for ever for the end of a head, takes any number of header fields, and parses
all that it reads at once, also the requests that wait behind a response. Here what was read is parsed in small pieces,
and between two of them it is asked whether to go on; what must be body is parsed in large ones:

    no answer is due             parse: this is the head of a request, or the line before it is idle
    its own body is coming       parse: the app waits for it
    a response runs, all else    keep the bytes as they are; beyond a bound, stop reading

A head has ``handshake_timeout`` seconds, ``max_request_head_size`` bytes and ``max_request_headers`` fields. A fault
in what follows a running response ends the connection behind that response, as nothing can be said in its middle.

A head with a Content-Length says where the body ends. A chunked body ends with a chunk of size 0, so a large piece
stops before any line that may be this size. The pieces after it are small until more of the body comes; so trailers and
the next request are always parsed in small pieces. If content looks like such a line, parsing it only takes longer.

A request that offers an upgrade to another protocol than WebSocket is served as if it did not (RFC 9110 §7.8). The
parser leaves out its body then, so the head is parsed again without the offer.

A stop of uvicorn waits until each connection has ended. But event loops wait 30 s for a peer to answer the close of
TLS, and without limit for a peer to read what was written before. ``_end_soon`` bounds both.
"""

import asyncio
import functools
import re
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hubbub.hub.deadlines import Deadline
from hubbub.settings import Settings
from hubbub.transports.sockets import drop, send_at_once, unacknowledged

_PIECE = 1024
"""Bytes that are parsed at once, unless they are body: at most so many can become requests behind a response."""
_LARGE_PIECE = 64 * 1024
"""Bytes of a chunked body that are parsed at once, if it cannot end within them."""
_LAST_CHUNK = re.compile(rb"\n00*+(?=[\r\n; \t]|\Z)")
"""What may be the size of the last chunk: zeros, and then the end of the line or an extension (RFC 9112 §7.1)."""
_ZERO = ord("0")
_KEPT = 16 * 1024
"""Bytes behind a running response with which reading stops. One read more may be there: 256 KiB at most."""


class HttpProtocol(HttpToolsProtocol):
    """``uvicorn app:app --http hubbub.wire:HttpProtocol``; `hubbub run` and `hubbub serve` set it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings = _settings()
        self._head_timer: Deadline | None = None
        self._head_begun = False
        self._body_due = False
        self._body_left = 0
        """Bytes of the body that are still to come, where the head says how many."""
        self._chunked = False
        """Whether a chunked body is coming."""
        self._inside_body = False
        """Whether the last piece held some of a chunked body, and nothing that may be its end."""
        self._head_size = 0
        """Bytes since the last that were body: of a head, of trailers, of what is around the chunks."""
        self._running: Any = None
        """The cycle whose response is due or runs. uvicorn knows the last one alone, which may wait behind it."""
        self._declined = False
        self._kept = b""
        self._held = False
        self._deaf = False
        self._end_timer: Deadline | None = None

    # asyncio and uvicorn call these

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        send_at_once(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_awaiting()
        if self._end_timer is not None:
            self._end_timer.cancel()
        self._kept = b""
        super().connection_lost(exc)
        running = self._running
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()

    def data_received(self, data: bytes) -> None:
        if self._must_wait:
            self._keep(data)
        else:
            self._parse(data)

    def on_response_complete(self) -> None:
        if self.pipeline:
            self._running = self.pipeline[-1][0]
        super().on_response_complete()
        if self._must_wait or self.transport.is_closing():
            return
        if self._head_begun:
            self._await_head()
        kept, self._kept = self._kept, b""
        if self._held:
            self._held = False
            if not self.flow.read_paused:
                self.transport.resume_reading()
        if kept:
            self._parse(kept)

    def shutdown(self) -> None:
        super().shutdown()
        if self.transport.is_closing():
            self._stop_awaiting()
        self._end_soon(0.0)

    def handle_websocket_upgrade(self) -> None:
        if self._answering:
            self._give_up(b"400 Bad Request")
        else:
            super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        if self._answering:
            self._give_up(b"400 Bad Request")
        elif not self.transport.is_closing():  # else it has been answered
            super().send_400_response(msg)

    # The parser calls these

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_begun = True
        self._head_size = 0
        if not self._answering:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._stop_awaiting()
        self._head_begun = False
        if len(self.headers) > self._settings.max_request_headers:
            self._give_up(b"431 Request Header Fields Too Large")
            raise _TooManyFields
        self._declined = self.parser.should_upgrade() and self._get_upgrade() not in (None, b"websocket")
        if self._declined:
            return
        before, answering = self.cycle, self._answering
        super().on_headers_complete()
        if not answering:
            self._running = self.cycle
        self._body_due = self.cycle is not before
        length = next((int(value) for name, value in self.headers if name == b"content-length"), None)
        self._body_left = length or 0
        self._chunked = self._body_due and length is None

    def on_body(self, body: bytes) -> None:
        self._head_size = 0
        self._inside_body = self._chunked
        self._body_left -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._declined:
            self._body_due = self._chunked = False
            self._body_left = 0
            super().on_message_complete()

    # What is read, and what is kept

    @property
    def _answering(self) -> bool:
        """Whether a response is due or runs."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _must_wait(self) -> bool:
        return self._deaf or (self._answering and (bool(self.pipeline) or not self._body_due))

    def _keep(self, data: bytes | memoryview) -> None:
        if not self._deaf:
            self._kept += data
        if self._deaf or len(self._kept) > _KEPT:
            # Not by way of uvicorn's flow control: there, each call of the app's ``receive`` reads on.
            self._held = True
            self.transport.pause_reading()

    def _parse(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and not self.transport.is_closing():
            if self._must_wait:
                self._keep(rest)
                return
            clear = self._chunks_ahead(rest)
            size = max(_PIECE, self._body_left, clear)
            piece, rest = rest[:size], rest[size:]
            self._inside_body = False
            taken = self._parse_piece(piece)
            if taken is None:
                return
            if self._declined:
                self._declined = False
                rest = memoryview(b"".join((self._head_again(), piece[taken:], rest)))
                self.parser = _parser(self)
                continue
            self._head_size += min(len(piece), _PIECE)
            if self._inside_body:
                self._inside_body = self._chunked and (len(piece) <= clear or not _LAST_CHUNK.search(piece))
            if self._head_size > self._settings.max_request_head_size or (
                self.headers and len(self.headers) > self._settings.max_request_headers
            ):
                self._give_up(b"431 Request Header Fields Too Large")
                return

    def _chunks_ahead(self, rest: memoryview) -> int:
        """Bytes in which the chunked body that is coming cannot end; 0 if that is not known."""
        if not self._inside_body or rest[0] == _ZERO:
            return 0
        last = _LAST_CHUNK.search(rest[:_LARGE_PIECE])
        return _LARGE_PIECE if last is None else last.start() + 1

    def _parse_piece(self, piece: memoryview) -> int | None:
        """The bytes that were taken; None where nothing is to be parsed any more."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            if self._declined:
                return int(upgrade.args[0])
            if self._should_upgrade():
                self.handle_websocket_upgrade()
                return None
            self._unsupported_upgrade_warning()
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("Invalid HTTP request received.")
            return None
        return len(piece)

    def _head_again(self) -> bytes:
        """The head of the request that was read last, without the upgrade that it offers."""
        version = self.parser.get_http_version().encode()
        fields = [(name, b": ", value, b"\r\n") for name, value in self.headers if name != b"upgrade"]
        line = (self.parser.get_method(), b" ", self.url, b" HTTP/", version, b"\r\n")
        return b"".join((*line, *(part for field in fields for part in field), b"\r\n"))

    def _get_upgrade(self) -> bytes | None:
        """What is offered, with WebSocket first; both fields are lists, and may come more than once (RFC 9110 §5.3)."""
        if b"upgrade" not in self._tokens(b"connection"):
            return None
        offered = self._tokens(b"upgrade")
        return b"websocket" if b"websocket" in offered else next(iter(offered), None)

    def _tokens(self, wanted: bytes) -> list[bytes]:
        values = [value for name, value in self.headers if name == wanted]
        return [token.strip().lower() for value in values for token in value.split(b",")]

    # Ends

    def _await_head(self) -> None:
        if self._head_timer is None:
            timeout = self._settings.handshake_timeout
            self._head_timer = Deadline(self.loop, timeout, self._give_up, b"408 Request Timeout")

    def _stop_awaiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_soon(self, closing: float) -> None:
        """During a stop: ends the connection when it has been closing for long enough; so far for ``closing`` seconds.

        That is ``close_timeout`` if the peer has read everything, and ``stop_timeout`` if it has not.
        """
        limit = self._settings.stop_timeout
        if closing and not (self.transport.get_write_buffer_size() or unacknowledged(self.transport)):
            limit = 0
        if closing and closing >= limit:
            drop(self.transport)
            return
        step = self._settings.close_timeout
        so_far = closing + step if self.transport.is_closing() else 0.0
        self._end_timer = Deadline(self.loop, step, self._end_soon, so_far)

    def _give_up(self, status: bytes) -> None:
        """Ends the connection: with ``status``, or behind the response that runs."""
        self._stop_awaiting()
        self._deaf = True
        self._kept = b""
        if not self._answering:
            self.transport.write(b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status)
            self.transport.close()
        elif self._body_due:
            self.transport.close()  # the app gets no more of the body that it waits for
        else:
            self.cycle.keep_alive = False


class _TooManyFields(Exception):
    """Stops the parser."""


def _parser(protocol: HttpProtocol) -> Any:
    """As uvicorn makes it."""
    parser = httptools.HttpRequestParser(protocol)
    if hasattr(parser, "set_dangerous_leniencies"):
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


@functools.cache
def _settings() -> Settings:
    return Settings.load()
