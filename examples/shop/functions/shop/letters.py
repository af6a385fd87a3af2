"""The subscription `letters`: the letter in which a customer gets an invoice."""

import os
from functools import cache
from typing import TYPE_CHECKING

import boto3

from eventfabric import Delivery, subscriber
from shop.events import Invoice
from shop.tables import LETTERS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


@subscriber
def write_letter(invoice: Invoice, delivery: Delivery) -> None:
    """Write the letter under its order: to write it again changes nothing, so `at_least_once` is enough."""
    text = f"Dear {invoice.customer}, please pay {invoice.cents / 100:.2f}."
    dynamodb().put_item(TableName=LETTERS, Item={"id": {"S": invoice.order}, "text": {"S": text}})


@cache
def dynamodb() -> "DynamoDBClient":
    """Return the client of the Region that this function runs in, made at the first event."""
    return boto3.client("dynamodb", region_name=os.environ["AWS_REGION"])
