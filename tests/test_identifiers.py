"""Users, channels and keys are text: what is none is refused where it comes in, by every way in."""

import datetime
import enum
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from hubbub import JWT, Client, Grant, Hub, Identity, UsageError
from hubbub.channels import Pattern
from hubbub.declared import PollChannel
from hubbub.identifiers import ensure_text

NUMBER = uuid.UUID(int=42)
SECRET = "a secret that only the tests know of, really"


class Room(enum.StrEnum):
    LOBBY = "lobby"


class Floor(str, enum.Enum):  # noqa: UP042 - as apps have it
    ROOF = "roof"


class Markup(str):
    """As markupsafe, NumPy and SQLAlchemy have such classes: no codec knows them."""

    def __repr__(self) -> str:
        return f"Markup({super().__repr__()})"


class Seat(enum.IntEnum):
    FIRST = 1


class Color(enum.Enum):
    RED = "red"


@given(st.text())
def test_any_text_that_has_a_utf8_form_is_an_identifier(text: str) -> None:
    ensure_text(text, "channel")


def test_text_of_an_enum_is_text() -> None:
    ensure_text(Room.LOBBY, "channel")
    ensure_text(Floor.ROOF, "channel")


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (42, "user is 42, which is no text; give str(42)"),
        (NUMBER, f"user is {NUMBER!r}, which is no text; give str({NUMBER!r})"),
        (b"anna", "user is b'anna', which is no text; give its text: ….decode()"),
        (None, "user is None, which is no text; give '' for none"),
        (["a"], "user is ['a'], which is no text; give str(['a'])"),
        (Markup("anna"), "user is Markup('anna'), which is a Markup and no plain text; give str(Markup('anna'))"),
        (Color.RED, "user is <Color.RED: 'red'>, which is no text; give str(<Color.RED: 'red'>)"),
    ],
)
def test_what_is_no_text_is_refused_with_the_remedy(value: object, complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        ensure_text(value, "user")
    assert str(caught.value) == complaint


@pytest.mark.parametrize("text", ["\ud800", "x\udfff", "\udc00\ud800"])
def test_half_a_surrogate_pair_is_refused_wherever_it_is(text: str) -> None:
    with pytest.raises(UsageError, match="half a surrogate pair has no UTF-8 form; take it out"):
        ensure_text(text, "user")


def test_a_complaint_about_something_long_is_short() -> None:
    with pytest.raises(UsageError) as caught:
        ensure_text(["x" * 1000], "user")
    assert len(str(caught.value)) < 250


# Parameters of patterns


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("lobby", "lobby"),
        (7, "7"),
        (-7, "-7"),
        (NUMBER, "00000000-0000-0000-0000-00000000002a"),
        (Room.LOBBY, "lobby"),
        (Floor.ROOF, "roof"),
        (Seat.FIRST, "1"),
        (Color.RED, "red"),
    ],
)
def test_a_parameter_stands_in_the_name_as_a_handler_reads_it(value: object, text: str) -> None:
    assert Pattern("chat:{room}").name({"room": value}) == f"chat:{text}"


@pytest.mark.parametrize("value", [None, True, 1.0, b"x", ["a"], object(), datetime.date(2030, 1, 1), enum.Enum])
def test_a_parameter_whose_text_could_be_another_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match=r"^room is .*; give text, a whole number or a UUID$"):
        Pattern("chat:{room}").name({"room": value})


def test_a_misspelt_parameter_is_named_with_the_right_one() -> None:
    with pytest.raises(UsageError) as caught:
        Pattern("chat:{room}").name({"romm": "lobby"})
    assert str(caught.value) == "channel 'chat:{room}' takes room; given: romm; did you mean 'room'?"


# The ways in

Call = Callable[[Hub, Any], Awaitable[Any]]
Join = Callable[[Client[str], Any], Awaitable[Any]]


def polled() -> PollChannel:
    return Hub().poll_channel(
        "prices", every=1, secret="s" * 32, versioned=True, publish_enabled=True, backend="http://x.example"
    )


