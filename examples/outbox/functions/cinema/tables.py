"""The cinema's own tables, as tests create them."""

from typing import TYPE_CHECKING

from cinema.box_office import SEATS
from cinema.tickets import TICKETS

if TYPE_CHECKING:
    from eventfabric.local import LocalFabric


def make(fabric: "LocalFabric") -> None:
    """Create the tables in every Region of a local fabric."""
    for region in fabric.regions:
        for name in (SEATS, TICKETS):
            fabric.client("dynamodb", region).create_table(
                TableName=name,
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                BillingMode="PAY_PER_REQUEST",
            )
