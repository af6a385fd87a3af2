"""The AsyncAPI document: complete, without a reference to nothing, and with every schema as it is registered."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventfabric.cli.catalogue.asyncapi import DRAFT_7, DRAFT_2020, asyncapi_of, schema_format
from eventfabric.cli.catalogue.book import Book, plain_key
from eventfabric.cli.catalogue.references import is_readable
from eventfabric.contracts.document import read_schema
from eventfabric.contracts.keywords import JsonSchema
from scripts.asyncapi_parser import parsing
from tests.support.described import HARD, ORDER, TREE, book, hard, shop, versions_of

BOOKS = {"shop": shop, "hard": hard}
KEY = re.compile(r"[\w.\-]+\Z", re.ASCII)


def references_in(value: Any) -> Iterator[str]:
    """References of a document whose own data holds none."""
    match value:
        case dict():
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for name, own in value.items():
                if name not in ("enum", "const", "default", "examples", "x-note"):
                    yield from references_in(own)
        case list():
            for own in value:
                yield from references_in(own)


def target(document: Any, reference: str) -> Any:
    """Return what a reference points to; the parts of a schema's own pointers are percent-encoded."""
    value = document
    for part in reference.removeprefix("#/").split("/"):
        name = part.replace("%20", " ").replace("%25", "%").replace("~1", "/").replace("~0", "~")
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value


def put_back(schema: Any, place: str) -> Any:
    """A schema without the place at which it stands in a document."""
    text = json.dumps(schema)
    return json.loads(text.replace(f'"{place}"', '"#"').replace(f'"{place}/', '"#/'))


@pytest.mark.parametrize("make", BOOKS.values(), ids=BOOKS)
def test_every_schema_is_in_it_as_it_is_registered(make: Callable[[], Book]) -> None:
    described = make()
    document = asyncapi_of(described)
    schemas = document["components"]["schemas"]
    versions = [version for s in described.streams for own in s.types for version in own.versions]
    known = {version.document.digest for version in versions if is_readable(version.schema)}
    digests = set()
    for key, own in schemas.items():
        assert KEY.match(key)
        plain = put_back(own["schema"], f"#/components/schemas/{key}/schema")
        digests.add(read_schema(json.dumps(plain), where=key).digest)
    assert digests == known


@pytest.mark.parametrize("make", BOOKS.values(), ids=BOOKS)
def test_every_reference_points_to_something(make: Callable[[], Book]) -> None:
    document = json.loads(json.dumps(asyncapi_of(make())))
    references = list(references_in(document))
    assert references
    for reference in references:
        target(document, reference)


def test_an_anchor_becomes_the_place_that_it_names() -> None:
    schema = {"$ref": "#here", "$defs": {"a/b": {"$anchor": "here", "type": "string"}}}
    document = asyncapi_of(book({"orders": versions_of({"Anchored": schema})}))
    [(key, own)] = document["components"]["schemas"].items()
    assert own["schema"]["$ref"] == f"#/components/schemas/{key}/schema/$defs/a~1b"
    assert target(document, own["schema"]["$ref"])["type"] == "string"


def test_a_schema_that_readers_of_the_document_would_misread_is_left_out() -> None:
    for schema in ({"properties": {"$ref": True}}, {"const": {"a": [{"$ref": "#"}]}}, {"x-a": {"$ref": "#"}}):
        [_, _, message] = _messages(schema)
        assert "$ref" in message["x-left-out"]
        assert "payload" not in message
    [_, _, message] = _messages({"properties": {"$refs": {"$ref": "#"}}})
    assert {"payload", "examples"} < message.keys()


def _messages(schema: JsonSchema) -> list[dict[str, Any]]:
    """The messages of a shop with another type, which comes last."""
    document = asyncapi_of(book({"orders": versions_of({"Zebra": schema})}))
    return sorted(document["components"]["messages"].values(), key=lambda own: str(own["name"]))


def test_types_whose_names_look_alike_have_messages_of_their_own() -> None:
    document = asyncapi_of(hard())
    names = [own["name"] for own in document["components"]["messages"].values()]
    assert sorted(names) == sorted([*HARD, "OrderPlaced", *HARD, "InvoiceIssued"])
    assert len({plain_key(name) for name in ("A_B", "A B", "A_20B", "A-B", "A/B")}) == 5


