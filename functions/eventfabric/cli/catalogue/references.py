"""References within a schema, as they stand in a document that holds many schemas."""

from json import dumps
from typing import Any, Final

from eventfabric.contracts.keywords import KEYWORDS, Form, JsonSchema, pointer, subschemas
from eventfabric.contracts.references import References

REF: Final = "$ref"


def moved(schema: JsonSchema, place: str) -> JsonSchema:
    """Return a schema as it stands at a place of a document: `#/$defs/x` becomes `<place>/$defs/x`.

    `place`: the schema's own reference in the document, such as `#/components/schemas/order`.
    """
    return _moved(schema, place, References(schema))


def _moved(schema: JsonSchema, place: str, references: References) -> JsonSchema:
    if isinstance(schema, bool):
        return schema
    copy: dict[str, Any] = {}
    for keyword, value in schema.items():
        match KEYWORDS.get(keyword):
            case Form.SCHEMA:
                copy[keyword] = _moved(value, place, references)
            case Form.SCHEMAS:
                copy[keyword] = [_moved(own, place, references) for own in value]
            case Form.MEMBERS:
                copy[keyword] = {name: _moved(own, place, references) for name, own in value.items()}
            case Form.REFERENCE:
                # An anchor is known in its own document only.
                path = None if value[1:2] in ("", "/") else references.path(value)
                copy[keyword] = place + (value[1:] if path is None else pointer(path))
            case _:
                copy[keyword] = value
    return copy


def is_readable(schema: JsonSchema) -> bool:
    """Tell if whoever takes each member `$ref` for a reference reads a schema right: none is a name or data."""
    if isinstance(schema, bool):
        return True
    for keyword, value in schema.items():
        form = KEYWORDS.get(keyword)
        if form is Form.MEMBERS and REF in value:
            return False
        if form not in (Form.SCHEMA, Form.SCHEMAS, Form.MEMBERS) and f'"{REF}":' in dumps(value):
            return False
    return all(is_readable(own) for _, own in subschemas(schema))
