"""The JSON schemas of an app's types: made by Pydantic in one go, told as AsyncAPI takes them, in draft 7."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

Object = dict[str, Any]
"""A part of a document."""
Schema = Object
KeyT = TypeVar("KeyT", bound=Hashable)

_PREFIX = "#/components/schemas/"

_OF_SCHEMAS = ("properties", "patternProperties")
_SEVERAL = ("allOf", "anyOf", "oneOf", "prefixItems")
_ONE = ("items", "additionalProperties", "propertyNames", "contains", "not")


class Schemas(Generic[KeyT]):
    """The schemas of types, and of what they are made of.

    Names that collide, and models that are written otherwise than read, are told apart by Pydantic, so all types
    have to be given at once. What has no schema is left open: documentation stops no app.

    Args:
        wanted: a key to find the schema by, the type, and whether it is read or written.
    """

    def __init__(self, wanted: Iterable[tuple[KeyT, Any, JsonSchemaMode]]) -> None:
        inputs = [(key, mode, adapter) for key, kind, mode in wanted if (adapter := _adapter(kind)) is not None]
        found, whole = TypeAdapter.json_schemas(inputs, ref_template=f"{_PREFIX}{{model}}", schema_generator=_Generator)
        self._found: dict[KeyT, Schema] = {key: draft_07(schema) for (key, _), schema in found.items()}
        self.components: dict[str, Schema] = {name: draft_07(schema) for name, schema in whole.get("$defs", {}).items()}

    def __getitem__(self, key: KeyT) -> Schema:
        """The schema; empty, so that anything fits, where nothing is known."""
        return self._found.get(key, {})

    def resolve(self, schema: Schema) -> Schema:
        """The schema itself, or the component that it refers to."""
        name = referred(schema)
        return self.components.get(name, {}) if name else schema


class _Generator(GenerateJsonSchema):
    """Takes types without a JSON schema for types of anything, and keeps quiet about it."""

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Schema:
        return {}

    def emit_warning(self, kind: Any, detail: str) -> None: ...


def referred(schema: Mapping[str, Any]) -> str:
    """The name of the component that a schema refers to; empty if it is none."""
    return str(schema.get("$ref", "")).removeprefix(_PREFIX)


def draft_07(schema: Any) -> Any:
    """A schema of Pydantic's, which are of draft 2020-12, for readers of draft 7.

    The first items of an array are its ``items``. Nothing stands beside a ``$ref``, where it would be overlooked.
    OpenAPI's ``discriminator`` is left out: the branches of a union tell themselves apart by constants.
    """
    if not isinstance(schema, dict):
        return schema
    told = {key: _told(key, value) for key, value in schema.items() if key != "discriminator"}
    if "prefixItems" in told:
        if "items" in told:
            told["additionalItems"] = told.pop("items")
        told["items"] = told.pop("prefixItems")
    if "$ref" in told and len(told) > 1:
        told = {"allOf": [{"$ref": told.pop("$ref")}], **told}
    return told


def _told(key: str, value: Any) -> Any:
    if key in _OF_SCHEMAS:
        return {name: draft_07(schema) for name, schema in value.items()}
    if key in _SEVERAL:
        return [draft_07(schema) for schema in value]
    return draft_07(value) if key in _ONE else value


def _adapter(kind: Any) -> TypeAdapter[Any] | None:
    try:
        adapter = TypeAdapter(kind)
        adapter.rebuild()  # raises what would be raised too late: a name is not defined
        return adapter
    except (PydanticUserError, PydanticUndefinedAnnotation):
        return None
