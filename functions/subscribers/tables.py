"""The shop's own tables. Each has the text `id` as its key, and one copy in each Region.

Their names begin with the fabric's, which has its stage: shop-charges, or shop_dev-charges.
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from eventfabric import Event
    from eventfabric.local import LocalFabric

KEY: Final = "id"

CHARGES: Final = "charges"
"""Charges, by order."""
LABELS: Final = "labels"
"""Parcel labels, by event."""
FACTS: Final = "facts"
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
                TableName=f"{fabric.name}-{name}",
                AttributeDefinitions=[{"AttributeName": KEY, "AttributeType": "S"}],
                KeySchema=[{"AttributeName": KEY, "KeyType": "HASH"}],
                BillingMode="PAY_PER_REQUEST",
            )
