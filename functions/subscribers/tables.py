"""Names of the shop's own tables. Each has the text `id` as its key, and one copy in each Region."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from eventfabric import Event
    from eventfabric.local import LocalFabric

KEY: Final = "id"

CHARGES: Final = "shop-charges"
"""Charges, by order."""
LABELS: Final = "shop-labels"
"""Parcel labels, by event."""
FACTS: Final = "shop-facts"
"""Facts for analytics, by event."""
ALL: Final = (CHARGES, LABELS, FACTS)


def identity(event: "Event") -> str:
    """Return an event's key in a table: source and id, since two sources may use the same id."""
    return f"{event.source}#{event.id}"


def make(fabric: "LocalFabric") -> None:
    """Create the tables in every Region of a local fabric."""
    for region in fabric.regions:
        client = fabric.client("dynamodb", region)
        for name in ALL:
            client.create_table(
                TableName=name,
                AttributeDefinitions=[{"AttributeName": KEY, "AttributeType": "S"}],
                KeySchema=[{"AttributeName": KEY, "KeyType": "HASH"}],
                BillingMode="PAY_PER_REQUEST",
            )
