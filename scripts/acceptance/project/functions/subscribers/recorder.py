"""Handlers that note every event that they are given, in order: one list for each subscription and key."""

import os
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from eventfabric import Delivery, Event, subscriber

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

FABRIC = "NAME"
REGION = os.environ.get("AWS_REGION", "")
SEEN = f"{FABRIC}-seen"
_APPEND = "SET events = list_append(if_not_exists(events, :none), :one)"


class Unacceptable(Exception):
    """Retrying is useless: the definition declares this exception permanent."""


@subscriber
def write_with_cursor(event: Event, delivery: Delivery) -> None:
    """Note an event in the transaction that moves the cursor."""
    key = {"id": f"{delivery.subscription}/{event.key}"}
    delivery.transaction.update(SEEN, key, _APPEND, values={":none": [], ":one": [_number(event)]})


@subscriber
def write(event: Event, delivery: Delivery) -> None:
    """Note an event at once."""
    _note(f"{delivery.subscription}/{event.key}", {"N": str(_number(event))})


@subscriber
def stumble(event: Event, delivery: Delivery) -> None:
    """Refuse poisonous events for good, and flaky events the first two times."""
    if event.type == "Poison":
        raise Unacceptable("poison")
    if event.type == "Flaky" and delivery.attempt < 3:
        raise ConnectionError("try again")
    _note(f"{delivery.subscription}/{event.key}", {"N": str(_number(event))})


@subscriber
def probe(event: Event, delivery: Delivery) -> None:
    """Try calls that this function has no permission for, and note the answers."""
    attempts: dict[str, tuple[str, dict[str, Any]]] = {
        "another stream's log": ("query", _query(f"{FABRIC}-other", f"{REGION}/0.0")),
        "another subscription's state": ("query", _query(f"{FABRIC}-ledger", f"orders/exact/{REGION}/0.0")),
        "write the log": (
            "put_item",
            {"TableName": f"{FABRIC}-orders", "Item": {"pk": {"S": "x"}, "sk": {"N": "0"}}},
        ),
        "list tables": ("list_tables", {}),
    }
    for name, (operation, request) in attempts.items():
        try:
            getattr(_dynamodb(), operation)(**request)
            answer = "allowed"
        except ClientError as error:
            answer = error.response["Error"]["Code"]
        _note(f"{delivery.subscription}/{name}", {"S": answer})


def _query(table: str, partition: str) -> dict[str, Any]:
    return {
        "TableName": table,
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": {"S": partition}},
    }


def _number(event: Event) -> int:
    data: Any = event.data
    return int(data["number"])


def _note(id: str, value: Any) -> None:
    _dynamodb().update_item(
        TableName=SEEN,
        Key={"id": {"S": id}},
        UpdateExpression=_APPEND,
        ExpressionAttributeValues={":none": {"L": []}, ":one": {"L": [value]}},
    )


@cache
def _dynamodb() -> "DynamoDBClient":
    return boto3.client("dynamodb", region_name=REGION)
