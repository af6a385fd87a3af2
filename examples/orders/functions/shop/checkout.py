"""The producer: places orders."""

from eventfabric import Fabric, Receipt
from shop.orders import ORDER_PLACED, Order


def place_order(fabric: Fabric, order: Order) -> Receipt:
    """Publish an order. When this returns, it will be invoiced, whatever happens.

    The key is the customer: their orders are handled in the order in which they were placed.
    """
    return fabric.publish("orders", key=order.customer, type=ORDER_PLACED, data=order)
