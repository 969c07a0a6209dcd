"""Where the values of polled keys come from: a function of the app, or an HTTP backend."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import Raw, Struct

from hubbub.errors import UsageError
from hubbub.hub.dependencies import SessionInfo
from hubbub.hub.handlers import Handler
from hubbub.protocol import halves
from hubbub.protocol.publication import NO_DATA, Payload, Publication, encode_for_sessions, one_line

_NOBODY = SessionInfo("", "", None, None, "", "", 0.0)
_THREADS = 32
"""Calls of one backend at the same time; the polls of more channels wait for each other."""
_MAX_ANSWER = 64 * 1024 * 1024
"""Bytes of one answer."""


class TrackedKey(NamedTuple):
    """A key that is asked for, and the version of it that the hub has (0: none)."""

    key: str
    version: int = 0


class Polled(NamedTuple):
    """The value of a key, as ``on_poll`` returns it."""

    key: str
    data: Any = None
    version: int = 0
    """With ``versioned=True``: grows with each change of this key."""
    removed: bool = False
    """The key is gone: its trackers are told, and do not track it any more."""
    epoch: str = ""
    """With ``versioned=True``: what all versions count in. Another one than before makes every client start anew."""


class Answer(NamedTuple):
    """What a source says of the keys that it was asked for; those that it does not name have not changed."""

    values: Sequence[Publication]
    epoch: str = ""


class Source(ABC):
    """Where values come from. Asked by many channels at once, and by each of them once at a time."""

    @abstractmethod
    async def ask(self, channel: str, parameters: Mapping[str, str], wanted: Sequence[TrackedKey]) -> Answer:
        """The values of ``wanted`` now.

        Raises:
            OSError: it cannot be reached, or has not answered in time, or not as it should.
            Exception: whatever else goes wrong in a function of the app.
        """

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Lets go of what it holds; it can be asked again."""


class FunctionSource(Source):
    """A function of the app. A sync one runs in a thread and cannot be interrupted: its poll lasts until it returns."""

    def __init__(self, handler: Handler, timeout: float) -> None:
        self.handler = handler
        """The function, and what it says of itself."""
        self._timeout = timeout

    async def ask(self, channel: str, parameters: Mapping[str, str], wanted: Sequence[TrackedKey]) -> Answer:
        known = {"channel": channel, "items": list(wanted), "keys": [key for key, _ in wanted]}
        async with asyncio.timeout(self._timeout):
            returned = await self.handler(_NOBODY, path=parameters, known=known)
        polled = list(_polled(returned))
        values = [value_of(one.key, _encoded(one), one.version, removed=one.removed) for one in polled]
        return Answer(values, next((one.epoch for one in polled if one.epoch), ""))


def _encoded(polled: Polled) -> Payload:
    return encode_for_sessions(polled.data, f"the value that on_poll returned for {polled.key!r}")


def _polled(returned: Any) -> Iterable[Polled]:
    if returned is None:
        return
    pairs = isinstance(returned, Mapping)
    for one in returned.items() if pairs else returned:
        polled = Polled(*one) if pairs else one
        if not isinstance(polled, Polled) or not isinstance(polled.key, str):
            raise UsageError(f"on_poll returned {one!r}; return a dict of keys to data, or a list of Polled")
        yield polled


def value_of(key: str, data: str | bytes, version: int, *, removed: bool = False) -> Publication:
    """A value as its trackers are told of it."""
    return Publication(NO_DATA if removed else data, key=key, version=0 if removed else version, removed=removed)


class _Item(Struct, omit_defaults=True):
    key: str
    version: int = 0


class _Request(Struct):
    channel: str
    items: list[_Item]


class _Value(Struct):
    key: str = ""
    data: Raw = Raw(b"null")
    version: int = 0
    removed: bool = False


class _Result(Struct):
    items: list[_Value] | None = None
    epoch: str = ""


class _Reply(Struct):
    result: _Result | None = None
    error: Any = None


_encode = msgspec.json.Encoder().encode
_reply = msgspec.json.Decoder(_Reply)


class BackendSource(Source):
    """An HTTP endpoint, which is sent ``{"channel": …, "items": [{"key": …, "version": …}]}`` by POST.

    It answers 200 and ``{"result": {"items": [{"key": …, "data": …, "version": …}], "epoch": …}}``. Calls run in
    threads of their own, so that a slow backend takes none from others.

    Raises:
        UsageError: that is no URL of http or https.
    """

    def __init__(self, url: str, timeout: float) -> None:
        try:
            parts = urlsplit(url)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"backend is {url!r}; write a URL such as 'http://localhost:8001/refresh'")
        self._connection = HTTPConnection if parts.scheme == "http" else HTTPSConnection
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout = timeout
        self._threads: ThreadPoolExecutor | None = None

    async def ask(self, channel: str, parameters: Mapping[str, str], wanted: Sequence[TrackedKey]) -> Answer:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, "hubbub-poll")
        body = _encode(_Request(channel, [_Item(*key) for key in wanted]))
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._call, body)

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    def _call(self, body: bytes) -> Answer:
        connection = self._connection(self._host, self._port, timeout=self._timeout)
        try:
            return _read(self._post(connection, body))
        except (HTTPException, ValueError) as error:
            raise ConnectionError(f"the backend answered what is no answer to a poll: {error!r}") from error
        finally:
            connection.close()

    def _post(self, connection: HTTPConnection, body: bytes) -> bytes:
        by = time.monotonic() + self._timeout
        connection.request("POST", self._target, body, {"Content-Type": "application/json"})
        with connection.getresponse() as response:
            if response.status != 200:
                raise ConnectionError(f"the backend answered {response.status} {response.reason}")
            answer = bytearray()
            while part := response.read1(65536):  # by parts, or one byte now and then would keep it for ever
                answer += part
                if time.monotonic() > by or len(answer) > _MAX_ANSWER:
                    raise ConnectionError("the backend's answer takes too long, or is too long")
        return bytes(answer)


def _read(body: bytes) -> Answer:
    reply = halves.read(_reply.decode, body)
    if reply.error is not None:
        raise ConnectionError(f"the backend answered with an error: {reply.error}")
    result = reply.result or _Result()
    values = [
        value_of(one.key, one_line(bytes(one.data).decode()), one.version, removed=one.removed)
        for one in result.items or ()
    ]
    return Answer(values, result.epoch)
