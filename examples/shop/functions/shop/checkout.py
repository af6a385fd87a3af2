"""The producer: places orders."""

from eventfabric import Fabric, Receipt
from shop.events import ORDER_PLACED, Order


def place_order(fabric: Fabric, customer: str, order: Order) -> Receipt:
    """Publish an order. When this returns, it will be invoiced, whatever happens.

    The key is the customer: their orders are handled in the order in which they were placed. The id and `once` make
    one order of a form that is submitted twice; the second time, the receipt is that of the first.
    """
    return fabric.publish(
        "orders", key=customer, type=ORDER_PLACED, data=order, id=f"order/{order.number}", once=True
    )
