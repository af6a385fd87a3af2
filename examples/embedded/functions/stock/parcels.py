"""The subscription `stock`: how many parcels there are of each kind, in the table of the depot's own stack."""

import os
from dataclasses import dataclass

from eventfabric import Delivery, subscriber


@dataclass(frozen=True)
class Parcel:
    """A parcel that the scanner has seen."""

    kind: str


@subscriber
def count_parcel(parcel: Parcel, delivery: Delivery) -> None:
    """Count a parcel, once. The app tells the function the table's name, because the CDK makes it up."""
    delivery.transaction.update(
        os.environ["STOCK_TABLE"], {"id": parcel.kind}, "ADD parcels :one", values={":one": 1}
    )
