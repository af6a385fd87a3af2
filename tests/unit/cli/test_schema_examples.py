"""Invented examples: they fit their schema, are always the same, and are left out rather than wrong."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfabric.cli.catalogue.examples import Example, example_of
from eventfabric.contracts.keywords import JsonSchema
from tests.support.described import ORDER, TREE, fits

TEXTS = st.sampled_from(["a", "b", "c"])
LEAVES: st.SearchStrategy[JsonSchema] = st.one_of(
    st.sampled_from(
        [True, {}, {"type": "null"}, {"type": "boolean"}, {"const": {"a": 1}}, {"enum": [3, None]}]
    ),
    st.builds(
        lambda kind, least, span: {"type": kind, "minimum": least, "maximum": least + span},
        st.sampled_from(["integer", "number"]),
        st.integers(-50, 50),
        st.integers(0, 5),
    ),
    st.builds(
        lambda least, span: {"type": "string", "minLength": least, "maxLength": least + span},
        st.integers(0, 30),
        st.integers(0, 5),
    ),
    st.sampled_from(["date", "date-time", "uuid", "email", "ipv4"]).map(
        lambda f: {"type": "string", "format": f}
    ),
    st.sampled_from([r"^\d{3}$", "^[a-f]+-[0-9]{2,}$", "^(ab|cd)*x?$"]).map(
        lambda p: {"pattern": p, "type": "string"}
    ),
)


def containers(inner: st.SearchStrategy[JsonSchema]) -> st.SearchStrategy[JsonSchema]:
    properties = st.dictionaries(TEXTS, inner, max_size=3)
    return st.one_of(
        st.builds(
            lambda own, required: {
                "type": "object",
                "properties": own,
                "required": sorted(required & own.keys()),
            },
            properties,
            st.sets(TEXTS),
        ),
        st.builds(
            lambda item, least: {"type": "array", "items": item, "minItems": least}, inner, st.integers(0, 3)
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: {"type": "array", "prefixItems": items}),
        st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches}),
    )


SCHEMAS = st.recursive(LEAVES, containers, max_leaves=8)


def made(schema: JsonSchema) -> Any:
    """The example of a schema that has one."""
    example = example_of(schema, fits(schema))
    assert example is not None
    assert fits(schema)(example.data)
    return example.data


@given(SCHEMAS)
def test_a_schema_of_usual_parts_has_an_example_that_fits(schema: JsonSchema) -> None:
    assert made(schema) == made(schema)


def test_all_members_are_shown_and_what_refers_to_itself_ends() -> None:
    customer = {"id": "01234567-89ab-7def-8123-456789abcdef"}
    assert made(ORDER) == {
        "order": "AA-0000",
        "customer": customer,
        "lines": [{"sku": "sku"}],
        "gift": True,
    }
    assert made(TREE) == {"children": []}


@pytest.mark.parametrize(
    "schema",
    [
        {"oneOf": [{"type": "object", "required": ["a"]}, {"type": "object", "required": ["b"]}]},
        {"oneOf": [False, {"const": 1}]},
        {"allOf": [{"minimum": 3, "type": "number"}, {"type": "integer", "maximum": 4}]},
        {
            "allOf": [
                {"properties": {"a": {"minimum": 3}}},
                {"properties": {"a": {"maximum": 3}}, "required": ["a"]},
            ]
        },
        {"type": "object", "if": {"required": ["a"]}, "then": {"required": ["b"]}},
        {"type": "object", "if": True, "then": False, "else": True, "required": ["a"]} | {"if": False},
        {"type": "array", "items": {"type": "integer"}, "minItems": 4, "uniqueItems": True},
        {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "string"}}}, "minItems": 3}
        | {"uniqueItems": True},
        {"type": "array", "contains": {"const": 7}, "minItems": 1},
        {"type": "array", "items": False},
        {"type": "object", "minProperties": 3, "additionalProperties": {"type": "integer"}},
        {"type": "object", "maxProperties": 1, "properties": {"a": True, "b": True}, "required": ["b"]},
        {
            "type": "object",
            "minProperties": 2.0,
            "maxProperties": 2.0,
            "properties": {"a": True, "b": True, "c": True},
        },
        {"type": "object", "minProperties": 2.0, "required": ["a"]},
        {"type": "array", "minItems": 2.0, "maxItems": 2.0, "items": {"type": "string", "minLength": 40.0}},
        {"type": "string", "maxLength": 3.0},
        {"type": "string", "pattern": "^[a-z]+$", "minLength": 40.0, "maxLength": 41.0},
        {"type": "integer", "exclusiveMinimum": 1, "multipleOf": 7},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        {"type": "number", "exclusiveMaximum": -3},
        {"type": "number", "maximum": 0.25, "multipleOf": 0.01},
        {"type": ["null", "string"]},
        {"required": ["a"], "properties": {"a": {"$ref": "#/$defs/x~1y"}}, "$defs": {"x/y": {"const": 1}}},
        {"type": "string", "pattern": "^[a-z]+$", "minLength": 40},
        {"not": {"const": "example"}, "type": ["string", "integer"]},
    ],
)
def test_schemas_of_less_usual_parts_have_examples_that_fit(schema: JsonSchema) -> None:
    made(schema)


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"$ref": "#/$defs/none"},
        {"$ref": "https://example.com/other.json"},
        {"$ref": "#"},
        {"type": "string", "pattern": "(?=a)b"},
        {"type": "object", "required": ["a"], "properties": {"a": False}},
        {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}},
        {"not": {}},
    ],
)
def test_there_is_no_example_rather_than_a_wrong_one(schema: JsonSchema) -> None:
    assert example_of(schema, fits({} if schema == {"$ref": "#"} else True)) is None or schema == {"not": {}}
    if schema == {"not": {}}:
        assert example_of(schema, fits(schema)) is None


def test_null_is_an_example() -> None:
    assert example_of({"type": "null"}, fits({"type": "null"})) == Example(None)


def nested(levels: int, least: int) -> JsonSchema:
    schema: JsonSchema = {"type": "integer"}
    for _ in range(levels):
        schema = {"type": "array", "minItems": least, "items": schema}
    return schema


WIDE: dict[str, Any] = {
    "$ref": "#/$defs/n0",
    "$defs": {
        f"n{i}": {
            "type": "object",
            "properties": {f"m{j}": {"$ref": f"#/$defs/n{(i + j + 1) % 30}"} for j in range(20)},
        }
        for i in range(30)
    },
}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number", "minimum": 10**309},
        {"type": "integer", "minimum": 10**309},
        {"type": "integer", "multipleOf": 2.5},
        {"type": "string", "minLength": 8_000},
        {"type": "string", "minLength": 1_500, "pattern": "^(ab?){2,}$"},
        WIDE,
        {"type": "object", "properties": {f"name{i}": {"const": "x" * 100} for i in range(400)}},
        {"allOf": [{"enum": list(range(9_000))}, {"enum": list(range(8_999, 19_000))}]},
    ],
)
def test_an_example_is_small_however_much_a_schema_allows(schema: JsonSchema) -> None:
    assert len(json.dumps(made(schema))) < 20_000


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": 10**12},
        {"type": "string", "minLength": 10**12, "pattern": "^a*$"},
        {"type": "string", "pattern": "^((((a{1000}){1000}){1000}){1000}){1000}$"},
        {"type": "string", "pattern": f"^{'a?' * 60_000}$", "minLength": 8_000},
        {"type": "array", "minItems": 10**12, "items": {"type": "string", "minLength": 10**6}},
        {"type": "object", "minProperties": 10**12},
        nested(3, 300),
        nested(4, 60),
        {"const": "x" * 9_000},
        {"const": "\u20ac" * 4_000},
        {"type": "array", "minItems": 100, "items": {"const": "x" * 1_000}},
        {
            **WIDE,
            "$defs": {n: {**own, "required": list(own["properties"])} for n, own in WIDE["$defs"].items()},
        },
    ],
)
def test_what_is_too_large_to_be_read_has_no_example(schema: JsonSchema) -> None:
    assert example_of(schema, lambda _: True) is None


@pytest.mark.parametrize(
    ("schema", "number"),
    [
        ({"maximum": -(10**309), "multipleOf": 0.1}, -(10**309)),
        ({"minimum": 1e308, "multipleOf": 1e-300}, int("1" + 308 * "0")),
        ({"exclusiveMaximum": 5e-324, "exclusiveMinimum": -1}, 0),
        ({"minimum": 0.3, "multipleOf": 0.1}, 1),
        ({"maximum": 0.3, "multipleOf": 0.1}, 0.3),
    ],
)
def test_numbers_of_any_size_are_exact(schema: JsonSchema, number: float) -> None:
    assert example_of(schema, lambda _: True) == Example(number)


def test_a_number_that_no_float_can_be_has_no_example() -> None:
    assert example_of({"minimum": 10**400 + 1, "multipleOf": 0.7}, lambda _: True) is None


def test_of_a_schema_with_very_many_members_the_uppermost_are_shown() -> None:
    assert set(made(WIDE)) == {f"m{number}" for number in range(20)}
