"""Charges the customer. Exactly once: it writes through the delivery's transaction and has no other effect."""

from dataclasses import dataclass

from eventfabric import Delivery, subscriber
from subscribers import tables

REFUSED_CARD = "tok_refused"


class CardRefused(Exception):
    """The bank refuses the card, and always will. The definition declares this error permanent."""


@dataclass(frozen=True)
class Order:
    """Fields of an OrderPlaced that billing needs; others are ignored."""

    order: str
    total_cents: int
    currency: str
    card: str


@subscriber
def charge(order: Order, delivery: Delivery) -> None:
    """Charge an order. The row and the cursor commit together, so a second charge cannot happen.

    The row counts its charges: if an order were ever charged twice, it would say 2.
    """
    if order.card == REFUSED_CARD:
        raise CardRefused(f"order {order.order}: the card was refused")
    delivery.transaction.update(
        f"{delivery.fabric}-{tables.CHARGES}",
        {tables.KEY: order.order},
        "ADD charges :one SET cents = :cents, currency = :currency, event = :event",
        values={
            ":one": 1,
            ":cents": order.total_cents,
            ":currency": order.currency,
            ":event": delivery.event.id,
        },
    )
