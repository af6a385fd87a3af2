"""The order, as it is published and as handlers read it."""

from dataclasses import dataclass

ORDER_PLACED = "OrderPlaced"


@dataclass(frozen=True)
class Order:
    """An order of one customer."""

    number: str
    customer: str
    cents: int
    currency: str
