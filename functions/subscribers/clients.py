"""Owns the shop's own DynamoDB clients: one a Region, kept while the function is warm."""

import os
from functools import cache
from typing import TYPE_CHECKING

import boto3

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


def dynamodb() -> "DynamoDBClient":
    """The client of the Region that this function runs in."""
    return _of_region(os.environ["AWS_REGION"])


@cache
def _of_region(region: str) -> "DynamoDBClient":
    return boto3.client("dynamodb", region_name=region)
