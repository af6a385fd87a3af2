"""Schemas that a definition needs: refused if a stream that requires them has none, named if a type has none."""

import pytest

from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import Definition
from eventfabric.deployment.needed_schemas import check_schemas, types_without_schemas
from eventfabric.errors import DefinitionError


def definition(*, schemas: str = "required", validate: bool = False) -> Definition:
    return parse_definition(f"""
        [fabric]
        name = "shop"
        regions = ["us-east-1"]
        [streams.orders]
        schemas = "{schemas}"
        [streams.orders.types.Archived]
        compatibility = "none"
        [streams.invoices]
        [subscriptions.billing]
        stream = "orders"
        handler = "any.module:handle"
        types = ["Placed", "Cancelled"]
        validate = {str(validate).lower()}
        [subscriptions.books]
        stream = "invoices"
        handler = "any.module:handle"
        types = ["Invoiced"]
    """)


def refused(definition: Definition, *streams: str) -> list[str]:
    try:
        check_schemas(definition, streams, where="fabric.toml")
    except DefinitionError as error:
        return [problem.path for problem in error.problems]
    return []


def test_a_stream_that_requires_schemas_and_has_none_is_refused() -> None:
    assert refused(definition()) == ["streams.orders.schemas"]
    assert refused(definition(), "invoices") == ["streams.orders.schemas"]
    assert refused(definition(), "orders") == []
    assert refused(definition(schemas="optional")) == []


def test_all_that_lacks_schemas_is_in_one_error() -> None:
    paths = ["streams.orders.schemas", "subscriptions.billing.validate"]
    assert refused(definition(validate=True)) == paths
    assert refused(definition(validate=True), "orders") == []


@pytest.mark.parametrize(
    ("with_schemas", "lacking"),
    [
        ([], "Archived, Cancelled, Placed"),
        (["Placed", "Archived"], "Cancelled"),
        (["Placed", "Archived", "Cancelled", "Other"], ""),
    ],
)
def test_types_that_nobody_can_publish_are_named(with_schemas: list[str], lacking: str) -> None:
    warnings = list(types_without_schemas(definition(), {"orders": with_schemas}))
    assert [warning.rpartition(": ")[2] for warning in warnings] == ([lacking] if lacking else [])
    assert not list(types_without_schemas(definition(schemas="optional"), {}))
