"""The handler: writes an invoice for each order, and adds it to what the customer owes."""

from eventfabric import Delivery, subscriber
from shop.orders import Order
from shop.tables import INVOICES

CURRENCIES = frozenset({"EUR", "USD"})


class UnknownCurrency(Exception):
    """An order in a currency that this shop does not take. The definition declares it permanent."""


@subscriber
def write_invoice(order: Order, delivery: Delivery) -> None:
    """Write both rows with the cursor: a repeated delivery finds them written, and the order behind it."""
    if order.currency not in CURRENCIES:
        raise UnknownCurrency(f"order {order.number}: {order.currency}")
    delivery.transaction.put(INVOICES, {"id": f"invoice/{order.number}", "cents": order.cents})
    delivery.transaction.update(
        INVOICES,
        {"id": f"customer/{order.customer}"},
        "ADD owes_cents :cents",
        values={":cents": order.cents},
    )
