"""The URI in an event's `dataschema`."""

import pytest

from eventfabric.contracts.document import read_schema
from eventfabric.contracts.identity import SchemaIdentity, parse_schema_uri

DIGEST = read_schema("true", where="-").digest


@pytest.mark.parametrize("type_", ["OrderPlaced", "com.shop/order placed?#", "größer", "a%2Fb", "é" * 128])
def test_a_uri_names_stream_type_and_digest(type_: str) -> None:
    identity = SchemaIdentity("orders", type_, DIGEST)
    assert parse_schema_uri(str(identity)) == identity
    assert str(identity).isascii()


@pytest.mark.parametrize(
    "text",
    [
        None,
        7,
        "",
        "https://example.com/schema",
        "eventfabric:orders/OrderPlaced",
        f"eventfabric:orders//{DIGEST}",
    ],
)
def test_uris_of_others_are_none(text: object) -> None:
    assert parse_schema_uri(text) is None
