"""The user's plain functions: what each parameter is given, and what is told when it cannot be."""

import asyncio
import dataclasses
import enum
import functools
import inspect
import re
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, NewType

import pytest
from fastapi import Depends, HTTPException, WebSocketException
from pydantic import BaseModel, Field, JsonValue, RootModel
from tests.clock import Clock
from tests.hub.connections import ANNA, connected
from typing_extensions import TypeAliasType, TypedDict

from hubbub.errors import CommandError, Forbidden, ForceDisconnect, InvalidRequest, Unauthorized, UsageError
from hubbub.hub.dependencies import SessionInfo
from hubbub.hub.handlers import Data, Handler
from hubbub.protocol.publication import Json

if TYPE_CHECKING:
    from decimal import Decimal


class Message(BaseModel):
    text: str
    stars: int = 0


class Color(enum.Enum):
    RED = "red"


Seat = NewType("Seat", int)
Cards = NewType("Cards", list[int])
Short = TypeAliasType("Short", Annotated[str, Field(max_length=5)])


Function = Callable[..., Any]


# The parameters of the channel's pattern


def test_a_function_without_parameters_is_called(clock: Clock) -> None:
    async def ping() -> str:
        """Is anybody there?"""
        return "pong"

    assert clock.run(Handler(ping)(ANNA)) == "pong"


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (str, "lobby", "lobby"),
        (Any, "lobby", "lobby"),
        (int, "42", 42),
        (int | None, "42", 42),
        (uuid.UUID, "12345678-1234-5678-1234-567812345678", uuid.UUID("12345678-1234-5678-1234-567812345678")),
        (Literal["a", "b"], "b", "b"),
        (Color, "red", Color.RED),
        (Annotated[str, Field(max_length=5)], "lobby", "lobby"),
    ],
)
def test_a_parameter_of_the_pattern_is_converted_to_its_annotation(
    clock: Clock, annotation: Any, text: str, value: Any
) -> None:
    async def enter(room: annotation) -> Any:
        return room

    assert clock.run(Handler(enter, path=["room"])(ANNA, path={"room": text})) == value


def test_a_parameter_of_the_pattern_without_annotation_is_text(clock: Clock) -> None:
    async def enter(room) -> str:  # type: ignore[no-untyped-def]
        return repr(room)

    assert clock.run(Handler(enter, path=["room"])(ANNA, path={"room": "42"})) == "'42'"


def test_a_parameter_of_the_pattern_that_does_not_fit_is_named_and_not_repeated(clock: Clock) -> None:
    async def enter(room: int) -> None: ...

    with pytest.raises(InvalidRequest) as caught:
        clock.run(Handler(enter, path=["room"])(ANNA, path={"room": "lobby"}))
    assert caught.value.code == 107
    assert caught.value.message.startswith("room: Input should be a valid integer")
    assert "lobby" not in caught.value.message


def test_a_handler_may_leave_out_what_it_does_not_need(clock: Clock) -> None:
    async def enter(seat: int) -> int:
        return seat

    handler = Handler(enter, path=["room", "seat"], known={"channel": str}, message=True)
    assert clock.run(handler(ANNA, path={"room": "a", "seat": "3"}, known={"channel": "a:3"}, payload="{}")) == 3


# What the event knows, and who asks


def test_what_the_event_knows_is_given_by_name_as_it_is(clock: Clock) -> None:
    async def connect(data: Any, token: str) -> Any:
        return token, data

    handler = Handler(connect, known={"token": str, "data": Any})
    data = object()
    assert clock.run(handler(ANNA, known={"token": "t", "data": data})) == ("t", data)


def test_a_session_info_is_who_asks(clock: Clock) -> None:
    async def rooms(me: SessionInfo, again: Annotated[SessionInfo, "the same"]) -> Any:
        return me, again

    handler = Handler(rooms)
    assert clock.run(handler(ANNA)) == (ANNA, ANNA)
    assert not handler.needs_connection


def test_an_annotation_may_be_a_string(clock: Clock) -> None:
    async def enter(room: "int", me: "SessionInfo", message: "Message") -> "Any":
        return room, me.user, message.text

    handler = Handler(enter, path=["room"], message=True)
    assert clock.run(handler(ANNA, path={"room": "1"}, payload='{"text": "hi"}')) == (1, "anna", "hi")


# The message


@pytest.mark.parametrize("payload", ['{"text": "hi"}', b'{"text": "hi"}', Json('{"text": "hi"}')])
def test_a_message_is_validated_by_its_annotation(clock: Clock, payload: str | bytes) -> None:
    async def publish(message: Message) -> Message:
        return message

    assert clock.run(Handler(publish, message=True)(ANNA, payload=payload)) == Message(text="hi")