def test_who_publishes_and_who_receives_is_said_with_guarantee_and_contact() -> None:
    document = asyncapi_of(shop())
    operations = document["operations"]
    assert {name: own["action"] for name, own in operations.items()} == {
        "publish.orders": "send",
        "publish.orders.source._2Fcheckout": "send",
        "receive.billing": "receive",
        "receive.audit": "receive",
        "publish.invoices": "send",
        "publish.invoices.handler.billing": "send",
        "receive.letters": "receive",
    }
    billing, audit = operations["receive.billing"], operations["receive.audit"]
    assert [target(document, own["$ref"])["$ref"] for own in billing["messages"]] == [
        "#/components/messages/orders.OrderPlaced"
    ]
    assert "messages" not in audit  # all of the channel
    said = ("x-guarantee", "x-order", "x-contact", "x-owner", "x-publishes")
    assert [billing.get(name) for name in said] == [
        *("exactly_once", "key", "#billing", "https://git.example.com/shop", ["invoices"])
    ]
    checkout = operations["publish.orders.source._2Fcheckout"]
    assert (checkout["x-source"], checkout["x-contact"]) == ("/checkout", "#checkout")
    assert (audit["x-deliver"], audit["x-region"]) == ("one", "eu-central-1")
    assert document["channels"]["orders"]["x-retention-days"] == 30
    assert document["x-regions"] == ["eu-central-1", "eu-west-1"]


def test_a_message_has_its_versions_its_example_and_its_end() -> None:
    document = asyncapi_of(shop())
    message = document["components"]["messages"]["orders.OrderPlaced"]
    assert [own["number"] for own in message["x-versions"]] == [1, 2]
    assert message["payload"] == {"$ref": message["x-versions"][1]["schema"]}
    assert message["deprecated"]
    assert message["x-deprecation"] == {
        "since": "2026-12-01",
        "sunset": "2027-06-01",
        "use": "OrderAccepted",
        "why": "Orders are accepted first.",
    }
    [example] = message["examples"]
    assert example["payload"]["lines"] == [{"sku": "sku"}]


def test_the_document_changes_its_version_when_it_changes() -> None:
    documents = [asyncapi_of(make()) for make in (shop, shop, hard)]
    first, same, other = (own["info"]["version"] for own in documents)
    assert first == same != other
    assert documents[0] == documents[1]


@pytest.mark.parametrize(
    ("schema", "is_draft_7"),
    [
        (ORDER, True),
        (TREE, True),
        ({"properties": {"prefixItems": {"type": "string"}}}, True),
        ({"const": {"unevaluatedProperties": 1}}, True),
        ({"$ref": "#/$defs/a", "description": "said", "$defs": {"a": True}}, True),
        (False, True),
        ({"properties": {"a": {"prefixItems": [True]}}}, False),
        ({"$ref": "#/$defs/a", "minimum": 1, "$defs": {"a": True}}, False),
        ({"allOf": [{"unevaluatedProperties": False}]}, False),
        ({"properties": {"a": {"dependentRequired": {"b": ["c"]}}}}, False),
    ],
)
def test_a_schema_is_called_draft_7_only_where_that_says_the_same(
    schema: JsonSchema, is_draft_7: bool
) -> None:
    assert schema_format(schema) == (DRAFT_7 if is_draft_7 else DRAFT_2020)


@pytest.mark.skipif(not parsing.is_installed(), reason="scripts/asyncapi installs the parser")
def test_the_standards_parser_finds_no_error(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.json" for name in BOOKS]
    for file, make in zip(files, BOOKS.values(), strict=True):
        file.write_text(json.dumps(asyncapi_of(make())))
    for report in parsing.parsed(files):
        assert parsing.errors_in(report) == []
        assert report["counts"]["messages"] > 2
    broken = tmp_path / "broken.json"
    document = asyncapi_of(shop())
    next(iter(document["components"]["schemas"].values()))["schema"]["type"] = 5
    broken.write_text(json.dumps(document))
    [report] = parsing.parsed([broken])
    assert parsing.errors_in(report)
