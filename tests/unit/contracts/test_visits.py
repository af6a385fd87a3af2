"""Visits: of an event that does not fit, all errors are collected only where they are few and small."""

from typing import Any

import pytest

from eventfabric.contracts.validator import SchemaValidator
from eventfabric.contracts.visits import VisitCounter


def consts(count: int) -> Any:
    return {"oneOf": [{"const": f"c{number}"} for number in range(count)]}


TYPES = {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}
MANY: dict[str, tuple[Any, Any]] = {
    "constants": ({"items": consts(200)}, ["x"] * 5_000),
    "a map of constants": ({"additionalProperties": consts(200)}, {f"k{n}": "x" for n in range(5_000)}),
    "names": ({"propertyNames": consts(200)}, {f"k{n}": 1 for n in range(5_000)}),
    "lists of values": ({"items": {"enum": [f"value {n}" for n in range(1_000)]}}, ["x"] * 500),
    "types": ({"items": TYPES}, [1.5] * 5_000),
    "errors at lists": ({"items": {"type": "string"}}, [[]] * 10_000),
    "a large text": (consts(900), "x" * 100_000),
}


@pytest.mark.parametrize(("schema", "value"), MANY.values(), ids=MANY)
def test_errors_of_many_scalars_or_of_large_rules_or_values_are_many(schema: Any, value: Any) -> None:
    assert not VisitCounter(schema).are_few(value)
    assert len(SchemaValidator(schema).problems(value)) == 1


def test_large_values_at_each_level_are_many() -> None:
    schema = {"properties": {"child": {"$ref": "#"}}, "required": [f"q{number}" for number in range(40)]}
    value: Any = ["x"] * 50_000
    for _ in range(100):
        value = {"child": value}
    assert not VisitCounter(schema).are_few(value)
    assert [problem.path for problem in SchemaValidator(schema).problems(value)] == ["data"]


def test_of_many_errors_the_first_says_where() -> None:
    tagged = [{"properties": {"kind": {"const": n}}, "required": ["kind"]} for n in (0, 1)]
    schema = {"items": {"type": "object", "anyOf": tagged}}
    value = [{"kind": 0}] * 3 + [{"kind": number} for number in range(5_000)]
    assert not VisitCounter(schema).are_few(value)
    assert VisitCounter(schema).are_few_in_unions(value)
    assert [problem.path for problem in SchemaValidator(schema).problems(value)] == ["data/5"]


def test_of_many_errors_in_one_union_nothing_says_where() -> None:
    schema = {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]}
    value = [1] * 10_000 + ["x"]
    assert not VisitCounter(schema).are_few_in_unions(value)
    assert [problem.path for problem in SchemaValidator(schema).problems(value)] == ["data"]


def test_a_large_event_that_fits_has_no_problem() -> None:
    assert SchemaValidator({"items": TYPES}).problems(["x"] * 10_000) == []


def test_all_errors_of_a_small_event_are_collected() -> None:
    assert len(SchemaValidator({"items": TYPES}).problems([1.5, 2.5, 3.5])) == 3