def test_a_message_may_be_any_type_that_pydantic_knows(clock: Clock) -> None:
    async def publish(message: list[int]) -> list[int]:
        return message

    assert clock.run(Handler(publish, message=True)(ANNA, payload="[1, 2]")) == [1, 2]


def test_a_message_without_annotation_is_what_its_json_says(clock: Clock) -> None:
    async def any_(message: Annotated[Any, Data()]) -> Any:
        return message

    async def bare(message):  # type: ignore[no-untyped-def]
        return message

    for function in (any_, bare):
        assert clock.run(Handler(function, message=True, scalars=True)(ANNA, payload='{"a": [1, null]}')) == {
            "a": [1, None]
        }


@pytest.mark.parametrize("payload", ["nope", b"\xff", "[1", '{"a": '])
@pytest.mark.parametrize("annotation", [Any, Message])
def test_what_is_no_json_is_invalid(clock: Clock, payload: str | bytes, annotation: Any) -> None:
    async def publish(message: Annotated[annotation, Data()]) -> None: ...

    with pytest.raises(InvalidRequest) as caught:
        clock.run(Handler(publish, message=True)(ANNA, payload=payload))
    assert caught.value.message.startswith("message: Invalid JSON: ")


def test_not_a_number_is_no_json(clock: Clock) -> None:
    async def publish(message: Annotated[Any, Data()]) -> None: ...

    with pytest.raises(InvalidRequest, match=r"^message: Invalid JSON: "):
        clock.run(Handler(publish, message=True)(ANNA, payload="[NaN]"))


@pytest.mark.parametrize(("payload", "expected"), [(b"\x00\xff", b"\x00\xff"), ('"ä"', '"ä"'.encode()), (b"", b"")])
def test_a_message_of_bytes_is_given_as_it_came(clock: Clock, payload: str | bytes, expected: bytes) -> None:
    async def publish(message: Annotated[bytes, Data()]) -> bytes:
        return message

    assert clock.run(Handler(publish, message=True)(ANNA, payload=payload)) == expected


def test_a_message_that_does_not_fit_names_the_fields(clock: Clock) -> None:
    async def publish(message: Message) -> None: ...

    with pytest.raises(InvalidRequest) as caught:
        clock.run(Handler(publish, message=True)(ANNA, payload='{"stars": "many"}'))
    assert caught.value.message == (
        "text: Field required; stars: Input should be a valid integer, unable to parse string as an integer"
    )


@pytest.mark.parametrize("payload", [None, "", b"", "null", b"null"])
def test_no_message_is_the_default(clock: Clock, payload: str | bytes | None) -> None:
    async def rooms(page: Annotated[int, Data()] = 1) -> int:
        return page

    handler = Handler(rooms, message=True)
    assert clock.run(handler(ANNA, payload=payload)) == 1
    assert clock.run(handler(ANNA, payload="2")) == 2


@pytest.mark.parametrize(("annotation", "payload"), [(int, None), (int, ""), (Any, b""), (bytes, None)])
def test_no_message_where_there_is_no_default_is_invalid(clock: Clock, annotation: Any, payload: Any) -> None:
    async def rooms(page: Annotated[annotation, Data()]) -> None: ...

    with pytest.raises(InvalidRequest, match=r"^page: Field required$"):
        clock.run(Handler(rooms, message=True)(ANNA, payload=payload))


def test_null_is_a_message_where_there_is_no_default(clock: Clock) -> None:
    async def rooms(page: Annotated[int | None, Data()]) -> Any:
        return page

    assert clock.run(Handler(rooms, message=True)(ANNA, payload="null")) is None


def test_a_message_that_does_not_fit_costs_no_dependency(clock: Clock) -> None:
    opened: list[str] = []

    async def database() -> None:
        opened.append("database")

    async def publish(message: Message, db: Annotated[None, Depends(database)]) -> None: ...

    handler = Handler(publish, message=True)
    with pytest.raises(InvalidRequest):
        clock.run(handler(ANNA, connected(), payload="{}"))
    assert opened == []
    clock.run(handler(ANNA, connected(), payload='{"text": "hi"}'))
    assert opened == ["database"]


# How it is called


def test_a_sync_function_runs_in_a_thread(clock: Clock) -> None:
    def where(message: Annotated[int, Data()]) -> tuple[int, int]:
        return message, threading.get_ident()

    message, thread = clock.run(Handler(where, message=True)(ANNA, payload="7"))
    assert message == 7
    assert thread != threading.get_ident()


Message_ = Annotated[str, Data()]


class Greeter:
    async def greet(self, message: Message_) -> str:
        return f"{message}, {type(self).__name__}"

    __call__ = greet


class Waiter:
    """Its call is a plain one, and gives something to await."""

    def __call__(self, message: Message_) -> Awaitable[str]:
        return Greeter().greet(message)


def greet(message: Message_) -> str:
    return f"{message}, Greeter"


