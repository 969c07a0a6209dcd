"""Bodies of requests: read whole, refused when they are too large or too late, and nothing left open."""

import gc
import sys
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from tests.clock import Clock
from tests.transports.callers import Caller

from hubbub.brokers.memory import MemoryBroker
from hubbub.hub.engine import Engine
from hubbub.settings import Settings
from hubbub.transports.bodies import Rejected, read_body


def request_of(caller: Caller) -> Request:
    return Request(caller.scope, caller.receive)


def test_a_body_is_read_in_all_its_pieces(clock: Clock) -> None:
    async def scenario() -> None:
        engine = Engine(MemoryBroker(), Settings())
        assert await read_body(engine, request_of(Caller(body=[b"ab", b"", b"cd"])), 4, 1) == b"abcd"
        assert await read_body(engine, request_of(Caller()), 4, 1) == b""

    clock.run(scenario())


@pytest.mark.parametrize(
    ("pieces", "then", "refused"),
    [
        ([b"abc", b"de", b"f"], None, 413),
        ([b"abc", b""], None, 408),
        ([b"abc", b""], {"type": "http.disconnect"}, None),
    ],
)
def test_an_early_end_leaves_no_stream_open(
    clock: Clock, pieces: list[bytes], then: dict[str, Any] | None, refused: int | None
) -> None:
    left: list[AsyncGenerator[Any, Any]] = []

    async def scenario() -> None:
        sys.set_asyncgen_hooks(finalizer=left.append)
        caller = Caller(body=pieces)
        caller.withholds_the_end(then)
        with pytest.raises((Rejected, ClientDisconnect)) as ended:
            await read_body(Engine(MemoryBroker(), Settings()), request_of(caller), 4, 10)
        assert getattr(ended.value, "status", None) == refused
        del ended
        gc.collect()

    clock.run(scenario())
    assert left == []
