"""Where values come from: functions and what they return, backends and what they answer."""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel
from tests.clock import Clock
from tests.hub.polls.backend import Backend

from hubbub.errors import UsageError
from hubbub.hub.handlers import Handler
from hubbub.hub.polls import Answer, BackendSource, FunctionSource, Polled, TrackedKey, sources
from hubbub.protocol.publication import Json, Publication

WANTED = (TrackedKey("a", 3), TrackedKey("b"))
KNOWN = ("keys", "items", "channel")


class Price(BaseModel):
    price: int


def asking(function: Callable[..., Any], timeout: float = 5.0) -> FunctionSource:
    return FunctionSource(Handler(function, path=("market",), known=KNOWN), timeout)


async def ask(source: FunctionSource | BackendSource) -> Answer:
    return await source.ask("prices:oslo", {"market": "oslo"}, WANTED)


# Functions


def test_a_function_gets_keys_or_items_the_channel_and_the_parameters(clock: Clock) -> None:
    got: dict[str, Any] = {}

    async def load(market: str, channel: str, keys: list[str], items: list[TrackedKey]) -> None:
        got.update(market=market, channel=channel, keys=keys, items=items)

    assert clock.run(ask(asking(load))) == Answer([])
    assert got == {"market": "oslo", "channel": "prices:oslo", "keys": ["a", "b"], "items": [("a", 3), ("b", 0)]}


def test_a_sync_function_runs_in_a_thread() -> None:
    threads = []

    def load(keys: list[str]) -> dict[str, Any]:
        threads.append(threading.current_thread())
        return dict.fromkeys(keys, 1)

    assert len(asyncio.run(ask(asking(load))).values) == 2
    assert threads != [threading.current_thread()]


@pytest.mark.parametrize(
    ("returned", "values"),
    [
        ({}, []),
        ([], []),
        (
            {"a": Price(price=1), "b": None, "c": b"[1, 2]", "d": "text"},
            [("a", Json('{"price":1}')), ("b", Json("null")), ("c", Json("[1, 2]")), ("d", "text")],
        ),
        (iter([Polled("a", [1]), Polled("b", {"p": 2})]), [("a", Json("[1]")), ("b", Json('{"p":2}'))]),
    ],
)
def test_what_a_function_returns_are_values(clock: Clock, returned: Any, values: list[tuple[str, Any]]) -> None:
    async def load(keys: list[str]) -> Any:
        return returned

    assert clock.run(ask(asking(load))) == Answer([Publication(data, key=key) for key, data in values])


def test_a_function_can_say_versions_removals_and_an_epoch(clock: Clock) -> None:
    async def load() -> list[Polled]:
        return [Polled("a", 1, version=7), Polled("b", "ignored", version=8, removed=True, epoch="e")]

    answer = clock.run(ask(asking(load)))
    assert answer == Answer(
        [Publication(Json("1"), key="a", version=7), Publication(Json(""), key="b", removed=True)], "e"
    )


class Pair(NamedTuple):
    key: str
    data: Any


@pytest.mark.parametrize("returned", [["a"], [("a", 1)], [Pair("a", 1)], {1: 2}, [Polled(1)]])  # type: ignore[arg-type]
def test_what_is_no_value_is_refused_with_what_would_be(clock: Clock, returned: Any) -> None:
    async def load() -> Any:
        return returned

    with pytest.raises(UsageError, match="return a dict of keys to data, or a list of Polled"):
        clock.run(ask(asking(load)))


def test_a_function_that_takes_too_long_is_cancelled(clock: Clock) -> None:
    ended = []

    async def load() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(clock.time())

    began = clock.time()
    with pytest.raises(TimeoutError):
        clock.run(ask(asking(load, timeout=2.0)))
    assert ended == [began + 2.0]


# Backends


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as backend:
        yield backend


def answer_of(backend: Backend, timeout: float = 5.0) -> Answer:
    source = BackendSource(backend.url, timeout)
    try:
        return asyncio.run(ask(source))
    finally:
        source.close()


def test_a_backend_is_asked_in_the_words_of_the_protocol(backend: Backend) -> None:
    assert answer_of(backend) == Answer([])
    body = b'{"channel":"prices:oslo","items":[{"key":"a","version":3},{"key":"b"}]}'
    assert backend.requests == [("/refresh?key=1", "application/json", body)]


def test_what_a_backend_answers_are_values_as_it_wrote_them(backend: Backend) -> None:
    backend.body = b"""{"result": {"items": [
        {"key": "a", "data": {"p": 1.50}, "version": 4, "prev_data": 0},
        {"key": "b", "data": ["\\u00e9",
            1e3]},
        {"key": "c", "data": "cut \\ud83d"},
        {"key": "d", "data": null, "version": 5, "removed": true}
    ], "epoch": "e"}}"""
    assert answer_of(backend) == Answer(
        [
            Publication(Json('{"p": 1.50}'), key="a", version=4),
            Publication(Json('["\\u00e9",            1e3]'), key="b"),
            Publication(Json(r'"cut \ud83d"'), key="c"),
            Publication(Json(""), key="d", removed=True),
        ],
        "e",
    )


@pytest.mark.parametrize("body", [b'{"result":null}', b'{"result":{"items":null}}', b"{}"])
def test_an_answer_may_say_nothing(backend: Backend, body: bytes) -> None:
    backend.body = body
    assert answer_of(backend) == Answer([])


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (503, b"{}", "answered 503 Service Unavailable"),
        (204, b"", "answered 204"),
        (200, b"", "no answer to a poll"),
        (200, b"<html>", "no answer to a poll"),
        (200, b"\xff", "no answer to a poll"),
        (200, b'{"result":{"items":[{"key":1}]}}', "no answer to a poll"),
        (200, b'{"error":{"code":1000,"message":"no market"}}', "with an error.*no market"),
    ],
)
def test_any_other_answer_is_a_failure(backend: Backend, status: int, body: bytes, said: str) -> None:
    backend.status, backend.body = status, body
    with pytest.raises(ConnectionError, match=said):
        answer_of(backend)


def test_a_backend_that_cannot_be_reached_is_a_failure() -> None:
    with Backend() as backend:
        pass
    with pytest.raises(ConnectionError):
        answer_of(backend)


def test_a_silent_backend_is_a_failure(backend: Backend) -> None:
    backend.pause = 0.5
    with pytest.raises(TimeoutError):
        answer_of(backend, timeout=0.05)


def test_a_backend_that_trickles_is_a_failure(backend: Backend) -> None:
    backend.trickle = 0.02
    backend.body = b" " * 500
    with pytest.raises(ConnectionError, match="takes too long"):
        answer_of(backend, timeout=0.2)


def test_an_endless_answer_is_a_failure(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_MAX_ANSWER", 100_000)
    backend.body = b" " * 200_000
    with pytest.raises(ConnectionError, match="too long"):
        answer_of(backend)


def test_a_closed_source_can_be_asked_again(backend: Backend) -> None:
    source = BackendSource(backend.url, 5.0)
    source.close()
    for _ in range(2):
        assert asyncio.run(ask(source)) == Answer([])
        source.close()


@pytest.mark.parametrize("url", ["", "refresh", "ftp://example.com/", "http:///refresh", "http://[", "http://h:port/"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="write a URL such as"):
        BackendSource(url, 5.0)


def test_a_backend_may_be_behind_tls() -> None:
    with Backend() as backend:
        source = BackendSource(backend.url.replace("http:", "https:"), 5.0)
        with pytest.raises(ssl.SSLError):  # which nobody speaks here
            asyncio.run(ask(source))
    source.close()
