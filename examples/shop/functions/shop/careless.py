"""A handler to try instead of `issue_invoice`. Its tests with orders pass, and a crash makes it wrong."""

import os

import boto3

from eventfabric import Delivery, subscriber
from shop.events import INVOICE_ISSUED, Invoice, Order
from shop.tables import BOOKS


@subscriber
def issue_invoice(order: Order, delivery: Delivery) -> None:
    """Add the invoice to what the customer owes, at once. If the process dies then, the next attempt adds it again."""
    customer = delivery.event.key
    client = boto3.client("dynamodb", region_name=os.environ["AWS_REGION"])
    client.update_item(
        TableName=BOOKS,
        Key={"id": {"S": f"customer/{customer}"}},
        UpdateExpression="ADD owes_cents :cents",
        ExpressionAttributeValues={":cents": {"N": str(order.cents)}},
    )
    delivery.publish(
        "invoices", key=customer, type=INVOICE_ISSUED, data=Invoice(order.number, customer, order.cents)
    )