def decorated(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(function)
    def wrapper(**arguments: Any) -> Awaitable[Any]:
        return function(**arguments)

    return wrapper


def asyncify(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """As asyncer's and asgiref's: async outside, sync inside."""

    @functools.wraps(function)
    async def wrapper(**arguments: Any) -> Any:
        return await asyncio.to_thread(function, **arguments)

    return wrapper


def syncify(function: Callable[..., Any]) -> Function:
    """As asgiref's async_to_sync: sync outside, async inside, and not to be called on an event loop."""

    @functools.wraps(function)
    def wrapper(**arguments: Any) -> Any:
        return asyncio.run(function(**arguments))

    return wrapper


@pytest.mark.parametrize(
    "function",
    [
        Greeter().greet,
        Greeter(),
        Waiter(),
        functools.partial(Greeter.greet, Greeter()),
        functools.partial(functools.partial(Greeter())),
        functools.partial(greet),
        decorated(Greeter().greet),
        asyncify(greet),
        functools.partial(asyncify(greet)),
        syncify(Greeter().greet),
    ],
    ids=lambda function: getattr(function, "__qualname__", type(function).__name__),
)
def test_what_a_call_gives_is_awaited_whatever_the_function_wraps(clock: Clock, function: Function) -> None:
    handler = Handler(function, message=True)
    assert clock.run(handler(ANNA, payload='"hello"')) == "hello, Greeter"
    assert handler.function is function


@pytest.mark.parametrize("error", [Forbidden("not you"), ForceDisconnect(), CommandError("x", code=1234), ValueError()])
def test_what_a_function_raises_passes(clock: Clock, error: Exception) -> None:
    async def publish() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        clock.run(Handler(publish)(ANNA))
    assert caught.value is error


def test_a_refusal_in_words_of_fastapi_is_one_of_the_protocol(clock: Clock) -> None:
    raised: list[Exception] = [HTTPException(401, "who?"), WebSocketException(1008, "members only")]

    async def publish() -> None:
        raise raised[0]

    handler = Handler(publish)
    with pytest.raises(Unauthorized, match=r"^who\?$") as caught:
        clock.run(handler(ANNA))
    assert caught.value.__cause__ is raised.pop(0)
    with pytest.raises(Forbidden, match=r"^members only$"):
        clock.run(handler(ANNA))


def test_a_failure_in_words_of_fastapi_passes(clock: Clock) -> None:
    def publish() -> None:
        raise HTTPException(503, "the database is away")

    with pytest.raises(HTTPException):
        clock.run(Handler(publish)(ANNA))


# What is told at the declaration


def three(room: str, message: Message, other: Message) -> None: ...


def typo(rom: str) -> None: ...


def many(*messages: Message) -> None: ...


def named(**messages: Message) -> None: ...


def nameless(message: Message, /) -> None: ...


def generator(message: Message) -> Iterator[None]:
    yield


async def async_generator(message: Message) -> AsyncIterator[None]:
    yield


def hidden(price: "Decimal") -> None: ...


def unmarked(clock: Clock) -> None: ...


def strange(clock: Annotated[Clock, Data()]) -> None: ...


def defaulted(text: str = Data()) -> None: ...  # type: ignore[assignment]


def strange_path(room: Clock) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (three, ["'message' and 'other' would all take the client's data", "one model"]),
        (defaulted, ["'text' has Data", r"text: Annotated\[str, Data\(\)\]"]),
        (many, [r"'\*messages: ", "one by one"]),
        (named, [r"'\*\*messages: ", "one by one"]),
        (nameless, ["'message: ", "one by one"]),
        (generator, ["yields", "returns one value"]),
        (async_generator, ["yields", "returns one value"]),
        (hidden, ["'Decimal'", "TYPE_CHECKING"]),
        (unmarked, ["nothing gives 'clock'", r"Annotated\[tests.clock.Clock, Data\(\)\]", "Depends"]),
        (strange, ["'clock'", "annotate it with a model"]),
        (strange_path, ["'room'", "annotate it with a model"]),
    ],
)
def test_what_cannot_work_is_said_at_the_declaration(function: Function, words: list[str]) -> None:
    with pytest.raises(UsageError, match=f"^{function.__name__}.*" + ".*".join(words)):
        Handler(function, path=["room"], known=["channel"], message=True)


@pytest.mark.parametrize("annotation", [str, Any, int | None, bytes, bool, Literal["a"], Color, uuid.UUID, Seat, Short])
@pytest.mark.parametrize("default", [inspect.Parameter.empty, None])
def test_a_misspelt_parameter_is_never_filled_by_the_client(annotation: Any, default: Any) -> None:
    def may_enter(rom: annotation = default) -> None: ...

    with pytest.raises(UsageError) as caught:
        Handler(may_enter, path=["room"], known=["channel"], message=True)
    assert re.search(
        r"nothing gives 'rom'; did you mean 'room'\? by name it is given 'room', 'channel'; mark the client's data as "
        r"such, Annotated\[.*, Data\(\)\], or take it with a model; take anything else with Depends, or annotate it "
        r"SessionInfo$",
        str(caught.value),
    )


