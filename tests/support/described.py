"""Fabrics to describe: a plain shop, and one with everything that is hard to write down."""

import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator

from eventfabric.cli.catalogue.book import Book, DescribedVersion, book_of
from eventfabric.contracts.document import read_schema
from eventfabric.contracts.keywords import JsonSchema
from eventfabric.definition.file import parse_definition
from eventfabric.topology import Topology

HOSTILE = """<script>alert("1")</script>'&\u202e\x07"""
SHOP = """
[fabric]
name = "shop"
regions = ["eu-central-1", "eu-west-1"]
owner = "https://git.example.com/shop"
[streams.orders]
retention_days = 30
schemas = "required"
sources = { "/checkout" = "#checkout" }
[streams.orders.types.OrderPlaced.deprecated]
since = "2026-12-01"
sunset = "2027-06-01"
use = "OrderAccepted"
why = "Orders are accepted first."
[streams.invoices]
[subscriptions.billing]
stream = "orders"
types = ["OrderPlaced"]
handler = "shop.billing:issue_invoice"
guarantee = "exactly_once"
publishes = ["invoices"]
contact = "#billing"
[subscriptions.audit]
stream = "orders"
handler = "shop.audit:note"
deliver = "one"
order = "none"
[subscriptions.letters]
stream = "invoices"
types = ["InvoiceIssued"]
handler = "shop.letters:write_letter"
"""
ORDER = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "An order was placed",
    "type": "object",
    "required": ["order", "customer", "lines"],
    "properties": {
        "order": {"type": "string", "pattern": r"^[A-Z]{2}-\d{4}$", "description": "Number of the order."},
        "customer": {"$ref": "#/$defs/Customer"},
        "lines": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}},
        },
        "gift": {"type": "boolean", "deprecated": True},
    },
    "$defs": {
        "Customer": {
            "type": "object",
            "required": ["id"],
            "properties": {
                "id": {"type": "string", "format": "uuid"},
                "referrer": {"$ref": "#/$defs/Customer"},
            },
        }
    },
}
TREE = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}
HARD: Mapping[str, JsonSchema] = {
    HOSTILE: {"title": HOSTILE, "description": HOSTILE, "properties": {HOSTILE: {"const": HOSTILE}}},
    "com.example/order placed": TREE,
    "Ärger~1%2F": {"$defs": {"a/b~c %": {"type": "integer"}}, "$ref": "#/$defs/a~1b~0c%20%25"},
    "A_B": {"prefixItems": [{"type": "number"}, {"type": "number"}], "items": False, "minItems": 2},
    "A B": {"type": "object", "properties": {"$ref": {"type": "string"}}, "unevaluatedProperties": False},
    "Anything": True,
    "Nothing": False,
    "Data": {"enum": [{"$refs": "#/nowhere"}, {"properties": {"a": 1}}], "default": {"x": "#/$defs/b"}},
    "Two": {"$ref": "#/$defs/n", "minimum": 7, "$defs": {"n": {"type": ["integer", "null"], "maximum": 9}}},
    "Either": {"oneOf": [{"required": ["a"]}, {"required": ["b"]}], "type": "object", "x-note": {"$ref": 1}},
}


def fits(schema: JsonSchema) -> Any:
    """Return what tells if some data fits, formats included."""
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).is_valid


def versions_of(schemas: Mapping[str, JsonSchema]) -> dict[str, list[DescribedVersion]]:
    """One version of each type."""
    return {name: [version_of(schema)] for name, schema in schemas.items()}


def version_of(schema: JsonSchema, number: int | None = None, **about: Any) -> DescribedVersion:
    document = read_schema(json.dumps(schema), where="test")
    return DescribedVersion(document=document, number=number, **about)


def book(schemas: Mapping[str, Mapping[str, list[DescribedVersion]]], definition: str = SHOP) -> Book:
    """The description of a fabric with these versions, by stream and type."""
    topology = Topology(parse_definition(definition, where="test"))
    streams = list(topology.streams.values())
    return book_of(topology, streams, schemas, fits=lambda document, _: fits(document.value))


def shop() -> Book:
    """A shop of which one type has two versions."""
    before = {**ORDER, "required": ["order"]}
    versions = [version_of(before, 1, at_ms=1_790_000_000_000, by="a person"), version_of(ORDER, 2)]
    accepted = [version_of({"type": "object", "properties": {"order": {"type": "string"}}}, 1)]
    return book({"orders": {"OrderPlaced": versions, "OrderAccepted": accepted}})


def hard() -> Book:
    """A fabric whose types and schemas are as odd as they may be."""
    return book({"orders": versions_of(HARD), "invoices": versions_of(HARD)})
