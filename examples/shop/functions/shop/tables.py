"""The handlers' own tables. infra/extension.py declares them on AWS, and `make` in tests and simulations."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from eventfabric.local import LocalFabric
    from eventfabric.testing.idempotency import Outside

BOOKS: Final = "shop-books"
LETTERS: Final = "shop-letters"


def make(fabric: "LocalFabric | Outside") -> None:
    """Create the tables in every Region."""
    for region in fabric.regions:
        for table in (BOOKS, LETTERS):
            fabric.client("dynamodb", region).create_table(
                TableName=table,
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                BillingMode="PAY_PER_REQUEST",
            )
