"""What peers are told of input that does not fit, and of refusals in FastAPI's words."""

from typing import Annotated, Any, Literal

import pytest
from fastapi import HTTPException, WebSocketException
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from hubbub.errors import CommandError, Forbidden, InvalidRequest, TooManyRequests, Unauthorized
from hubbub.hub.refusals import invalid, refusal


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: list[int]


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


def errors_of(annotation: Any, text: str) -> list[Any]:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(annotation).validate_json(text)
    return caught.value.errors(include_input=False)


def test_each_field_that_does_not_fit_is_named_with_its_place() -> None:
    error = invalid(errors_of(Cat, '{"kind": "cat", "lives": [1, null, "x"]}'))
    assert type(error) is InvalidRequest
    assert error.message.split("; ") == [
        "lives.1: Input should be a valid integer",
        "lives.2: Input should be a valid integer, unable to parse string as an integer",
    ]


def test_what_is_wrong_as_a_whole_goes_by_the_name_of_the_parameter() -> None:
    assert invalid(errors_of(Cat, "{"), "message").message.startswith("message: Invalid JSON: ")


def test_a_tag_that_is_none_is_not_repeated() -> None:
    pets = Annotated[Cat | Dog, Field(discriminator="kind")]
    error = invalid(errors_of(pets, '{"kind": "<script>"}'), "pet")
    assert error.message == "pet: Input should have one of the tags 'cat', 'dog'"


def test_a_long_list_of_faults_is_cut() -> None:
    message = invalid(errors_of(list[int], '["' + '", "'.join("x" * 100) + '"]')).message
    assert len(message) == 300
    assert message.startswith("0: Input should be a valid integer")
    assert message.endswith("…")


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, InvalidRequest, 107),
        (401, Unauthorized, 101),
        (403, Forbidden, 103),
        (404, CommandError, 404),
        (409, CommandError, 409),
        (422, InvalidRequest, 107),
        (429, TooManyRequests, 111),
        (499, CommandError, 499),
    ],
)
def test_a_status_of_http_has_a_code_of_the_protocol(status: int, kind: type[CommandError], code: int) -> None:
    error = refusal(HTTPException(status, "not you"))
    assert error is not None
    assert (type(error), error.code, error.message) == (kind, code, "not you")


def test_a_detail_that_is_no_text_is_kept_from_the_peer() -> None:
    forbidden, gone = refusal(HTTPException(403, {"row": 7})), refusal(HTTPException(410, {"row": 7}))
    assert forbidden is not None
    assert gone is not None
    assert (forbidden.message, gone.message) == ("permission denied", "refused")


@pytest.mark.parametrize("status", [307, 500, 503])
def test_other_statuses_are_no_refusals(status: int) -> None:
    assert refusal(HTTPException(status)) is None


@pytest.mark.parametrize(
    ("code", "kind"), [(1008, Forbidden), (3000, Unauthorized), (3003, Forbidden), (4400, Forbidden)]
)
def test_a_close_code_has_a_code_of_the_protocol(code: int, kind: type[CommandError]) -> None:
    error = refusal(WebSocketException(code, "members only"))
    assert type(error) is kind
    assert error.message == "members only"


def test_a_close_code_without_a_reason_has_the_message_of_the_protocol() -> None:
    for code in (1008, 4400):
        error = refusal(WebSocketException(code))
        assert error is not None
        assert error.message == "permission denied"


@pytest.mark.parametrize("code", [1000, 1011, 1013])
def test_other_close_codes_are_no_refusals(code: int) -> None:
    assert refusal(WebSocketException(code)) is None
