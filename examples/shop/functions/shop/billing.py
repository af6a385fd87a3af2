"""The subscription `billing`: an invoice for each order."""

from eventfabric import Delivery, subscriber
from shop.events import INVOICE_ISSUED, Invoice, Order
from shop.tables import BOOKS

CURRENCIES = frozenset({"EUR", "USD"})


class UnknownCurrency(Exception):
    """An order in a currency that this shop does not take. The definition declares it permanent."""


@subscriber
def issue_invoice(order: Order, delivery: Delivery) -> None:
    """Write and publish the invoice, and add it to what the customer owes.

    All of it commits in the transaction that says that the order is handled. So it happens once, however often a crash
    has the order delivered.
    """
    if order.currency not in CURRENCIES:
        raise UnknownCurrency(f"order {order.number}: {order.currency}")
    customer = delivery.event.key
    transaction = delivery.transaction
    transaction.put(BOOKS, {"id": f"invoice/{order.number}", "cents": order.cents})
    transaction.update(
        BOOKS, {"id": f"customer/{customer}"}, "ADD owes_cents :cents", values={":cents": order.cents}
    )
    invoice = Invoice(order.number, customer, order.cents)
    transaction.publish("invoices", key=customer, type=INVOICE_ISSUED, data=invoice)
