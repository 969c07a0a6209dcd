"""uvicorn's HTTP protocol with bounds on a request's head: how long a peer may take to send it, and its size.

uvicorn waits for ever for the end of a head that has begun, or never begins: a connection that costs a file
descriptor and that no limit of the hub sees, since it is no client yet.
"""

import asyncio
import functools
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hubbub.settings import Settings

_LARGEST_HEAD = 64 * 1024
"""Bytes of a request's head that are read before its end must have come."""


class HttpProtocol(HttpToolsProtocol):
    """``uvicorn app:app --http hubbub.wire:HttpProtocol``; `hubbub run` and `hubbub serve` set it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_size = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        self._stop_awaiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_awaiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_timer is not None:
            self._head_size += len(data)
            if self._head_size > _LARGEST_HEAD:
                self._give_up(b"431 Request Header Fields Too Large")

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_size = 0
            self._head_timer = self.loop.call_later(_timeout(), self._give_up, b"408 Request Timeout")

    def _stop_awaiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self, status: bytes) -> None:
        self._stop_awaiting()
        self.transport.write(b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status)
        self.transport.close()


@functools.cache
def _timeout() -> float:
    return Settings.load().handshake_timeout
