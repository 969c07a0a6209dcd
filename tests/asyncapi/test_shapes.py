"""Schemas for readers."""

from typing import Any

import pytest
from tests.asyncapi.reading import Reading

from hubbub.asyncapi.markup import element
from hubbub.asyncapi.shapes import expression, fields, remarks

REFERENCE = {"$ref": "#/components/schemas/Line"}


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({}, "anything"),
        (True, "anything"),
        (False, "nothing"),
        ({"type": "string"}, "string"),
        ({"type": ["string", "null"]}, "string or null"),
        ({"type": "string", "format": "date-time"}, "string (date-time)"),
        ({"const": "a"}, '"a"'),
        ({"enum": ["a", 1, None]}, '"a" or 1 or null'),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer or null"),
        ({"oneOf": [REFERENCE, {"type": "null"}]}, "Line or null"),
        ({"allOf": [REFERENCE, {"type": "object"}]}, "Line and object"),
        ({"type": "array"}, "array"),
        ({"type": "array", "items": REFERENCE}, "list of Line"),
        ({"type": "array", "items": [{"type": "integer"}, REFERENCE]}, "list of integer, Line"),
        ({"type": "object", "additionalProperties": REFERENCE}, "object of Line"),
        ({"type": "object", "additionalProperties": False}, "object"),
    ],
)
def test_a_type_is_one_expression(schema: Any, text: str) -> None:
    assert Reading(element("p", expression(schema))).text == text


def test_a_component_is_a_link() -> None:
    assert expression(REFERENCE) == '<a href="#schema-Line">Line</a>'


def test_the_fields_of_an_object_are_a_list() -> None:
    schema = {
        "type": "object",
        "required": ["text"],
        "properties": {"text": {"type": "string", "description": "What is said."}, "stars": {"type": "integer"}},
    }
    assert Reading(fields(schema)).text == "text string required What is said. stars integer"
    assert fields({"type": "object"}) == ""


@pytest.mark.parametrize(
    ("schema", "remark"),
    [
        ({"minLength": 1, "maxLength": 9}, "at least 1 characters; at most 9 characters"),
        ({"minimum": 0, "exclusiveMaximum": 1.5}, "at least 0; less than 1.5"),
        ({"exclusiveMinimum": 0, "maximum": 10, "multipleOf": 5}, "more than 0; at most 10; a multiple of 5"),
        ({"minItems": 2, "maxItems": 2}, "at least 2 items; at most 2 items"),
        ({"pattern": r"^\d<$", "default": "1"}, r"matches ^\d<$; default 1"),
        ({"default": [1, "a"]}, 'default [1, "a"]'),
        ({"default": False}, "default false"),
        ({"default": None}, ""),
    ],
)
def test_the_limits_of_values_are_told(schema: Any, remark: str) -> None:
    assert " ".join(Reading(one).text for one in remarks(schema, "p")) == remark
