"""Keywords of JSON Schema 2020-12: the form of each value, and where schemas stand inside a schema."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final, TypeAlias

JsonSchema: TypeAlias = dict[str, Any] | bool
"""A decoded schema: an object, or a boolean that accepts all or nothing."""

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
TYPES: Final = ("array", "boolean", "integer", "null", "number", "object", "string")


class Form(StrEnum):
    """The form of a keyword's value, in words."""

    SCHEMA = "a schema: an object, true or false"
    SCHEMAS = "a list of schemas, at least one"
    MEMBERS = "an object whose values are schemas"
    TEXT = "a string"
    TRUTH = "true or false"
    COUNT = "a whole number from 0"
    NUMBER = "a number"
    POSITIVE = "a number above 0"
    NAMES = "a list of strings, each once"
    NAME_LISTS = "an object whose values are lists of strings, each once"
    TYPE = "one of array, boolean, integer, null, number, object, string, or a list of these, each once"
    VALUES = "a list of values, at least one"
    LIST = "a list"
    ANY = "any value"
    PATTERN = "a regular expression of linear time"
    REFERENCE = "'#', '#/<pointer>' or '#<anchor>' of a schema in this document"


ANNOTATIONS: Final = {
    "$anchor": Form.TEXT,
    "$comment": Form.TEXT,
    "$id": Form.TEXT,
    "$schema": Form.TEXT,
    "contentEncoding": Form.TEXT,
    "contentMediaType": Form.TEXT,
    "contentSchema": Form.SCHEMA,
    "default": Form.ANY,
    "deprecated": Form.TRUTH,
    "description": Form.TEXT,
    "examples": Form.LIST,
    "format": Form.TEXT,
    "readOnly": Form.TRUTH,
    "title": Form.TEXT,
    "writeOnly": Form.TRUTH,
}
"""Keywords that say something and refuse nothing; `$defs` is another."""

KEYWORDS: Final = {
    **ANNOTATIONS,
    "$defs": Form.MEMBERS,
    "$ref": Form.REFERENCE,
    "additionalProperties": Form.SCHEMA,
    "allOf": Form.SCHEMAS,
    "anyOf": Form.SCHEMAS,
    "const": Form.ANY,
    "contains": Form.SCHEMA,
    "dependentRequired": Form.NAME_LISTS,
    "dependentSchemas": Form.MEMBERS,
    "else": Form.SCHEMA,
    "enum": Form.VALUES,
    "exclusiveMaximum": Form.NUMBER,
    "exclusiveMinimum": Form.NUMBER,
    "if": Form.SCHEMA,
    "items": Form.SCHEMA,
    "maxContains": Form.COUNT,
    "maximum": Form.NUMBER,
    "maxItems": Form.COUNT,
    "maxLength": Form.COUNT,
    "maxProperties": Form.COUNT,
    "minContains": Form.COUNT,
    "minimum": Form.NUMBER,
    "minItems": Form.COUNT,
    "minLength": Form.COUNT,
    "minProperties": Form.COUNT,
    "multipleOf": Form.POSITIVE,
    "not": Form.SCHEMA,
    "oneOf": Form.SCHEMAS,
    "pattern": Form.PATTERN,
    "patternProperties": Form.MEMBERS,
    "prefixItems": Form.SCHEMAS,
    "properties": Form.MEMBERS,
    "propertyNames": Form.SCHEMA,
    "required": Form.NAMES,
    "then": Form.SCHEMA,
    "type": Form.TYPE,
    "unevaluatedItems": Form.SCHEMA,
    "unevaluatedProperties": Form.SCHEMA,
    "uniqueItems": Form.TRUTH,
}

INSTEAD: Final = {
    "$dynamicAnchor": "'$anchor'",
    "$dynamicRef": "'$ref'",
    "$recursiveAnchor": "'$anchor'",
    "$recursiveRef": "'$ref'",
    "$vocabulary": "the vocabulary of 2020-12",
    "additionalItems": "'items' beside 'prefixItems'",
    "definitions": "'$defs'",
    "dependencies": "'dependentRequired' or 'dependentSchemas'",
    "discriminator": "a 'const' in each branch, and 'x-discriminator' for tools",
    "example": "'examples'",
    "id": "'$id'",
    "nullable": "'null' in 'type'",
}
"""Keywords of other drafts and tools, and what does the same in 2020-12."""

IN_PLACE: Final = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")
"""Keywords whose schemas apply to the same value as the schema that holds them; `$ref` is another."""


def subschemas(schema: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], JsonSchema]]:
    """Yield the schemas directly inside a schema, each with its path. Values of a wrong form are left out."""
    for keyword, value in schema.items():
        form = KEYWORDS.get(keyword)
        if form is Form.SCHEMA and isinstance(value, dict | bool):
            yield (keyword,), value
        elif form is Form.SCHEMAS and isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, dict | bool):
                    yield (keyword, str(index)), item
        elif form is Form.MEMBERS and isinstance(value, dict):
            for name, member in value.items():
                if isinstance(member, dict | bool):
                    yield (keyword, name), member


def pointer(path: tuple[str, ...]) -> str:
    """Return a path as a JSON pointer."""
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in path)
