"""The box office's own table, as tests create it. On AWS, whoever owns it declares it."""

from typing import TYPE_CHECKING

from cinema.box_office import SEATS

if TYPE_CHECKING:
    from eventfabric.local import LocalFabric


def make(fabric: "LocalFabric") -> None:
    """Create the table in every Region of a local fabric."""
    for region in fabric.regions:
        fabric.client("dynamodb", region).create_table(
            TableName=SEATS,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
