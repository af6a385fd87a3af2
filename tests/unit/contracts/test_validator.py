"""The validator: a value fits a schema or does not, and problems say where and by which rule, but no value."""

import socket
from pathlib import Path
from typing import Any

import pytest

from eventfabric.contracts.validator import PROBLEMS_MAX, SchemaValidator
from eventfabric.errors import InvalidSchemaError

ORDER: dict[str, Any] = {
    "type": "object",
    "required": ["order", "lines"],
    "properties": {
        "order": {"type": "string", "maxLength": 5},
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"sku": {"type": "string"}, "count": {"minimum": 1}},
                "unevaluatedProperties": False,
            },
        },
        "prices": {"additionalProperties": {"type": "number"}},
    },
    "unevaluatedProperties": False,
}
SECRET = "opensesame"


def problems(schema: Any, value: object) -> list[str]:
    validator = SchemaValidator(schema)
    texts = [str(problem) for problem in validator.problems(value)]
    assert validator.accepts(value) is not bool(texts)
    return texts


def test_what_fits_has_no_problem() -> None:
    value = {"order": "A-1", "lines": [{"sku": "x", "count": 1}], "prices": {"anything": 1.5}}
    assert problems(ORDER, value) == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"lines": []}, 'data: found no member order, allowed: required ["order", "lines"]'),
        ({"order": SECRET, "lines": []}, "data/order: found a string, allowed: maxLength 5"),
        ({"order": "A", "lines": {}}, 'data/lines: found an object, allowed: type "array"'),
        (
            {"order": "A", "lines": [{}, {"count": 0}]},
            "data/lines/1/count: found a number, allowed: minimum 1",
        ),
        (SECRET, 'data: found a string, allowed: type "object"'),
        (None, 'data: found null, allowed: type "object"'),
        (
            {"order": "A", "lines": [{SECRET: 1, "other": 2}]},
            "data/lines/0: found 2 members without a name in the schema, allowed: only sku, count",
        ),
        (
            {"order": "A", "lines": [], "prices": {SECRET: "much"}},
            'data/prices/*: found a string, allowed: type "number"',
        ),
    ],
)
def test_a_problem_says_where_and_by_which_rule(value: object, said: str) -> None:
    assert problems(ORDER, value) == [said]


EVERY_RULE: list[tuple[dict[str, Any], object]] = [
    ({"type": "integer"}, SECRET),
    ({"enum": ["a", 1]}, SECRET),
    ({"const": {"a": 1}}, SECRET),
    ({"pattern": "^a+$"}, SECRET),
    ({"minLength": 50}, SECRET),
    ({"multipleOf": 0.01}, 7654.321),
    ({"maximum": 3}, 7654),
    ({"not": {"type": "string"}}, SECRET),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, SECRET),
    ({"oneOf": [{"type": "string"}, {"maxLength": 99}]}, SECRET),
    ({"uniqueItems": True}, [SECRET, SECRET]),
    ({"contains": {"const": 1}, "minContains": 2}, [SECRET, 1]),
    ({"prefixItems": [{}], "items": False}, [1, SECRET]),
    ({"prefixItems": [{}], "unevaluatedItems": False}, [1, SECRET]),
    ({"maxItems": 1}, [1, SECRET]),
    ({"propertyNames": {"maxLength": 3}}, {SECRET: 1}),
    ({"minProperties": 2}, {SECRET: 1}),
    ({"additionalProperties": False}, {SECRET: SECRET}),
    ({"patternProperties": {"^o": {"type": "integer"}}}, {SECRET: SECRET}),
    ({"dependentRequired": {"a": ["b"]}}, {"a": SECRET}),
    ({"dependentSchemas": {"a": {"required": ["c"]}}}, {"a": SECRET}),
    ({"if": {"type": "string"}, "then": {"maxLength": 1}}, SECRET),
    ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}, SECRET),
    ({"properties": {"a": False}}, {"a": SECRET}),
]


@pytest.mark.parametrize(("schema", "value"), EVERY_RULE, ids=lambda part: str(part)[:40])
def test_no_rule_shows_a_value_or_a_name_that_is_data(schema: dict[str, Any], value: object) -> None:
    [said] = problems(schema, value)
    assert SECRET not in said
    assert "7654" not in said


def test_of_a_union_the_problem_is_that_of_the_branch_that_was_meant() -> None:
    card = {"properties": {"kind": {"const": "card"}, "number": {"type": "string"}}, "required": ["kind"]}
    cash = {"properties": {"kind": {"const": "cash"}}, "required": ["kind"]}
    assert problems({"oneOf": [card, cash]}, {"kind": "card", "number": 5}) == [
        'data/number: found a number, allowed: type "string"'
    ]
    assert problems({"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 2}]}, "long") == [
        "data: found a string, allowed: maxLength 2"
    ]


def test_a_long_rule_is_said_by_its_place_in_the_schema() -> None:
    schema = {"properties": {"a/b": {"enum": [f"value {number}" for number in range(100)]}}}
    assert problems(schema, {"a/b": 1}) == [
        "data/a~1b: found a number, allowed: enum at #/properties/a~1b/enum"
    ]


def test_few_of_many_problems_are_said() -> None:
    schema = {"items": {"type": "string"}}
    assert len(problems(schema, [1] * 1_000)) == PROBLEMS_MAX


def test_formats_are_annotations_and_every_schema_is_of_2020_12() -> None:
    assert problems({"format": "date-time"}, "no time") == []
    draft_7 = "http://json-schema.org/draft-07/schema#"
    assert problems({"$schema": draft_7, "prefixItems": [{"type": "string"}]}, [1])


def test_a_whole_number_with_a_point_is_an_integer() -> None:
    assert problems({"type": "integer"}, 1.0) == []


@pytest.mark.parametrize("pattern", ["(?=a)b", "(a)\\1", "(?<!a)b", "("])
def test_a_pattern_that_may_not_run_in_linear_time_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidSchemaError) as refused:
        SchemaValidator({"properties": {"a": {"pattern": pattern}}})
    [problem] = refused.value.problems
    assert problem.path == "/properties/a/pattern"


def test_a_pattern_runs_in_linear_time_whatever_the_text() -> None:
    assert problems({"pattern": "^(a+)+$"}, "a" * 100_000 + "b")


def test_nothing_is_retrieved(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("true")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        served = f"http://127.0.0.1:{server.getsockname()[1]}/order.json"
        for uri in (served, other.as_uri(), "other.json", "#/$defs/missing"):
            with pytest.raises(InvalidSchemaError):
                SchemaValidator({"$ref": uri})
        with pytest.raises(BlockingIOError):  # nobody has connected
            server.accept()


def test_what_is_no_schema_is_refused_by_its_pointer() -> None:
    with pytest.raises(InvalidSchemaError) as refused:
        SchemaValidator({"properties": {"a": {"type": "text"}}}, where="orders/OrderPlaced.json")
    assert refused.value.where == "orders/OrderPlaced.json"
    assert [problem.path for problem in refused.value.problems] == ["/properties/a/type"]
