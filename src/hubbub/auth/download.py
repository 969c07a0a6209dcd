"""A document of another server, read within one deadline for all of it.

Theory of operation. A time-out of a socket counts from one byte to the next, so a server that sends a byte now and
then holds its reader for ever. Here a timer cuts the connection at the deadline, whatever is being read then: the
TLS handshake, the head or the body. It does so through a copy of the socket, since TLS takes the socket over.
"""

import socket
import ssl
import threading
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)


def download(url: str, seconds: float, most: int) -> bytes:
    """The document at ``url``; blocks. Proxies of the environment are used, redirects are not followed.

    Args:
        url: of http or https.
        seconds: for all of it, once the address is known and connected to.
        most: bytes of the document.

    Raises:
        TimeoutError: it took longer.
        ValueError: it is longer.
        OSError: the server cannot be reached, or answers with another status than 200 to 299.
        http.client.HTTPException: what it answers is no HTTP.
    """
    cut = _Cut()
    opener = OpenerDirector()
    for handler in (ProxyHandler(), _Plain(cut), _Secure(cut), HTTPErrorProcessor(), HTTPDefaultErrorHandler()):
        opener.add_handler(handler)
    timer = threading.Timer(seconds, cut.make)
    timer.daemon = True
    timer.start()
    try:
        with opener.open(url, timeout=seconds) as response:
            document = bytes(response.read(most + 1))
    except Exception as error:
        if cut.made or isinstance(error, TimeoutError):  # the latter where not one byte came in all that time
            raise TimeoutError(f"no whole answer within {seconds:g} s") from None
        raise
    finally:
        timer.cancel()
        cut.forget()
    if cut.made:
        raise TimeoutError(f"no whole answer within {seconds:g} s")
    if len(document) > most:
        raise ValueError(f"the answer has more than {most} bytes")
    return document


class _Cut:
    """Ends a connection from another thread."""

    def __init__(self) -> None:
        self.made = False
        self._sockets: list[socket.socket] = []

    def watch(self, connected: socket.socket) -> None:
        self._sockets.append(connected.dup())
        if self.made:
            self.make()

    def make(self) -> None:
        self.made = True
        for one in tuple(self._sockets):
            with suppress(OSError):  # it has ended by itself
                one.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        for one in self._sockets:
            one.close()


class _Connection(HTTPConnection):
    cut: _Cut

    def connect(self) -> None:
        super().connect()
        self.cut.watch(self.sock)


class _SecureConnection(HTTPSConnection, _Connection):
    """Its ``connect`` goes through that of ``_Connection`` first, and then begins TLS."""


class _Plain(HTTPHandler):
    def __init__(self, cut: _Cut) -> None:
        super().__init__()
        self._cut = cut

    def http_open(self, req: Request) -> HTTPResponse:
        def connection(host: str, **options: Any) -> HTTPConnection:
            made = _Connection(host, **options)
            made.cut = self._cut
            return made

        return self.do_open(connection, req)


class _Secure(HTTPSHandler):
    def __init__(self, cut: _Cut) -> None:
        super().__init__()
        self._cut = cut

    def https_open(self, req: Request) -> HTTPResponse:
        def connection(host: str, **options: Any) -> HTTPConnection:
            made = _SecureConnection(host, **options)
            made.cut = self._cut
            return made

        return self.do_open(connection, req, context=ssl.create_default_context())