@dataclasses.dataclass
class Point:
    x: int


class Place(TypedDict):
    x: int


class Spot(NamedTuple):
    x: int


class Scores(RootModel[dict[str, int]]): ...


@pytest.mark.parametrize(
    ("annotation", "payload", "value"),
    [
        (Message, '{"text": "hi"}', Message(text="hi")),
        (Message | None, "null", None),
        (Annotated[Message, "marked"], '{"text": "hi"}', Message(text="hi")),
        (Point, '{"x": 1}', Point(1)),
        (Place, '{"x": 1}', {"x": 1}),
        (Spot, "[1]", Spot(1)),
        (Scores, '{"a": 1}', Scores({"a": 1})),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (list, "[1]", [1]),
        (set[int], "[1]", {1}),
        (Sequence[int], "[1]", [1]),
        (JsonValue, "[1]", [1]),
        (Cards, "[1]", [1]),
    ],
)
def test_what_fastapi_takes_from_a_body_needs_no_mark(clock: Clock, annotation: Any, payload: str, value: Any) -> None:
    async def publish(message: annotation) -> Any:
        return message

    handler = Handler(publish, path=["room"], message=True)
    assert clock.run(handler(ANNA, path={"room": "a"}, payload=payload)) == value


def test_a_marked_parameter_is_the_data_whatever_its_name_and_type(clock: Clock) -> None:
    async def publish(rom: Annotated[str, Data(), Field(max_length=3)], room: str) -> str:
        return rom + room

    handler = Handler(publish, path=["room"], message=True)
    assert clock.run(handler(ANNA, path={"room": "a"}, payload='"hi"')) == "hia"
    with pytest.raises(InvalidRequest, match="rom: String should have at most 3 characters"):
        clock.run(handler(ANNA, path={"room": "a"}, payload='"hello"'))

    async def named(room: Annotated[Any, Data]) -> Any:
        return room

    assert clock.run(Handler(named, path=["room"], message=True)(ANNA, path={"room": "a"}, payload="[1]")) == [1]
    assert repr(Data()) == "Data()"


def test_the_argument_of_a_call_needs_no_mark_unless_it_looks_like_what_is_given(clock: Clock) -> None:
    async def double(number: int) -> int:
        return 2 * number

    assert clock.run(Handler(double, known=["method"], message=True, scalars=True)(ANNA, payload="4")) == 8
    with pytest.raises(UsageError, match=r"nothing gives 'methd'; did you mean 'method'\?"):
        Handler(lambda methd: None, known=["method"], message=True, scalars=True)
    with pytest.raises(UsageError, match="nothing gives 'a' and 'b'"):
        Handler(lambda a, b: None, known=["method"], message=True, scalars=True)
    with pytest.raises(UsageError, match="nothing gives 'a'"):
        Handler(with_a_model_too, known=["method"], message=True, scalars=True)


def with_a_model_too(a: int, message: Message) -> None: ...


def test_a_parameter_that_nothing_gives_is_said_at_the_declaration() -> None:
    with pytest.raises(UsageError) as caught:
        Handler(typo, path=["room"])
    assert str(caught.value) == (
        "typo: nothing gives 'rom'; did you mean 'room'? by name it is given 'room'; take anything else with Depends, "
        "or annotate it SessionInfo"
    )
    with pytest.raises(UsageError) as caught:
        Handler(lambda room, rom: None, path=["room"])
    assert "did you mean" not in str(caught.value), "room is given to room already"
    with pytest.raises(UsageError, match="by name it is given nothing"):
        Handler(typo)
    with pytest.raises(UsageError, match="nothing gives 'message'"):
        Handler(three, path=["room"])


# What documentation is made of


def test_a_handler_tells_what_documentation_is_made_of() -> None:
    async def moderate(room: str, message: Message) -> list[Message]:
        """Keeps the tone.

        With care.
        """
        return [message]

    handler = Handler(moderate, path=["room"], message=True)
    assert handler.function is moderate
    assert handler.doc == "Keeps the tone.\n\nWith care."
    assert (handler.message_type, handler.return_type) == (Message, list[Message])
    assert not handler.needs_connection


def test_a_handler_that_says_nothing_of_itself_tells_so() -> None:
    def bare(message: Annotated[Any, Data()]):  # type: ignore[no-untyped-def]
        pass

    def empty() -> None: ...

    handler = Handler(bare, message=True)
    assert (handler.doc, handler.message_type, handler.return_type) == ("", Any, Any)
    assert (Handler(empty).message_type, Handler(empty).return_type) == (None, None)
