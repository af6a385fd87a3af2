"""Schemas to classes: source that people can read, that type checkers pass, and that formatters leave alone."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eventfabric import Event
from eventfabric.errors import InvalidSchemaError
from eventfabric.sdk.wants import payload_decoder
from eventfabric.typed.shapes import TypeSchema
from eventfabric.typed.source import source_of
from tests.support.generated_code import imported

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
CARD: Schema = {
    "type": "object",
    "properties": {"method": {"const": "card"}, "number": TEXT},
    "required": ["method", "number"],
}
CASH: Schema = {"type": "object", "properties": {"method": {"const": "cash"}}, "required": ["method"]}
ORDER: Schema = {
    "description": 'An order was placed.\n\nIt has "lines".',
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "Its number.", "minLength": 1},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}, "minItems": 1},
        "customer": {"type": ["string", "null"]},
        "placed": {"type": "string", "format": "date-time"},
        "status": {"anyOf": [{"enum": ["placed", "paid"]}, {"type": "string"}]},
        "a-long-name-with-a-pattern": {"type": "string", "pattern": "^[a-z]{3}-[0-9]{4}-[a-z]{3}-[0-9]{4}$"},
        "place": {"type": "object", "properties": {"city": TEXT}, "required": ["city"]},
        "prices": {"type": "object", "additionalProperties": {"type": "number"}},
        "kind": {"enum": ["a-very-long-value-one", "a-very-long-value-two", "a-very-long-value-three", "b"]},
        "count": {"type": "integer", "default": 1},
        "unit": {"$ref": "#/$defs/Unit", "default": "kg"},
    },
    "required": ["id", "lines", "customer"],
    "$defs": {
        "Line": {
            "type": "object",
            "properties": {"sku": TEXT, "parts": {"type": "array", "items": {"$ref": "#/$defs/Line"}}},
            "required": ["sku"],
        },
        "Unit": {"enum": ["g", "kg"]},
    },
}
UNION: Schema = {
    "anyOf": [{"$ref": "#/$defs/Card"}, {"$ref": "#/$defs/Cash"}],
    "$defs": {"Card": CARD, "Cash": CASH},
}
PLAIN = {**ORDER, "properties": {k: v for k, v in ORDER["properties"].items() if "-" not in k}}


def _source(*schemas: tuple[str, Schema], kind: str = "msgspec", stream: str = "orders") -> str:
    return source_of([TypeSchema(stream, type_, schema) for type_, schema in schemas], kind=kind)


def _sources() -> dict[str, str]:
    return {
        "msgspec": _source(("OrderPlaced", ORDER), ("payment.made", UNION)),
        "dataclass": _source(("OrderPlaced", PLAIN), kind="dataclass"),
        "pydantic": _source(("OrderPlaced", ORDER), ("payment.made", UNION), kind="pydantic"),
    }


def test_type_checkers_and_formatters_have_nothing_to_say(tmp_path: Path) -> None:
    for kind, source in _sources().items():
        (tmp_path / f"payloads_of_{kind}.py").write_text(source)
    files = sorted(map(str, tmp_path.iterdir()))
    checks = [["mypy", "--strict", f"--cache-dir={tmp_path}/cache", *files]]
    checks += [
        ["ruff", "format", "--isolated", "--check", f"--line-length={n}", *files] for n in (88, 110, 200)
    ]
    for check in checks:
        ran = subprocess.run([sys.executable, "-m", *check], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("kind", ["msgspec", "dataclass", "pydantic"])
def test_a_payload_is_decoded_with_all_its_members(kind: str) -> None:
    data = {"id": "1", "customer": None, "lines": [{"sku": "a", "parts": [{"sku": "b"}]}], "status": "new"}
    with imported(_sources()[kind]) as module:
        order = payload_decoder(module.OrderPlaced)(Event(type="OrderPlaced", key="k", data=data))
    assert (order.id, order.customer, order.count, order.unit) == ("1", None, 1, module.Unit.KG)
    assert order.lines[0].parts[0].sku == "b"
    assert isinstance(order.status, module.OrderPlacedStatus)
    assert not order.status.is_known


def test_a_union_is_told_apart_by_its_constant() -> None:
    with imported(_source(("payment.made", UNION))) as module:
        decode = payload_decoder(module.PaymentMade)
        card = decode(Event(type="payment.made", key="k", data={"method": "card", "number": "4"}))
        cash = decode(Event(type="payment.made", key="k", data={"method": "cash"}))
    assert (type(card), type(cash)) == (module.Card, module.Cash)


@pytest.mark.parametrize("kind", ["msgspec", "pydantic"])
def test_a_union_of_classes_with_the_same_constant_is_of_any_object(kind: str) -> None:
    debit = {"allOf": [{"$ref": "#/$defs/Card"}, {"properties": {"bank": TEXT}}]}
    branches = [{"$ref": f"#/$defs/{name}"} for name in ("Card", "Cash", "Debit")]
    properties = {
        "apart": {"anyOf": branches[:2]},
        "too": {"anyOf": branches[1:]},
        "all": {"anyOf": branches},
    }
    definitions = {"Card": CARD, "Cash": CASH, "Debit": debit}
    schema = {"type": "object", "properties": properties, "$defs": definitions}
    data = {"apart": {"method": "cash"}, "all": {"method": "card", "number": "4", "bank": "b"}}
    with imported(_source(("T", schema), kind=kind)) as module:
        payload = payload_decoder(module.T)(Event(type="T", key="k", data=data))
        assert type(payload.apart) is module.Cash
    assert Event(type="T", key="k", data=payload).data == data


def test_names_that_are_no_identifiers_get_others_and_are_still_encoded_as_they_were() -> None:
    names = ["class", "unit-price", "1st", "_private", "date", "str", "OrderPlaced", "a b", "a-b", "größe"]
    schema = {"type": "object", "properties": dict.fromkeys(names, TEXT), "required": names}
    data = dict.fromkeys(names, "x")
    with imported(_source(("OrderPlaced", schema))) as module:
        order = payload_decoder(module.OrderPlaced)(Event(type="OrderPlaced", key="k", data=data))
    assert Event(type="OrderPlaced", key="k", data=order).data == data
    assert (order.class_, order.unit_price, order.member_1st, order.date, order.größe) == ("x",) * 5


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        ("dataclass", {"type": "object", "properties": {"class": TEXT}}),
        ("dataclass", {"type": "object", "properties": {"p": {"anyOf": [CARD, CASH]}}}),
        ("msgspec", {"type": "object", "properties": {'"': TEXT}}),
    ],
)
def test_what_a_kind_of_class_cannot_hold_is_refused_and_another_kind_is_named(
    kind: str, schema: Schema
) -> None:
    with pytest.raises(InvalidSchemaError, match="--kind"):
        _source(("OrderPlaced", schema), kind=kind)


def test_equal_definitions_of_several_types_are_one_class_and_others_have_names_of_their_own() -> None:
    def type_with(line: Schema) -> Schema:
        return {"type": "object", "properties": {"line": {"$ref": "#/$defs/Line"}}, "$defs": {"Line": line}}

    line = {"type": "object", "properties": {"sku": TEXT}}
    other = {"type": "object", "properties": {"sku": {"type": "integer"}}}
    source = _source(("A", type_with(line)), ("B", type_with(line)), ("C", type_with(other)))
    assert source.count("class Line(") == source.count("class CLine(") == 1


def test_types_of_one_name_in_two_streams_have_names_of_their_own() -> None:
    schema = {"type": "object", "properties": {"id": TEXT}}
    types = [TypeSchema(stream, "Placed", schema) for stream in ("orders", "billing-eu")]
    source = source_of(types)
    assert "class OrdersPlaced(" in source
    assert "class BillingEuPlaced(" in source


def _tagged(tag: object) -> Schema:
    return {"type": "object", "properties": {"tag": {"const": tag}}, "required": ["tag"]}


@pytest.mark.parametrize("kind", ["msgspec", "pydantic"])
@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (
            {
                "anyOf": [
                    {"type": "object", "properties": {"a": TEXT}},
                    {"type": "object", "properties": {"b": TEXT}},
                ]
            },
            {"b": "x"},
        ),
        ({"anyOf": [TEXT, {"type": "string", "format": "date"}]}, "x"),
        ({"anyOf": [{"type": "array", "items": TEXT}, {"type": "array"}]}, [1]),
        (
            {"type": "object", "properties": {"a": TEXT}, "additionalProperties": {"type": "integer"}},
            {"a": "x", "b": 1},
        ),
        ({"enum": [1, "a", True, None, 1.5]}, 1.5),
        (
            {"$ref": "#/$defs/Tree", "$defs": {"Tree": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}},
            [[], [[]]],
        ),
        ({"allOf": [{"type": "object"}]}, {"a": 1}),
        ({"anyOf": [True, {"type": "string"}]}, 1),
        (
            {
                "type": "object",
                "properties": {"a": True, "b": {"$ref": "#/$defs/All"}},
                "$defs": {"All": True},
            },
            {"a": 1, "b": 2},
        ),
        ({"type": "string", "pattern": "^\\W\\D$"}, "éé"),
        ({"type": "number", "multipleOf": 0.01}, 19.99),
        ({"type": "integer", "minimum": -0.5, "maximum": 2**64}, 2**63),
        (
            {"type": "object", "properties": {"a": TEXT}, "anyOf": [{"properties": {"b": TEXT}}]},
            {"a": "x", "b": "y"},
        ),
        (
            {
                "$ref": "#/$defs/A",
                "properties": {"b": TEXT},
                "$defs": {"A": {"type": "object", "properties": {"a": TEXT}}},
            },
            {"a": "x", "b": "y"},
        ),
        ({"type": ["integer", "string", "boolean", "null"]}, True),
        ({"type": "array", "prefixItems": [TEXT], "items": {"type": "integer"}}, ["a", 1, 2]),
        ({"anyOf": [{"const": 10}, {"type": "number"}]}, 2),
        ({"anyOf": [{"enum": [10, True, "a"]}, TEXT, {"type": "number"}]}, 2),
        ({"anyOf": [{"$ref": "#/$defs/Ten"}, {"type": "number"}], "$defs": {"Ten": {"enum": [10]}}}, 2),
        ({"anyOf": [{"type": "integer", "minimum": 10}, {"type": "number"}]}, 2),
        ({"oneOf": [_tagged(True), _tagged(1)]}, {"tag": 1}),
        ({"oneOf": [_tagged(True), _tagged(1)]}, {"tag": True}),
        ({"oneOf": [_tagged(2**63), _tagged(1)]}, {"tag": 2**63}),
        ({"enum": [2**63, -(2**63) - 1, 1]}, 2**63),
        ({"$ref": "#/$defs/Huge", "$defs": {"Huge": {"enum": [2**63, 1]}}}, 2**63),
        ({"type": "object", "properties": {"a": TEXT}, "unevaluatedProperties": True}, {"a": "x", "b": 1}),
        ({"type": "object", "properties": {"a": TEXT}, "additionalProperties": {}}, {"a": "x", "b": 1}),
        ({"type": "number", "minimum": 0, "exclusiveMinimum": 0}, 0.5),
        ({"type": "integer", "maximum": 3, "allOf": [{"exclusiveMaximum": 5}], "exclusiveMaximum": 4}, 3),
        ({"type": "number", "maximum": 10**400}, 0.5),
        ({"type": "string", "minLength": 1.0, "maxLength": 2**63}, "x"),
        ({"type": "array", "minItems": 1.0, "maxItems": 2.0}, ["x"]),
        ({"type": "object", "minProperties": 1.0, "maxProperties": 2.0}, {"x": 1}),
    ],
)
def test_where_no_type_says_as_much_a_wider_type_holds_what_the_schema_accepts(
    schema: Schema, data: Any, kind: str
) -> None:
    whole = {"type": "object", "properties": {"value": {k: v for k, v in schema.items() if k != "$defs"}}}
    whole["$defs"] = schema.get("$defs", {})
    with imported(_source(("T", whole), kind=kind)) as module:
        payload = payload_decoder(module.T)(Event(type="T", key="k", data={"value": data}))
    assert Event(type="T", key="k", data=payload).data == {"value": data}


@pytest.mark.parametrize("kind", ["msgspec", "pydantic", "dataclass"])
def test_a_member_that_is_the_whole_again_with_a_description_is_of_its_class(kind: str) -> None:
    parent = {"allOf": [{"$ref": "#"}], "description": "What it belongs to."}
    schema = {"type": "object", "properties": {"name": TEXT, "parent": parent}, "required": ["name"]}
    source = _source(("Part", schema), kind=kind)
    assert "parent: Part | " in source
    assert '"""What it belongs to."""' in source


@pytest.mark.parametrize("added", [{"properties": {"x": TEXT}}, {"required": ["name"]}, {"minProperties": 1}])
def test_a_base_that_has_itself_as_a_member_is_not_followed_for_ever(added: Schema) -> None:
    parent = {"allOf": [{"$ref": "#/$defs/Part"}, added]}
    part = {"type": "object", "properties": {"name": TEXT, "parent": parent}}
    data: dict[str, Any] = {"name": "a", "parent": {"name": "b", "parent": {"name": "c"}, "x": "y"}}
    if "properties" not in added:
        del data["parent"]["x"]
    with imported(_source(("T", {"$ref": "#/$defs/Part", "$defs": {"Part": part}}))) as module:
        payload = payload_decoder(module.T)(Event(type="T", key="k", data=data))
    assert Event(type="T", key="k", data=payload).data == data


def test_a_base_and_what_is_added_to_it_are_one_class() -> None:
    base = {"type": "object", "properties": {"id": TEXT}, "required": ["id"]}

    def placed(added: Schema) -> Schema:
        return {"allOf": [{"$ref": "#/$defs/Base"}, added], "$defs": {"Base": base}}

    source = _source(("Placed", placed({"properties": {"note": TEXT}})))
    assert (
        "class Placed(Struct, frozen=True, kw_only=True):\n    id: str\n    note: str | UnsetType" in source
    )
    # Two that differ about a member are not guessed at.
    assert "Placed: TypeAlias = Any" in _source(("Placed", placed({"properties": {"id": {"minLength": 1}}})))


def test_what_a_class_does_not_check_is_said_above_it() -> None:
    schema = {
        "type": "object",
        "properties": {"a": TEXT},
        "dependentRequired": {"a": ["b"]},
        "minProperties": 1,
    }
    assert "more than this class checks: dependentRequired, minProperties." in _source(("T", schema))


def test_a_closed_schema_makes_a_class_that_refuses_other_members() -> None:
    schema = {"type": "object", "properties": {"a": TEXT}, "additionalProperties": False}
    assert "forbid_unknown_fields=True" in _source(("T", schema))
    assert 'extra="forbid"' in _source(("T", schema), kind="pydantic")


def test_source_does_not_depend_on_the_order_of_types_and_members() -> None:
    shuffled = {**ORDER, "properties": dict(reversed(ORDER["properties"].items()))}
    types = [("OrderPlaced", ORDER), ("payment.made", UNION)]
    assert _source(*types) == _source(*reversed(types)) == _source(types[1], ("OrderPlaced", shuffled))
