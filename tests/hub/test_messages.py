"""What is published in a channel with a message type is of that type, whoever publishes it, and however."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.testclient import TestClient
from tests.clock import Clock, ticks
from tests.hub.sessions import SessionStage

from hubbub import Channel, Hub, MapChannel, UsageError
from hubbub.asyncapi import describe
from hubbub.hub.messages import MessageType


class Line(BaseModel):
    text: str = Field(max_length=5)
    by: str = ""


class Loud(Line):
    times: int = 1


LINE = MessageType(Line)


@pytest.mark.parametrize("data", [Line(text="hi"), Loud(text="hi"), {"text": "hi"}, b'{"text":"hi"}'])
def test_the_app_publishes_what_fits(data: Any) -> None:
    published(lambda chat: chat.publish(data, room="a"), heard={"text": "hi"})


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"txt": "hi"}, "text: Field required"),
        ("hi", "data: Input should be a valid dictionary or instance of Line"),
        (None, "data: Input should be a valid dictionary or instance of Line"),
        (b'{"text":"much too long"}', "text: String should have at most 5 characters"),
    ],
)
def test_the_app_is_told_what_does_not_fit(data: Any, told: str) -> None:
    async def publish(chat: Channel[Any]) -> None:
        with pytest.raises(UsageError) as caught:
            await chat.publish(data, room="a")
        assert str(caught.value) == f"what is published to 'chat:a' is not of the channel's message type: {told}"

    published(publish, heard=None)


def published(publish: Callable[[Channel[Any]], Any], heard: Any) -> None:
    """What the history has after that, as far as it is given."""
    hub = Hub()
    chat = hub.channel("chat:{room}", message=Line, history=1)
    with TestClient(FastAPI(lifespan=hub.lifespan)) as client:
        assert client.portal is not None
        client.portal.call(publish, chat)
        page = client.portal.call(hub.history, "chat:a")
    data = [json.loads(one.data) for one in page.publications]
    assert [{name: one[name] for name in heard} for one in data] == ([] if heard is None else [heard])


def test_by_its_name_a_channel_is_checked_too_and_so_is_an_entry_of_a_map() -> None:
    hub = Hub()
    hub.channel("chat", message=Line)
    board = hub.map_channel("board", message=Line, mode="persistent")
    assert isinstance(board, MapChannel)
    with TestClient(FastAPI(lifespan=hub.lifespan)) as client:
        assert client.portal is not None

        async def publish() -> None:
            with pytest.raises(UsageError, match="message type: text: Field required"):
                await hub.publish("chat", {})
            with pytest.raises(UsageError, match="message type: text: Field required"):
                await board.publish("key", {})  # type: ignore[arg-type]
            await board.publish("key", Line(text="hi"))
            await hub.publish("another", {})

        client.portal.call(publish)


def test_a_client_publishes_what_fits_as_it_came(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        stage.channel("room", may_publish="everyone", message=LINE)
        listener, guest = await stage.subscribed("room"), await stage.enter()
        assert "publish" in await guest.ask(publish={"channel": "room", "data": {"text": "hi", "more": 1}})
        for data, told in (
            ({"text": "too long"}, "text: String should have at most 5 characters"),
            ([1], "data: Input should be an object"),
        ):
            reply = await guest.ask(publish={"channel": "room", "data": data})
            assert reply["error"] == {"code": 107, "message": told}
        assert (await guest.ask(publish={"channel": "room"}))["error"]["code"] == 107
        await ticks(3)
        assert [push["pub"]["data"] for push in listener.pushes()] == [{"text": "hi", "more": 1}]

    clock.run(scenario())


def test_a_handler_may_take_another_type_and_publish_the_channels(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()

        async def moderate(message: list[str]) -> Any:
            return {"ok": Line(text=message[-1]), "wrong": {"txt": 1}}.get(message[0])

        stage.channel("room", on_publish=moderate, message=LINE)
        listener, guest = await stage.subscribed("room"), await stage.enter()
        for data, code in ((["ok", "hi"], None), (["wrong", ""], 100), (["raw"], 107)):
            reply = await guest.ask(publish={"channel": "room", "data": data})
            assert reply.get("error", {}).get("code") == code
        await ticks(3)
        assert [push["pub"]["data"] for push in listener.pushes()] == [{"text": "hi", "by": ""}]

    clock.run(scenario())
    assert "what on_publish of 'room' returned is not of the channel's message type" in caplog.text


def test_other_programs_publish_what_fits() -> None:
    hub = Hub(api_key="key")
    hub.channel("room", message=Line)
    hub.map_channel("board", message=Line, mode="persistent")
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.api)
    with TestClient(app) as client:

        def ask(method: str, **request: Any) -> Any:
            answer = client.post(f"/api/{method}", json=request, headers={"X-API-Key": "key"}).json()
            return answer.get("error", {}).get("message")

        for data, told in (({"text": "hi"}, None), ({"text": 1}, "text: Input should be a valid string")):
            assert ask("publish", channel="room", data=data) == told
            assert ask("map_publish", channel="board", key="a", data=data) == told


def test_the_message_type_is_in_the_document() -> None:
    hub = Hub()
    hub.channel("news", message=Line)
    hub.channel("chat", message=Line, may_publish="users")
    described = describe(hub._registry)
    for channel, operations in (("news", ["send_news"]), ("chat", ["send_chat", "publish_chat"])):
        for operation in operations:
            (message,) = described["operations"][operation]["messages"]
            assert message == {"$ref": f"#/channels/{channel}/messages/Line"}
    assert "Line" in str(described["components"]["schemas"])
    assert [name for name in described["operations"] if "publish" in name] == ["publish_chat"]


def test_what_pydantic_cannot_validate_is_refused_at_the_declaration() -> None:
    with pytest.raises(UsageError, match=r"message: Pydantic cannot validate .*; give a model"):
        Hub().channel("news", message=SessionStage)
    with pytest.raises(UsageError, match="message is bytes, which are not JSON"):
        Hub().channel("news", message=bytes)
