"""Schemas: of all types at once, for readers of draft 7."""

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NewType

import pytest
from pydantic import BaseModel, Field, computed_field

from hubbub.asyncapi.schemas import Schemas, draft_07


def schemas_of(**kinds: Any) -> Schemas[str]:
    return Schemas((name, kind, "validation") for name, kind in kinds.items())


class Message(BaseModel):
    text: str


class Total(BaseModel):
    parts: list[int]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def sum(self) -> int:
        """All parts together."""
        return sum(self.parts)


@dataclass
class Point:
    x: float
    y: float = 0.0


class Pair(NamedTuple):
    left: int
    right: str


def test_models_are_components() -> None:
    schemas = schemas_of(one=Message, many=list[Message], point=Point)
    assert schemas["one"] == {"$ref": "#/components/schemas/Message"}
    assert schemas["many"]["items"] == schemas["one"]
    assert list(schemas.components) == ["Message", "Point"]
    assert schemas.resolve(schemas["one"])["properties"]["text"]["type"] == "string"
    assert schemas.resolve(schemas["many"]) is schemas["many"]


def test_models_of_one_name_are_told_apart() -> None:
    other = type("Message", (BaseModel,), {"__module__": "elsewhere", "__annotations__": {"number": int}})
    schemas = schemas_of(one=Message, other=other)
    assert schemas["one"] != schemas["other"]
    assert set(schemas.resolve(schemas["one"])["properties"]) == {"text"}
    assert set(schemas.resolve(schemas["other"])["properties"]) == {"number"}


def test_a_model_that_is_written_otherwise_than_read_is_there_twice() -> None:
    schemas = Schemas([("in", Total, "validation"), ("out", Total, "serialization")])
    assert set(schemas.resolve(schemas["in"])["properties"]) == {"parts"}
    assert set(schemas.resolve(schemas["out"])["properties"]) == {"parts", "sum"}


class Opaque:
    """Nothing that Pydantic knows."""


class Holder(BaseModel):
    model_config = {"arbitrary_types_allowed": True}
    inside: Opaque
    call: Callable[[], None]
    number: int = Field(default_factory=int)
    odd: Any = Opaque()


Unknown = types.new_class(
    "Unknown", (BaseModel,), exec_body=lambda names: names.update(__annotations__={"x": "Nowhere"})
)


@pytest.mark.parametrize("kind", [Opaque, Callable[[], None], 5, "Nowhere", Unknown, Any], ids=repr)
def test_what_has_no_schema_is_left_open(kind: Any) -> None:
    schemas = schemas_of(kind=kind, message=Message)
    assert schemas["kind"] == {}
    assert list(schemas.components) == ["Message"]


def test_a_part_without_a_schema_is_left_open_and_nobody_is_warned() -> None:
    schemas = schemas_of(holder=Holder)
    properties = schemas.resolve(schemas["holder"])["properties"]
    assert properties["inside"] == {"title": "Inside"}
    assert properties["call"] == {"title": "Call"}
    assert properties["odd"] == {"title": "Odd"}


def test_what_nobody_asked_for_is_open() -> None:
    schemas = schemas_of()
    assert schemas["anything"] == {}
    assert schemas.components == {}
    assert schemas.resolve({"$ref": "https://elsewhere.example"}) == {}


Integers = NewType("Integers", list[int])


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (
            tuple[int, str],
            {"type": "array", "items": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
        ),
        (Integers, {"type": "array", "items": {"type": "integer"}}),
        (Mapping[str, Message], {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Message"}}),
        (
            Annotated[Message, Field(description="Said.")],
            {"allOf": [{"$ref": "#/components/schemas/Message"}], "description": "Said."},
        ),
        (Literal["a"], {"const": "a", "type": "string"}),
    ],
    ids=repr,
)
def test_schemas_are_of_draft_7(kind: Any, schema: Any) -> None:
    assert schemas_of(kind=kind)["kind"] == schema


def test_the_items_behind_the_first_are_additional() -> None:
    assert draft_07({"prefixItems": [{"type": "integer"}], "items": {"type": "string"}}) == {
        "items": [{"type": "integer"}],
        "additionalItems": {"type": "string"},
    }


def test_keywords_that_are_names_of_fields_stay() -> None:
    schema = {"properties": {"discriminator": {"type": "string"}, "$ref": {"type": "string"}, "items": True}}
    assert draft_07(schema) == schema


def test_branches_of_a_union_need_no_discriminator() -> None:
    schema = {
        "discriminator": {"propertyName": "kind", "mapping": {}},
        "oneOf": [{"$ref": "#/components/schemas/A"}, {"not": {"prefixItems": [{}]}}],
    }
    assert draft_07(schema) == {"oneOf": [{"$ref": "#/components/schemas/A"}, {"not": {"items": [{}]}}]}


def test_decimals_and_pairs_have_schemas() -> None:
    schemas = schemas_of(decimal=Decimal, pair=Pair)
    assert {"type": "number"} in schemas["decimal"]["anyOf"]
    assert schemas.resolve(schemas["pair"])["maxItems"] == 2
