"""Lint: everything for which a schema may not be registered is said at its place, and nothing hostile takes long."""

from typing import Any

import pytest

from eventfabric.contracts.closing import closed
from eventfabric.contracts.document import read_schema
from eventfabric.contracts.in_place import IN_PLACE_DEPTH_MAX
from eventfabric.contracts.lint import (
    ENUM_VALUES_MAX,
    PROBLEMS_MAX,
    SCHEMA_DEPTH_MAX,
    SUBSCHEMAS_MAX,
    schema_problems,
)
from eventfabric.contracts.validator import SchemaValidator
from eventfabric.errors import InvalidSchemaError

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PERSON = {"type": "object", "properties": {"name": {"type": "string"}}}


@pytest.mark.parametrize(
    "schema",
    [
        True,
        False,
        {},
        {"$schema": DIALECT, "$id": "https://example.com/order.json", "title": "t", "$comment": "c"},
        {"x-owner": "shop", "description": "d", "default": None, "examples": [1], "deprecated": False},
        {"type": ["string", "null"], "minLength": 1, "maxLength": 2.0, "format": "date"},
        {"type": "integer", "minimum": 0, "exclusiveMaximum": 10.5, "multipleOf": 0.5},
        {"enum": [1, "a", None, {"b": []}], "const": {"type": "no schema"}},
        {"properties": {"type": {"type": "string"}, "requried": True}, "required": ["type"]},
        {"patternProperties": {"^x-": True}, "propertyNames": {"pattern": "^[a-z-]+$"}},
        {"prefixItems": [True], "items": False, "contains": {"const": 1}, "minContains": 0},
        {"$ref": "#/$defs/p", "$defs": {"p": PERSON, "unused": {"not": {}}}},
        {"$ref": "#person", "$defs": {"p": {"$anchor": "person", **PERSON}}},
        {"properties": {"children": {"items": {"$ref": "#"}}}},
        {"allOf": [{"$ref": "#/properties/a~1b"}], "properties": {"a/b": True}},
        {"allOf": [{"$ref": "#/properties/a%20b"}], "properties": {"a b": True}},
        {"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": True},
        {"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"a": {"required": ["c"]}}},
        {"unevaluatedProperties": False, "unevaluatedItems": {"type": "null"}, "minProperties": 1},
    ],
)
def test_schemas_of_2020_12_may_be_registered(schema: Any) -> None:
    assert schema_problems(schema) == []


@pytest.mark.parametrize(
    ("schema", "pointer", "state"),
    [
        ({"requried": ["a"]}, "/requried", "unknown keyword"),
        ({"definitions": {}}, "/definitions", "unknown keyword"),
        ({"properties": {"a": {"nullable": True}}}, "/properties/a/nullable", "unknown keyword"),
        ({"$dynamicRef": "#a"}, "/$dynamicRef", "unknown keyword"),
        ({"$recursiveRef": "#"}, "/$recursiveRef", "unknown keyword"),
        ({"$vocabulary": {}}, "/$vocabulary", "unknown keyword"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/$schema", "another dialect"),
        ({"$defs": {"a": {"$schema": "https://example.com"}}}, "/$defs/a/$schema", "another dialect"),
        ({"$ref": "https://example.com/order.json"}, "/$ref", "another document"),
        ({"$ref": "order.json#/$defs/a"}, "/$ref", "another document"),
        ({"items": {"$ref": "#/$defs/b"}, "$defs": {}}, "/items/$ref", "reference to nothing"),
        ({"$ref": "#nowhere"}, "/$ref", "reference to nothing"),
        ({"$ref": "#/enum/0", "enum": [{}]}, "/$ref", "reference to nothing"),
        ({"$ref": "#/properties", "properties": {}}, "/$ref", "reference to nothing"),
        ({"$ref": "#/allOf/01", "allOf": [{}, {}]}, "/$ref", "reference to nothing"),
        ({"$ref": "#%ff"}, "/$ref", "reference to nothing"),
        ({"$ref": "#"}, "", "circle"),
        ({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}}, "/$defs/a/anyOf/0", "circle"),
        ({"not": {"$ref": "#"}}, "/not", "circle"),
        ({"properties": {"a": {"$id": "inner.json"}}}, "/properties/a/$id", "document inside"),
        ({"$id": "order.json#v1"}, "/$id", "fragment"),
        ({"$id": "a b"}, "/$id", "no URI"),
        ({"$id": "::::"}, "/$id", "no URI"),
        ({"$id": "%zz"}, "/$id", "no URI"),
        ({"$id": "http://[::1"}, "/$id", "no URI"),
        ({"$id": "\0"}, "/$id", "no URI"),
        ({"$anchor": "1st"}, "/$anchor", "anchor"),
        ({"$anchor": "a", "items": {"$anchor": "a"}}, "/items/$anchor", "anchor"),
        ({"type": "strin"}, "/type", "string"),
        ({"type": []}, "/type", "empty list"),
        ({"type": ["null", "null"]}, "/type", "list"),
        ({"type": None}, "/type", "null"),
        ({"properties": []}, "/properties", "list"),
        ({"properties": {"a/b": 1}}, "/properties/a~1b", "number"),
        ({"allOf": []}, "/allOf", "empty list"),
        ({"oneOf": [True, "x"]}, "/oneOf/1", "string"),
        ({"items": [True]}, "/items", "list"),
        ({"enum": []}, "/enum", "empty list"),
        ({"required": ["a", "a"]}, "/required", "list"),
        ({"required": True}, "/required", "boolean"),
        ({"dependentRequired": {"a": "b"}}, "/dependentRequired", "object"),
        ({"minLength": -1}, "/minLength", "number"),
        ({"maxItems": 1.5}, "/maxItems", "number"),
        ({"minimum": "1"}, "/minimum", "string"),
        ({"minimum": True}, "/minimum", "boolean"),
        ({"multipleOf": 0}, "/multipleOf", "0"),
        ({"uniqueItems": 1}, "/uniqueItems", "number"),
        ({"title": 1}, "/title", "number"),
        ({"pattern": "(?=a)b"}, "/pattern", "look-ahead"),
        ({"patternProperties": {r"(a)\1": True}}, r"/patternProperties/(a)\1", "back-reference"),
        ({"maximum": float("nan")}, "", "NaN"),
        ({"const": float("inf")}, "", "Infinity"),
        ({"title": "\ud800"}, "", "surrogate"),
        ({"const": (1, 2)}, "", "tuple"),
        ([], "", "list"),
        ("true", "", "string"),
    ],
)
def test_what_may_not_be_registered_is_said_at_its_place(schema: Any, pointer: str, state: str) -> None:
    [problem] = schema_problems(schema)
    assert problem.path == pointer
    assert state in problem.found


@pytest.mark.parametrize(
    ("keyword", "instead"),
    [("requried", "required"), ("definitions", "$defs"), ("nullable", "null"), ("maxlength", "maxLength")],
)
def test_an_unknown_keyword_is_told_its_likely_meaning(keyword: str, instead: str) -> None:
    [problem] = schema_problems({keyword: True})
    assert instead in problem.allowed


@pytest.mark.parametrize("name", ["Größe", "a b", "a#b", "a<b", "{a}", "100%", "a^b", "[a]", 'a"b', "a|b"])
def test_a_reference_is_percent_encoded(name: str) -> None:
    schema = {"$ref": f"#/$defs/{name}", "$defs": {name: {"type": "integer"}}}
    [problem] = schema_problems(schema)
    assert problem.path == "/$ref"
    encoded = {**schema, "$ref": problem.allowed.removeprefix("percent-encoded: ")}
    assert schema_problems(encoded) == []
    for version in (encoded, closed(encoded)):
        validator = SchemaValidator(version)
        assert validator.accepts(1)
        assert not validator.accepts("a")


@pytest.mark.parametrize(
    "name", ["", "order", "urn:x", "http://host:99999/", "json-schema:///", "a/b:c", "x" * 5000]
)
def test_a_schema_that_has_a_name_can_be_compiled(name: str) -> None:
    schema = {"$id": name, "$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}}
    assert schema_problems(schema) == []
    for version in (schema, closed(schema)):
        assert not SchemaValidator(version).accepts("a")


def test_all_problems_are_listed_in_the_order_of_the_text() -> None:
    schema = {"typ": "a", "properties": {"b": {"mininum": 1}, "c": {"type": 5}}, "items": {"x": 1}}
    paths = [problem.path for problem in schema_problems(schema)]
    assert paths == ["/typ", "/properties/b/mininum", "/properties/c/type", "/items/x"]
    assert len(schema_problems({"properties": {f"p{n}": {"typ": 1} for n in range(1000)}})) == PROBLEMS_MAX


def nested(depth: int) -> Any:
    schema: Any = True
    for _ in range(depth):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    ("largest", "larger"),
    [
        (nested(SCHEMA_DEPTH_MAX - 1), nested(SCHEMA_DEPTH_MAX)),
        ({"enum": [*range(ENUM_VALUES_MAX)]}, {"enum": [*range(ENUM_VALUES_MAX + 1)]}),
        (
            {"prefixItems": [True] * (SUBSCHEMAS_MAX - 1)},
            {"prefixItems": [True] * SUBSCHEMAS_MAX},
        ),
    ],
)
def test_a_schema_has_a_bounded_size(largest: Any, larger: Any) -> None:
    assert schema_problems(largest) == []
    [problem] = schema_problems(larger)
    assert "more than" in problem.found or "values" in problem.found


def chain(length: int, *, reverse: bool = False) -> Any:
    links = [(f"d{n}", {"$ref": f"#/$defs/d{n + 1}"}) for n in range(length)]
    links = [*reversed(links)] if reverse else links
    return {"$ref": "#/$defs/d0", "$defs": {**dict(links), f"d{length}": {"type": "string"}}}


@pytest.mark.parametrize("reverse", [False, True])
def test_references_to_references_are_a_short_chain(reverse: bool) -> None:
    assert schema_problems(chain(IN_PLACE_DEPTH_MAX - 2, reverse=reverse)) == []
    [problem] = schema_problems(chain(3000, reverse=reverse))
    assert "in a chain" in problem.found


def test_schemas_that_double_at_each_reference_are_refused() -> None:
    doubling = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(20)}
    [problem] = schema_problems({"$ref": "#/$defs/d0", "$defs": {**doubling, "d20": True}})
    assert "apply to the same value" in problem.found


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"items":' * 100_000,
        "{" + ",".join(f'"n{n}": true' for n in range(50_000)) + ', "n7": true}',
        '{"maximum": 1' + "0" * 100_000 + "}",
        '{"allOf": [' + ",".join(['{"$ref": "#/$defs/a"}'] * 40_000) + '], "$defs": {"a": {}}}',
        '{"properties": {"' + "n" * 200_000 + '": {"typ": 1}}}',
        '{"pattern": "' + "(a{1000}){1000}" * 10_000 + '"}',
        '{"pattern": "' + "(" * 500_000 + '"}',
        '{"$ref": "#' + "/allOf/0" * 100_000 + '"}',
    ],
)
def test_hostile_text_ends_in_one_error(text: str) -> None:
    with pytest.raises(InvalidSchemaError) as refused:
        read_schema(text, where="orders/OrderPlaced.json")
    assert refused.value.where == "orders/OrderPlaced.json"


def test_problems_of_a_text_are_pointers_into_it() -> None:
    with pytest.raises(InvalidSchemaError) as refused:
        read_schema('{"properties": {"a": {"typ": 1}}}', where="orders/OrderPlaced.json")
    [problem] = refused.value.problems
    assert problem.path == "#/properties/a/typ"
    assert refused.value.where == "orders/OrderPlaced.json"
