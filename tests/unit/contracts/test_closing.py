"""Closing: producers may publish only members that a schema names, at each place of a document."""

import json
from typing import Any

import jsonschema
import pytest

from eventfabric.contracts.closing import closed, closed_suffices
from eventfabric.contracts.lint import schema_problems

POINT = {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "number"}}}
LIST = {"properties": {"value": {"type": "integer"}, "next": {"$ref": "#/$defs/list"}}, "required": ["value"]}
SHAPES = [
    {"properties": {"kind": {"const": "circle"}, "r": {"type": "number"}}, "required": ["kind"]},
    {"properties": {"kind": {"const": "square"}, "a": {"type": "number"}}, "required": ["kind"]},
]
CLOSED = [
    ({"properties": {"a": {}}}, [{}, {"a": 1}, 5], [{"b": 1}, {"a": 1, "b": 1}]),
    ({"properties": {"a": POINT}}, [{"a": {"x": 1}}, {"a": {}}], [{"a": {"z": 1}}]),
    ({"items": POINT}, [[{"x": 1}], 1], [[{"x": 1}, {"z": 1}], [1]]),
    ({"prefixItems": [POINT], "items": True}, [[{"x": 1}, {"z": 1}]], [[{"z": 1}]]),
    ({"additionalProperties": POINT}, [{"any": {"x": 1}}], [{"any": {"z": 1}}]),
    ({"patternProperties": {"^p": POINT}}, [{"p1": {"x": 1}}], [{"p1": {"z": 1}}, {"q": 1}]),
    ({"properties": {"a": {}}, "additionalProperties": True}, [{"a": 1, "b": 1}], []),
    ({"properties": {"a": {}}, "unevaluatedProperties": {"type": "null"}}, [{"b": None}], [{"b": 1}]),
    ({"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, [{"a": 1, "b": 1}], [{"c": 1}]),
    ({"$ref": "#/$defs/p", "properties": {"z": {}}, "$defs": {"p": POINT}}, [{"x": 1, "z": 1}], [{"w": 1}]),
    ({"$ref": "#/$defs/list", "$defs": {"list": LIST}}, [{"value": 1, "next": {"value": 2}}], []),
    (
        {"$ref": "#/$defs/list", "$defs": {"list": LIST}},
        [{"value": 1}],
        [{"value": 1, "z": 1}, {"value": 1, "next": {"value": 2, "z": 1}}],
    ),
    (
        {"properties": {"next": {"$ref": "#"}, "v": {}}},
        [{"next": {"next": {"v": 1}}}],
        [{"next": {"next": {"w": 1}}}, {"w": 1}],
    ),
    (
        # The root stands at a place and is referred to in place, so that it has two versions.
        {"properties": {"v": {}, "more": {"$ref": "#", "properties": {"w": {}}}}},
        [{"more": {"v": 1, "w": 1}}, {"more": {"more": {"w": 1}}}],
        [{"w": 1}, {"more": {"u": 1}}, {"more": {"more": {"u": 1}}}],
    ),
    (
        {"properties": {"a": POINT, "b": {"allOf": [{"$ref": "#/properties/a"}, {"properties": {"z": {}}}]}}},
        [{"a": {"x": 1}, "b": {"x": 1, "z": 1}}],
        [{"a": {"z": 1}}, {"b": {"w": 1}}, {"b": {"x": "text"}}],
    ),
    (
        {"oneOf": SHAPES},
        [{"kind": "circle", "r": 1}],
        [{"kind": "circle", "a": 1}, {"kind": "square", "r": 1}],
    ),
    ({"anyOf": SHAPES}, [{"kind": "square", "a": 1}], [{"kind": "square", "r": 1}, {"kind": "none"}]),
    (
        {"properties": {"a": {}}, "dependentSchemas": {"a": {"properties": {"b": {}}}}},
        [{"a": 1, "b": 1}],
        [{"b": 1}],
    ),
    (
        # A condition is met as before: `a` has members that the condition does not name.
        {
            "properties": {"a": {"properties": {"x": {}, "y": {}}}, "b": {}},
            "if": {"properties": {"a": {"$ref": "#/$defs/one"}}},
            "then": {"required": ["b"]},
            "$defs": {"one": {"properties": {"x": {"const": 1}}}},
        },
        [{"a": {"x": 1, "y": 1}, "b": 1}, {"a": {"x": 2, "y": 1}}],
        [{"a": {"x": 1, "y": 1}}, {"a": {"z": 1}, "b": 1}],
    ),
    ({"not": {"properties": {"a": {}}, "required": ["a"]}}, [{"b": 1}], [{"a": 1, "b": 1}, 1]),
    ({"$ref": "#p", "$defs": {"p": {"$anchor": "p", **POINT}}}, [{"x": 1}], [{"z": 1}]),
    ({"type": "object"}, [{"any": 1}], []),
    ({"type": "object", "required": ["a"]}, [{"a": 1, "b": 1}], []),
    ({"type": "object", "properties": {}}, [{"any": 1}], []),
    ({}, [{"any": {"any": 1}}], []),
    (True, [{"any": 1}], []),
    (False, [], [1]),
]


@pytest.mark.parametrize(("schema", "accepted", "refused"), CLOSED)
def test_members_that_no_schema_names_are_refused(
    schema: Any, accepted: list[Any], refused: list[Any]
) -> None:
    validator = jsonschema.Draft202012Validator(closed(schema))
    assert [document for document in accepted if not validator.is_valid(document)] == []
    assert [document for document in refused if validator.is_valid(document)] == []


@pytest.mark.parametrize("schema", [schema for schema, _, _ in CLOSED])
def test_a_closed_schema_may_be_registered_itself(schema: Any) -> None:
    assert schema_problems(closed(schema)) == []
    jsonschema.Draft202012Validator.check_schema(closed(schema))


def test_the_given_schema_stays_as_it_is() -> None:
    schema = {"properties": {"a": POINT, "b": {"$ref": "#/properties/a"}}}
    before = repr(schema)
    closed(schema)
    assert repr(schema) == before


@pytest.mark.parametrize(
    ("schema", "suffices"),
    [
        (True, True),
        ({"properties": {"a": POINT}}, True),
        ({"oneOf": [{"type": "string"}, {"minLength": 3}]}, True),
        ({"oneOf": SHAPES}, True),
        ({"oneOf": [{"properties": {"a": POINT}}, {"type": "object"}]}, False),
        ({"oneOf": [{"type": "object", "properties": {"a": POINT}}, {"type": "string"}]}, True),
        ({"oneOf": [{"items": {"$ref": "#/$defs/p"}}, {"items": True}], "$defs": {"p": POINT}}, False),
        ({"not": {"properties": {"a": POINT}}}, True),
        ({"anyOf": [{"properties": {"a": POINT}}, {"properties": {"b": POINT}}]}, True),
    ],
)
def test_the_closed_schema_alone_suffices_where_it_accepts_nothing_new(schema: Any, suffices: bool) -> None:
    assert closed_suffices(schema) is suffices


def test_closing_a_branch_of_one_of_may_accept_what_the_schema_refuses() -> None:
    schema = {"oneOf": [{"properties": {"a": POINT}}, {"properties": {"a": {"type": "object"}}}]}
    document = {"a": {"z": 1}}
    assert not jsonschema.Draft202012Validator(schema).is_valid(document)
    assert jsonschema.Draft202012Validator(closed(schema)).is_valid(document)
    assert not closed_suffices(schema)


def test_many_branches_and_references_are_closed_in_one_pass() -> None:
    branches = [
        {
            "properties": {"kind": {"const": n}, "p": {"$ref": "#/$defs/p"}},
            "required": ["kind"],
            "type": "object",
        }
        for n in range(1000)
    ]
    schema = {"oneOf": branches, "$defs": {"p": POINT}}
    assert closed_suffices(schema)
    validator = jsonschema.Draft202012Validator(closed(schema))
    assert validator.is_valid({"kind": 7, "p": {"x": 1}})
    assert not validator.is_valid({"kind": 7, "p": {"z": 1}})


@pytest.mark.parametrize("reference", ["#", "#/$defs/Part"])
def test_what_is_referred_to_from_many_places_is_closed_once(reference: str) -> None:
    branches = [
        {
            "type": "object",
            "properties": {"kind": {"const": number}, "part": {"$ref": reference, "title": "a part"}},
            "required": ["kind"],
        }
        for number in range(50)
    ]
    part = {"type": "object", "properties": {"name": {"type": "string"}}}
    whole = closed({"anyOf": branches, "$defs": {"Part": part}})
    assert json.dumps(whole).count('"unevaluatedProperties"') == (1 if reference == "#" else 2)
    accepts = jsonschema.Draft202012Validator(whole).is_valid
    inner = {"kind": 1} if reference == "#" else {"name": "a"}
    assert accepts({"kind": 3, "part": inner})
    assert not accepts({"kind": 3, "part": {**inner, "other": 1}})
    assert not accepts({"kind": 3, "part": inner, "other": 1})


def test_a_definition_is_closed_where_it_is_a_member_and_open_where_it_is_a_part() -> None:
    schema = {
        "properties": {
            "own": {"$ref": "#/$defs/Part"},
            "more": {"allOf": [{"$ref": "#/$defs/Part"}, {"properties": {"b": True}}]},
        },
        "$defs": {"Part": {"properties": {"a": True, "deeper": {"$ref": "#/$defs/Part"}}}},
    }
    accepts = jsonschema.Draft202012Validator(closed(schema)).is_valid
    assert accepts({"own": {"a": 1, "deeper": {"a": 1}}, "more": {"a": 1, "b": 1, "deeper": {"a": 1}}})
    assert not accepts({"own": {"a": 1, "b": 1}})
    assert not accepts({"own": {"deeper": {"b": 1}}})
    assert not accepts({"more": {"deeper": {"b": 1}}})
