"""What the log says, once, when clients are refused for something that the app has not declared."""

import logging
import re
from typing import Any

import pytest
from tests.clock import Clock, ticks
from tests.hub.sessions import SessionStage

REFUSALS = [
    ({}, {"subscribe": {"channel": "secret"}}, 103, "may_subscribe of the channel 'secret' is 'nobody'"),
    ({}, {"publish": {"channel": "room", "data": 1}}, 103, "may_publish of the channel 'room' is 'nobody'"),
    ({"presence": True}, {"presence": {"channel": "room"}}, 103, "may_see_presence of the channel 'room'"),
    ({"presence": True}, {"presence_stats": {"channel": "room"}}, 103, "may_see_presence of the channel 'room'"),
    ({"history": 1}, {"history": {"channel": "room"}}, 103, "may_read_history of the channel 'room' is 'nobody'"),
    ({}, {"subscribe": {"channel": "rom"}}, 102, "'rom', which is not declared.*Declared are: 'secret', 'room'"),
]


@pytest.mark.parametrize(("rules", "command", "code", "advice"), REFUSALS)
def test_a_refusal_for_want_of_a_rule_names_the_rule(
    clock: Clock, caplog: pytest.LogCaptureFixture, rules: dict[str, Any], command: Any, code: int, advice: str
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("secret", may_subscribe="nobody")
        stage.channel("room", **rules)
        for guest in [await stage.enter("anna"), await stage.enter("bert")]:
            assert (await guest.ask(**command))["error"]["code"] == code

    clock.run(scenario())
    (record,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert record.name == "hubbub"
    assert "anna" not in record.getMessage()
    assert re.search(advice, record.getMessage())


def test_handlers_are_advised_where_there_can_be_one(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", may_subscribe="nobody", presence=True)
        guest = await stage.enter("anna")
        for command in ("subscribe", "publish", "presence"):
            await guest.ask(**{command: {"channel": "room", **({"data": 1} if command == "publish" else {})}})

    clock.run(scenario())
    assert "or decorate a function with its on_subscribe." in caplog.text
    assert "or decorate a function with its on_publish." in caplog.text
    assert "on_see_presence" not in caplog.text


def test_who_cannot_connect_since_nobody_can_is_explained(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open(allow_anonymous=False)
        stage.engine.registry.auth = None
        for token in ("", "my secret token", ""):
            guest = stage.arrive()
            guest.begin(connect={"token": token})
            await ticks(5)
            assert guest.closed is not None
            assert guest.closed[0] == (3500 if token else 3501)

    clock.run(scenario())
    assert caplog.text.count("auth=JWT(…)") == 2
    assert "allow_anonymous=True" in caplog.text
    assert "my secret token" not in caplog.text
