"""References within a schema: where `$ref` points to, and the same references in a document that holds the schema."""

from json import dumps
from typing import Any
from urllib.parse import unquote

from eventfabric.contracts.document import JsonSchema

REF = "$ref"


class DanglingReferenceError(LookupError):
    """A reference points to nothing in its schema."""


def target_of(root: JsonSchema, reference: str) -> JsonSchema:
    """Return the part of a schema to which a local reference points. DanglingReferenceError."""
    if not reference.startswith("#"):
        raise DanglingReferenceError(reference)
    pointer = unquote(reference[1:])
    value: Any = root
    for name in pointer.split("/")[1:]:
        name = name.replace("~1", "/").replace("~0", "~")
        try:
            value = value[int(name)] if isinstance(value, list) else value[name]
        except (LookupError, TypeError, ValueError):
            raise DanglingReferenceError(reference) from None
    if (pointer and not pointer.startswith("/")) or not isinstance(value, dict | bool):
        raise DanglingReferenceError(reference)
    return value


_DATA = frozenset({"const", "default", "enum", "examples"})
"""Keywords whose value is data: a member that is called `$ref` there is no reference."""
_NAMED = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
"""Keywords whose value has names of its author's, each with a schema."""


def is_readable(schema: Any) -> bool:
    """Tell if whoever takes each member `$ref` for a reference reads a schema right: none is a name or data."""
    if isinstance(schema, list):
        return all(map(is_readable, schema))
    if not isinstance(schema, dict):
        return True
    for keyword, value in schema.items():
        if keyword == REF and not isinstance(value, str):
            return False
        if keyword in _DATA or keyword.startswith("x-"):
            if f'"{REF}":' in dumps(value):
                return False
        elif keyword in _NAMED and isinstance(value, dict):
            if REF in value or not all(map(is_readable, value.values())):
                return False
        elif not is_readable(value):
            return False
    return True


def moved(schema: Any, place: str) -> Any:
    """Return a schema as it stands at a place of a document: `#/$defs/x` becomes `<place>/$defs/x`.

    `place`: the schema's own reference in the document, such as `#/components/schemas/order`.
    """
    if isinstance(schema, list):
        return [moved(item, place) for item in schema]
    if not isinstance(schema, dict):
        return schema
    copy: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword == REF and isinstance(value, str) and value.startswith("#"):
            copy[keyword] = place + value[1:]
        elif keyword in _DATA or keyword.startswith("x-"):
            copy[keyword] = value
        elif keyword in _NAMED and isinstance(value, dict):
            copy[keyword] = {name: moved(own, place) for name, own in value.items()}
        else:
            copy[keyword] = moved(value, place)
    return copy
