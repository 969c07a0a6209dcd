"""How a JSON schema is written for readers: one expression for a type, a list for its fields."""

import json
from collections.abc import Mapping
from typing import Any

from hubbub.asyncapi.markup import Html, element, joined
from hubbub.asyncapi.schemas import Schema, referred

_LIMITS = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "pattern": "matches {}",
    "default": "default {}",
}


def expression(schema: Any) -> Html:
    """A type on one line: ``string``, ``list of Message``, ``integer or null``. Components are links."""
    if not isinstance(schema, dict):
        return Html("anything") if schema else Html("nothing")
    if name := referred(schema):
        return element("a", name, href=f"#schema-{name}")
    if "const" in schema:
        return element("code", compact(schema["const"]))
    if "enum" in schema:
        return joined((element("code", compact(value)) for value in schema["enum"]), " or ")
    for key, word in (("anyOf", " or "), ("oneOf", " or "), ("allOf", " and ")):
        if key in schema:
            return joined((expression(one) for one in schema[key]), word)
    return _named(schema)


def _named(schema: Schema) -> Html:
    kind, items, values = schema.get("type", "anything"), schema.get("items"), schema.get("additionalProperties")
    if isinstance(items, list):
        return joined(["list of ", joined(map(expression, items), ", ")])
    if items:
        return joined(["list of ", expression(items)])
    if isinstance(values, dict):
        return joined(["object of ", expression(values)])
    named = " or ".join(kind) if isinstance(kind, list) else str(kind)
    return joined([f"{named} ({schema['format']})" if "format" in schema else named])


def fields(schema: Schema) -> Html:
    """The fields of an object; empty if it has none."""
    required = schema.get("required", ())
    found = schema.get("properties", {})
    return definitions({name: (one, name in required) for name, one in found.items()})


def definitions(found: Mapping[str, tuple[Schema, bool]]) -> Html:
    """A list of names, each with its type and whether it must be there."""
    rows = []
    for name, (schema, required) in found.items():
        need = element("span", "required", class_="need") if required else ""
        term = element("dt", element("code", name), " ", element("span", expression(schema), class_="type"), " ", need)
        rows.append(element("div", term, *remarks(schema, "dd")))
    return element("dl", *rows, class_="fields") if rows else Html("")


def remarks(schema: Schema, tag: str) -> list[Html]:
    """What is said of a type besides, each in an element: the description, and the limits of its values."""
    limits = [text.format(_plain(schema[key])) for key, text in _LIMITS.items() if schema.get(key) is not None]
    said = [element(tag, schema["description"])] if "description" in schema else []
    return [*said, element(tag, "; ".join(limits), class_="limits")] if limits else said


def compact(value: Any) -> str:
    """A value as JSON on one line."""
    return json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else compact(value)
