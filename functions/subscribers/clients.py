"""DynamoDB clients of the shop: one for each Region, kept while the function is warm."""

import os
from functools import cache
from typing import TYPE_CHECKING

import boto3

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


def dynamodb() -> "DynamoDBClient":
    """Return the client of the Region that this function runs in."""
    return _of_region(os.environ["AWS_REGION"])


@cache
def _of_region(region: str) -> "DynamoDBClient":
    return boto3.client("dynamodb", region_name=region)
