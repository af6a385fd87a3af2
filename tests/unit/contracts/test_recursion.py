"""Recursive unions: what would take twice as long at each level of an event is refused before it is registered."""

from typing import Any

import pytest

from eventfabric.contracts.closing import closed
from eventfabric.contracts.lint import schema_problems
from eventfabric.contracts.validator import SchemaValidator

CHILD = {"child": {"$ref": "#"}}
ITEMS = {"child": {"items": {"$ref": "#"}}}


def branch(members: Any, **rules: Any) -> Any:
    return {"type": "object", "properties": members, **rules}


def tagged(kind: int, members: Any = CHILD) -> Any:
    return branch({"kind": {"const": kind}, **members}, required=["kind"])


def untyped(kind: int) -> Any:
    return {"properties": {"kind": {"const": kind}, **CHILD}, "required": ["kind"]}


PLAIN = [branch(CHILD), branch({**CHILD, "b": {"type": "string"}}, required=["b"])]
NESTED = {"anyOf": [{"oneOf": [tagged(0), tagged(1)]}, {"oneOf": [tagged(2), tagged(3)]}]}


@pytest.mark.parametrize("union", ["anyOf", "oneOf"])
@pytest.mark.parametrize(
    "branches",
    [
        PLAIN,
        [branch(ITEMS), branch(ITEMS)],
        [branch(CHILD), {"additionalProperties": {"$ref": "#"}}],
        [branch(CHILD), {"patternProperties": {"^c": {"$ref": "#"}}}],
        [{"allOf": [branch(CHILD)]}, {"allOf": [branch(CHILD)]}],
        [tagged(1), tagged(1)],
        [branch({"kind": {"const": 1}, **CHILD}), branch({"kind": {"const": 2}, **CHILD})],
        [{"items": {"$ref": "#"}}, {"prefixItems": [{"$ref": "#"}]}],
        [branch({**CHILD, f"m{number}": True}) for number in range(100)],
    ],
)
def test_branches_that_lead_on_together_are_refused(union: str, branches: Any) -> None:
    [problem] = schema_problems({union: branches})
    assert problem.path == f"/{union}"
    assert "const" in problem.allowed


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"anyOf": [branch(CHILD)]}, {"anyOf": [branch(CHILD), {"type": "null"}]}]},
        {"allOf": [{"oneOf": [tagged(0), tagged(1)]}]},
        {"properties": CHILD, "oneOf": [tagged(1), tagged(2)]},
        {"unevaluatedProperties": {"anyOf": [{"$ref": "#"}, {"type": "string"}]}},
    ],
)
def test_a_union_that_leads_on_where_others_do_is_refused(schema: Any) -> None:
    [problem] = schema_problems(schema)
    assert problem.path == ""


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [tagged(1), tagged(2)]},
        {"oneOf": [tagged(number) for number in range(100)]},
        {"oneOf": [{"type": "null"}, branch(CHILD), {"type": "array", "items": {"$ref": "#"}}]},
        {"oneOf": [branch({"and": {"items": {"$ref": "#"}}}), branch({"or": {"items": {"$ref": "#"}}})]},
        {"properties": {"child": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}},
        {"properties": {"kind": True, **CHILD}, "oneOf": [tagged(1, {}), tagged(2, {})]},
        {"anyOf": [branch({"a": True}), branch({"b": True})], "$defs": {"unused": {"$ref": "#"}}},
        {"required": ["kind"], "anyOf": [branch({"kind": {"const": n}, **CHILD}) for n in range(3)]},
        {"type": "object", "oneOf": [untyped(1), untyped(2)]},
        {
            "type": "object",
            "required": ["kind"],
            "oneOf": [{"properties": untyped(n)["properties"]} for n in (1, 2)],
        },
        {"oneOf": [{"type": "null"}, {"oneOf": [tagged(1), tagged(2)]}]},
        {"properties": {"a": True}, "unevaluatedProperties": {"$ref": "#"}},
        {"properties": {name: {"not": {"$ref": "#"}} for name in "abc"}},
    ],
)
def test_branches_of_which_one_leads_on_may_be_registered(schema: Any) -> None:
    assert schema_problems(schema) == []


def deep(levels: int, leaf: Any, **beside: Any) -> Any:
    value = leaf
    for _ in range(levels):
        value = {**beside, "child": value}
    return value


def test_unions_in_unions_that_lead_on_are_one_union() -> None:
    assert "/anyOf" in {problem.path for problem in schema_problems(NESTED)}


UNION = {"oneOf": [tagged(0), tagged(1)]}


@pytest.mark.parametrize("schema", [UNION, {**UNION, "properties": {"a": True}}])
@pytest.mark.parametrize("change", [closed, lambda schema: schema])
def test_deep_events_of_tagged_unions_are_validated(schema: Any, change: Any) -> None:
    validator = SchemaValidator(change(schema))
    assert validator.accepts(deep(120, {"kind": 1}, kind=0))
    refused = deep(120, {"kind": 7}, kind=0)
    assert not validator.accepts(refused)
    [problem] = validator.problems(refused)
    assert problem.path == "data"
    assert "does not fit" in problem.found


def test_an_event_that_fits_has_no_problem_however_deep_it_is() -> None:
    assert SchemaValidator(UNION).problems(deep(120, {"kind": 1}, kind=0)) == []
    assert SchemaValidator(UNION).problems(5) != []
