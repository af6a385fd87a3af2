"""Ways to a value: schemas by which validating an event would take too long are refused, others are not."""

from typing import Any

import pytest

from eventfabric.contracts.closing import closed
from eventfabric.contracts.graph import SchemaGraph
from eventfabric.contracts.lint import schema_problems
from eventfabric.contracts.ways import WAYS_MAX, too_many_ways

STRING = {"type": "string"}


def member(schema: Any, **others: Any) -> Any:
    return {"type": "object", "properties": {"a": schema, **others}}


def inline(levels: int, level: Any) -> Any:
    schema: Any = STRING
    for _ in range(levels):
        schema = level(schema)
    return {"type": "object", "properties": {"r": schema}}


def referred(levels: int, level: Any) -> Any:
    definitions = {f"N{number}": level({"$ref": f"#/$defs/N{number + 1}"}) for number in range(levels)}
    return {"properties": {"r": {"$ref": "#/$defs/N0"}}, "$defs": {**definitions, f"N{levels}": STRING}}


def tagged(kind: object, schema: Any) -> Any:
    return {**member(schema, kind={"const": kind}), "required": ["kind"]}


BRANCHING = {
    "branches that may match together": lambda schema: {"anyOf": [member(schema), member(schema, b=STRING)]},
    "oneOf": lambda schema: {"oneOf": [member(schema), {**member(schema), "required": ["z"]}]},
    "two branches with a tag": lambda schema: {"oneOf": [tagged("one", schema), tagged("two", schema)]},
    "tags that are no names": lambda schema: {"oneOf": [tagged(n, schema) for n in (None, True, 1.5)]},
    "tags of which two are equal": lambda schema: {"oneOf": [tagged(n, schema) for n in ("a", "a", "b")]},
    "another tag that comes first": lambda schema: {
        "oneOf": [
            {**member(schema, kind={"const": n}, aa={"const": 1}), "required": ["kind", "aa"]} for n in "xyz"
        ]
    },
    "parts": lambda schema: {"allOf": [member(schema), member(schema)]},
    "a part and its own": lambda schema: {**member(schema), "allOf": [member(schema)]},
    "patterns": lambda schema: {"patternProperties": {"^a": schema, "a$": schema}},
    "a pattern with a choice": lambda schema: {"patternProperties": {"^ab|c": schema, "^c": schema}},
    "a pattern that repeats": lambda schema: {"patternProperties": {"^ab*": schema, "^ac": schema}},
    "a pattern and a name": lambda schema: {**member(schema), "patternProperties": {"^a": schema}},
    "a condition": lambda schema: {"if": member(schema), "then": member(schema)},
    "not": lambda schema: {**member(schema), "not": {"not": member(schema)}},
    "dependent": lambda schema: {**member(schema), "dependentSchemas": {"a": member(schema)}},
    "what others do not evaluate": lambda schema: {
        "unevaluatedProperties": schema,
        "allOf": [{"unevaluatedProperties": schema}],
    },
    "additional": lambda schema: {
        "additionalProperties": schema,
        "allOf": [{"additionalProperties": schema}],
    },
    "items": lambda schema: {"items": schema, "contains": schema},
    "first items": lambda schema: {"prefixItems": [schema], "allOf": [{"items": schema}]},
}
STRAIGHT = {
    "a member": lambda schema: member(schema, b=STRING),
    "a nullable member": lambda schema: {"type": ["object", "null"], "properties": {"a": schema}},
    "additional": lambda schema: {"properties": {"b": True}, "additionalProperties": schema},
    "patterns with other beginnings": lambda schema: {"patternProperties": {"^x-": schema, "^y-": schema}},
    "a name and a pattern": lambda schema: {**member(schema), "patternProperties": {"^x-": schema}},
    "items": lambda schema: {"prefixItems": [schema], "items": schema},
    "a base": lambda schema: {"allOf": [{"properties": {"id": STRING}}, member(schema)]},
}


@pytest.mark.parametrize("level", BRANCHING.values(), ids=BRANCHING)
def test_ways_that_multiply_are_refused_where_they_do(level: Any) -> None:
    assert schema_problems(referred(1, level)) == []
    [problem] = schema_problems(referred(12, level))
    assert problem.path
    assert "ways" in problem.found


@pytest.mark.parametrize("form", [inline, referred])
@pytest.mark.parametrize("level", STRAIGHT.values(), ids=STRAIGHT)
def test_one_way_is_one_however_deep_it_is(form: Any, level: Any) -> None:
    assert schema_problems(form(12, level)) == []


@pytest.mark.parametrize(
    "branches",
    [
        lambda schema: [tagged(name, schema) for name in ("one", "two", "three")],
        lambda schema: [tagged(number, schema) for number in (1, 2, 3)],
        lambda schema: [member(schema), {"type": "array", "items": schema}, {"type": "null"}],
    ],
)
def test_branches_of_which_a_validator_tries_one_are_one_way(branches: Any) -> None:
    graph = SchemaGraph(referred(20, lambda schema: {"oneOf": branches(schema)}))
    assert too_many_ways(graph) is None


def test_the_ways_of_the_closed_schema_count() -> None:
    schema = inline(6, BRANCHING["oneOf"])
    assert too_many_ways(SchemaGraph(schema)) is None
    excess = too_many_ways(SchemaGraph(closed(schema)))
    assert excess is not None
    assert (excess.ways or 0) > WAYS_MAX
    assert schema_problems(schema)[0].path.startswith("/properties/r")


def test_a_problem_in_what_closing_adds_is_said_where_it_comes_from() -> None:
    union = BRANCHING["branches that may match together"]
    schema = {**referred(7, union), "allOf": [{"$ref": "#/$defs/N0"}]}
    [problem] = schema_problems(schema)
    assert problem.path.startswith("/$defs/N")


def test_large_recursive_schemas_are_counted_to_the_end() -> None:
    nullable = {"anyOf": [{"$ref": "#"}, {"type": "null"}]}
    assert schema_problems({"type": "object", "properties": {f"p{n}": nullable for n in range(1_000)}}) == []
