"""The shop's own table, and how tests create it."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from eventfabric.local import LocalFabric

INVOICES: Final = "example-invoices"


def make(fabric: "LocalFabric") -> None:
    """Create the table in every Region of a local fabric."""
    for region in fabric.regions:
        fabric.client("dynamodb", region).create_table(
            TableName=INVOICES,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
