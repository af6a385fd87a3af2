"""Schemas become classes, and these the equal schemas again; what a schema accepts, its class holds."""

from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from eventfabric import Event
from eventfabric.contracts.lint import schema_problems
from eventfabric.sdk.wants import payload_decoder
from eventfabric.typed.classes import schema_of
from eventfabric.typed.shapes import TypeSchema
from eventfabric.typed.source import source_of
from tests.support.drawn_schemas import Schema, documents, schemas
from tests.support.generated_code import imported

KINDS = ["msgspec", "pydantic"]


@pytest.mark.parametrize("kind", KINDS)
@given(schema=schemas())
@settings(max_examples=40, deadline=None)
def test_a_schema_is_equal_after_it_was_a_class(schema: Schema, kind: str) -> None:
    source = source_of([TypeSchema("orders", "OrderPlaced", schema)], kind=kind)
    with imported(source) as module:
        again = schema_of(module.OrderPlaced)
    assert again == schema
    assert schema_problems(again) == []
    assert source_of([TypeSchema("orders", "OrderPlaced", again)], kind=kind) == source


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_what_a_schema_accepts_is_held_by_its_class(data: st.DataObject, kind: str) -> None:
    schema = data.draw(schemas())
    document = data.draw(documents(schema, schema))
    assert Draft202012Validator(schema).is_valid(document)
    with imported(source_of([TypeSchema("orders", "OrderPlaced", schema)], kind=kind)) as module:
        payload = payload_decoder(module.OrderPlaced)(Event(type="OrderPlaced", key="k", data=document))
        published = Event(type="OrderPlaced", key="k", data=payload).data
    filled = _filled(document, schema, schema)
    if kind == "pydantic":  # which leaves out a null where the member may be missing
        published, filled = _without_nulls(published), _without_nulls(filled)
    assert _comparable(published) == _comparable(filled)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(part) for name, part in value.items() if part is not None}
    return list(map(_without_nulls, value)) if isinstance(value, list) else value


def _filled(document: Any, schema: Schema, whole: Schema) -> Any:
    """Return a document with the defaults of members that it lacks, as a class has them."""
    if "$ref" in schema:
        return _filled(document, whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
    if isinstance(document, dict) and "anyOf" in schema:
        branches = [whole["$defs"][b["$ref"].rpartition("/")[2]] for b in schema["anyOf"] if "$ref" in b]
        tags = [b["properties"].get("kind", {}).get("const") for b in branches]
        return _filled(document, branches[tags.index(document.get("kind")) if None not in tags else 0], whole)
    if isinstance(document, list):
        parts = schema.get("prefixItems", [schema.get("items", {})] * len(document))
        return [_filled(item, part, whole) for item, part in zip(document, parts, strict=True)]
    if not isinstance(document, dict) or not schema:
        return document
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties", {})
    defaults = {name: part["default"] for name, part in properties.items() if "default" in part}
    return defaults | {
        name: _filled(value, properties.get(name, others), whole) for name, value in document.items()
    }


def _comparable(value: Any) -> Any:
    """Return a value in which equal moments are equal; pydantic writes a fraction of seconds with six digits."""
    if isinstance(value, dict):
        return {name: _comparable(part) for name, part in value.items()}
    if isinstance(value, list):
        return list(map(_comparable, value))
    if isinstance(value, str) and value.endswith("Z"):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            return value
    return value


def test_a_class_of_msgspec_is_the_kind_that_decodes_without_pydantic() -> None:
    schema = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
    with imported(source_of([TypeSchema("orders", "OrderPlaced", schema)])) as module:
        assert issubclass(module.OrderPlaced, msgspec.Struct)
