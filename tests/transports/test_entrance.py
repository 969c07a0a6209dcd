"""Where sessions come in: who may at all, and what is known of them."""

import logging
from typing import Annotated

import pytest
from fastapi import Depends
from tests.clock import Clock
from tests.hub.fakes import FakeTransport
from tests.hub.sessions import EMULATED, WEBSOCKET, SessionStage
from tests.transports.callers import scope_of

from hubbub.errors import OriginRefused, Restarting, TooManyConnections
from hubbub.transports.entrance import address_of, admit, open_session, query_of


def test_the_address_is_what_the_server_knows() -> None:
    assert address_of(scope_of("http", "/")) == "203.0.113.7"
    for client in (None, ()):
        assert address_of(scope_of("http", "/", client=client)) == ""
    scope = scope_of("http", "/")
    del scope["client"]
    assert address_of(scope) == ""


def test_query_parameters_are_read_once_each() -> None:
    assert query_of(scope_of("http", "/")) == {}
    query = b"a=1&b=&a=2&cf_connect=%7B%22token%22%3A%22%C3%BC%22%7D&c"
    found = query_of(scope_of("http", "/", query_string=query))
    assert found == {"a": "1", "b": "", "cf_connect": '{"token":"ü"}', "c": ""}


def test_who_may_come_in_is_counted(clock: Clock) -> None:
    async def scenario() -> None:
        engine = (await SessionStage.open(max_connections=2, max_connections_per_address=1)).engine
        assert admit(engine, scope_of("http", "/")) == "203.0.113.7"
        with pytest.raises(TooManyConnections):
            admit(engine, scope_of("http", "/"))
        other = scope_of("http", "/", client=("198.51.100.1", 1))
        assert admit(engine, other) == "198.51.100.1"
        with pytest.raises(TooManyConnections):
            admit(engine, scope_of("http", "/", client=("198.51.100.2", 1)))
        engine.admission.leave("203.0.113.7")
        admit(engine, scope_of("http", "/"))

    clock.run(scenario())


def test_who_may_not_come_in_is_not_counted_and_the_log_says_why(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        engine = (await SessionStage.open(max_connections=1)).engine
        evil = scope_of("http", "/connection/sse", {"origin": "https://evil.example"})
        with pytest.raises(OriginRefused):
            admit(engine, evil)
        with pytest.raises(OriginRefused):
            admit(engine, scope_of("http", "/", [("origin", "http://app.example")] * 2))
        engine.begin_stop()
        with pytest.raises(Restarting):
            admit(engine, scope_of("http", "/"))
        engine.stopping = False
        admit(engine, scope_of("http", "/", {"origin": "http://app.example"}))

    with caplog.at_level(logging.WARNING, "hubbub"):
        clock.run(scenario())
    assert "refused /connection/sse to 203.0.113.7: origin 'https://evil.example' is not allowed" in caplog.text
    assert "the server stops" in caplog.text


def test_a_session_keeps_its_connection_only_where_a_handler_looks_at_it(clock: Clock) -> None:
    def looking(value: Annotated[int, Depends(lambda: 1)]) -> int:
        return value

    async def scenario() -> None:
        stage = await SessionStage.open()
        engine, scope = stage.engine, scope_of("websocket", "/connection/websocket")
        plain = open_session(engine, WEBSOCKET, FakeTransport(), engine.session_policy, "203.0.113.7", scope)
        stage.method("m", looking)
        kept = open_session(engine, EMULATED, FakeTransport(), engine.session_policy, "203.0.113.7", scope)
        assert plain._connection is None
        assert kept._connection is not None
        assert kept._connection.asgi["path"] == "/connection/websocket"
        assert "state" not in scope, "the server's own scope is not touched"
        assert engine.sessions.by_secret(kept.secret) is kept

    clock.run(scenario())


def test_a_session_that_begins_while_the_hub_stops_is_told_to_come_back(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        engine, transport = stage.engine, FakeTransport()
        engine.begin_stop()
        engine.admission.enter("203.0.113.7")
        scope = scope_of("websocket", "/connection/websocket")
        open_session(engine, WEBSOCKET, transport, engine.session_policy, "203.0.113.7", scope)
        assert transport.closed == [(3001, "shutdown")]

    clock.run(scenario())
