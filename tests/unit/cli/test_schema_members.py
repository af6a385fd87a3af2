"""Members: the rows that people read of a schema."""

from typing import Any

import pytest

from eventfabric.cli.catalogue.members import ROWS_MAX, members_of
from eventfabric.contracts.keywords import JsonSchema
from tests.support.described import ORDER, TREE


def rows(schema: JsonSchema) -> dict[str, tuple[str, bool | None]]:
    return {own.path: (own.type, own.is_required) for own in members_of(schema)}


def test_members_stand_under_what_holds_them_with_type_and_presence() -> None:
    assert rows(ORDER) == {
        "order": ("string", True),
        "customer": ("object", True),
        "customer.id": ("string", True),
        "customer.referrer": ("Customer, as above", False),
        "lines": ("array", True),
        "lines[]": ("object", None),
        "lines[].sku": ("string", True),
        "gift": ("boolean", False),
    }
    by_path = {own.path: own for own in members_of(ORDER)}
    assert by_path["order"].description == "Number of the order."
    assert by_path["gift"].is_deprecated
    assert not by_path["order"].is_deprecated


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (True, {"": ("any", None)}),
        (False, {"": ("none", None)}),
        ({"type": "string"}, {"": ("string", None)}),
        (TREE, {"children": ("array", False), "children[]": ("the whole, as above", None)}),
        (
            {"oneOf": [{"const": 1}, True]},
            {"": ("one of 2", None), " (or 1)": ("integer", None), " (or 2)": ("any", None)},
        ),
        (
            {"type": ["array", "null"], "prefixItems": [{"enum": ["a", 1]}], "items": {"type": "null"}},
            {"": ("array or null", None), "[0]": ("integer or string", None), "[]": ("null", None)},
        ),
        (
            {"type": "object", "additionalProperties": {"type": "number"}, "patternProperties": {"^x": True}},
            {"": ("object", None), "/^x/": ("any", None), "*": ("number", None)},
        ),
        ({"properties": {"a": {"$ref": "#/$defs/no"}}}, {"a": ("#/$defs/no", False)}),
    ],
)
def test_every_kind_of_schema_has_rows(schema: JsonSchema, expected: dict[str, Any]) -> None:
    assert rows(schema) == expected


def test_bounds_are_said_in_words() -> None:
    schema = {
        "properties": {
            "a": {"type": "integer", "minimum": 1, "maximum": 9, "multipleOf": 2},
            "b": {"type": "number", "exclusiveMinimum": 0},
            "c": {"type": "string", "minLength": 2.0, "maxLength": 2, "format": "uuid", "pattern": "^x"},
            "d": {"enum": ["x", None], "default": "x"},
            "e": {"type": "array", "maxItems": 3, "uniqueItems": True},
            "f": {"type": "object", "additionalProperties": False, "minProperties": 1},
            "g": {"const": "y" * 1_000},
            "h": {"prefixItems": [True], "items": False},
        }
    }
    said = {own.path: own.bounds for own in members_of(schema)}
    assert said["a"] == ("1 to 9", "multiple of 2")
    assert said["b"] == ("more than 0",)
    assert said["c"] == ("2 characters", "format uuid", "matches ^x")
    assert said["d"] == ('one of "x", null', 'default "x"')
    assert said["e"] == ("at most 3 items", "no two alike")
    assert said["f"] == ("1 or more members", "no other members")
    assert len(said["g"][0]) < 250
    assert said["h"] == ("no other items",)


def test_a_schema_without_end_has_rows_with_an_end() -> None:
    wide = {"properties": {f"m{number}": True for number in range(2 * ROWS_MAX)}}
    assert len(members_of(wide)) == ROWS_MAX
    twice = {
        f"d{n}": {"properties": {"a": {"$ref": f"#/$defs/d{n + 1}"}, "b": {"$ref": f"#/$defs/d{n + 1}"}}}
        for n in range(40)
    }
    assert len(members_of({"$ref": "#/$defs/d0", "$defs": twice})) == ROWS_MAX
    deep: JsonSchema = True
    for _ in range(90):
        deep = {"properties": {"a": deep}}
    assert len(members_of(deep)) < 90


def test_cells_are_short_however_much_is_in_a_schema() -> None:
    part = {"enum": ["x" * 100] * 1_000, "description": "word " * 10_000, "pattern": "a" * 10_000}
    properties = {f"m{number}": {"$ref": "#/$defs/part"} for number in range(500)}
    rows = members_of({"properties": properties, "$defs": {"part": part}})
    assert len(rows) == 500
    assert sum(len(repr(row)) for row in rows) < 500 * 10_000
