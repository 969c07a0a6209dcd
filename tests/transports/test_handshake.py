"""What the app sends before the accept and after the end, as the server gets it."""

from typing import Any

import pytest
from starlette.types import Message
from tests.clock import Clock

from hubbub.transports.handshake import AppSend

EXTENSION: dict[str, Any] = {"websocket.http.response": {}}


def sent_for(clock: Clock, extensions: dict[str, Any], *messages: Message) -> list[Message]:
    """What the server gets of what the app sends."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def scenario() -> None:
        app_send = AppSend({"type": "websocket", "extensions": extensions}, send)
        for message in messages:
            await app_send(message)

    clock.run(scenario())
    return sent


@pytest.mark.parametrize("code", [1012, 1013])
def test_a_close_that_says_come_back_is_a_503_before_the_accept(clock: Clock, code: int) -> None:
    start, body = sent_for(clock, EXTENSION, {"type": "websocket.close", "code": code, "reason": "full: \ud83d"})
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 503)
    headers = dict(start["headers"])
    assert 1 <= int(headers[b"retry-after"]) <= 10
    assert headers[b"content-length"] == b"7"
    assert body == {"type": "websocket.http.response.body", "body": b"full: ?"}


def test_where_the_server_has_no_way_to_say_503_the_code_is_told_behind_an_accept(clock: Clock) -> None:
    close = {"type": "websocket.close", "code": 1013, "reason": "full"}
    assert sent_for(clock, {}, close) == [{"type": "websocket.accept"}, close]


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "websocket.close", "code": 1008}],
        [{"type": "websocket.close"}],
        [{"type": "websocket.accept"}, {"type": "websocket.close", "code": 1013}],
        [{"type": "websocket.http.response.start", "status": 401}, {"type": "websocket.http.response.body"}],
    ],
)
def test_everything_else_goes_on_as_it_is(clock: Clock, messages: list[Message]) -> None:
    assert sent_for(clock, EXTENSION, *messages) == messages