CALLS: dict[str, Call] = {
    "publish": lambda hub, bad: hub.publish(bad, 1),
    "idempotency_key": lambda hub, bad: hub.publish("c", 1, idempotency_key=bad),
    "history": lambda hub, bad: hub.history(bad),
    "presence": lambda hub, bad: hub.presence(bad),
    "disconnect": lambda hub, bad: hub.disconnect(bad),
    "subscribe a user": lambda hub, bad: hub.subscribe(bad, "declared"),
    "subscribe to": lambda hub, bad: hub.subscribe("anna", bad),
    "unsubscribe a user": lambda hub, bad: hub.unsubscribe(bad),
    "unsubscribe from": lambda hub, bad: hub.unsubscribe("anna", bad),
}
JOINS: dict[str, Join] = {"join": Client.join, "leave": Client.leave}
AT_ONCE: dict[str, Callable[[Any], Any]] = {
    "identity": lambda bad: Identity(user=bad).encoded(),
    "identity's channel": lambda bad: Identity(subscriptions={bad: Grant()}).encoded(),
    "token": lambda bad: JWT(secret=SECRET).token(bad),
    "subscription token of": lambda bad: JWT(secret=SECRET).subscription_token(bad, "c"),
    "subscription token for": lambda bad: JWT(secret=SECRET).subscription_token("anna", bad),
    "pattern": lambda bad: Hub().channel(bad),
    "connect": lambda bad: Hub().connect(None, user=bad),  # type: ignore[arg-type]
    "signed user": lambda bad: polled().sign(bad, ["a"]),
    "signed key": lambda bad: polled().sign("anna", ["a", bad]),
}


@pytest.mark.parametrize("bad", [42, NUMBER, b"42"], ids=repr)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_running_hub_takes_nothing_but_text(call: Call, bad: Any) -> None:
    hub = Hub()
    hub.channel("declared")
    with TestClient(FastAPI(lifespan=hub.lifespan)) as client:
        assert client.portal is not None

        async def use() -> None:
            with pytest.raises(UsageError, match="which is no text; give"):
                await call(hub, bad)

        client.portal.call(use)


@pytest.mark.parametrize("bad", [42, NUMBER, b"42"], ids=repr)
@pytest.mark.parametrize("join", JOINS.values(), ids=JOINS)
def test_a_client_joins_and_leaves_nothing_but_text(join: Join, bad: Any) -> None:
    hub = Hub()
    app = FastAPI(lifespan=hub.lifespan)

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        async with hub.connect(websocket) as client:
            with pytest.raises(UsageError, match=r"channel is .* which is no text; give"):
                await join(client, bad)
            await client.send("refused")

    with TestClient(app) as client, client.websocket_connect("/ws") as websocket:
        assert websocket.receive_text() == "refused"


@pytest.mark.parametrize("bad", [42, NUMBER, b"42"], ids=repr)
@pytest.mark.parametrize("make", AT_ONCE.values(), ids=AT_ONCE)
def test_nothing_but_text_is_taken_before_the_hub_runs(make: Callable[[Any], Any], bad: Any) -> None:
    with pytest.raises(UsageError, match="which is no text; give"):
        make(bad)


@pytest.mark.parametrize("bad", [42, NUMBER, b"42"], ids=repr)
def test_keys_of_maps_and_polls_are_text(bad: Any) -> None:
    hub = Hub()
    board = hub.map_channel("board:{name}", mode="persistent")
    prices = hub.poll_channel(
        "prices", every=1, secret="s" * 32, versioned=True, publish_enabled=True, backend="http://x.example"
    )
    with TestClient(FastAPI(lifespan=hub.lifespan)) as client:
        assert client.portal is not None

        async def use() -> None:
            for call in (
                lambda: board.publish(bad, 1, name="a"),
                lambda: board.publish("key", 1, idempotency_key=bad, name="a"),
                lambda: board.publish("key", 1, tags={"a": bad}, name="a"),
                lambda: board.publish("key", 1, tags={bad: "a"}, name="a"),
                lambda: board.remove(bad, name="a"),
                lambda: board.remove("key", idempotency_key=bad, name="a"),
                lambda: prices.publish(bad, 1, version=1),
            ):
                with pytest.raises(UsageError, match="which is no text; give"):
                    await call()

        client.portal.call(use)
