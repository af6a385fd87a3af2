"""Backfills, stored in the ledger's table."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from eventfabric.aws.clients import condition_may_fail, item_in_the_way, named_failures
from eventfabric.model import Lane, Region, SequenceNumber, next_count
from eventfabric.model.backfill import Backfill, SliceProgress, SliceStart
from eventfabric.ports import UnreadableItem, insist
from eventfabric.wire import backfill_item
from eventfabric.wire.keys import Item, backfill_key, backfills_key, slice_key, slices_key
from eventfabric.wire.ledger_commit import unchanged

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


class AwsBackfills:
    """ports.Backfills on one table in the Region of its client."""

    def __init__(self, client: "DynamoDBClient", table: str, region: Region) -> None:
        self._client = client
        self._table = table
        self._region = region

    def all(self, *, unreadable: UnreadableItem = insist) -> list[Backfill]:
        """See ports.Backfills. One Query for each MB of them."""
        request: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": backfills_key()},
            "ConsistentRead": True,
        }
        backfills: list[Backfill] = []
        with named_failures("list backfills"):
            while True:
                answer = self._client.query(**request)
                backfills += backfill_item.backfills_of(cast(list[Item], answer["Items"]), unreadable)
                if "LastEvaluatedKey" not in answer:
                    return backfills
                request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def find(self, backfill_id: str) -> Backfill | None:
        """See ports.Backfills. One GetItem."""
        item = self._get("read a backfill", backfill_key(backfill_id, self._region))
        return None if item is None else backfill_item.from_item(item)

    def replace(self, read: Backfill | None, to: Backfill) -> Backfill | None:
        """See ports.Backfills. One PutItem."""
        version = read.version if read else 0
        stored = replace(to, version=next_count(version))
        item = backfill_item.to_item(stored)
        with named_failures("write a backfill"):
            try:
                self._client.put_item(TableName=self._table, Item=item, **unchanged(version))
            except ClientError as error:
                # After a lost reply: the item there is exactly what this very call wrote.
                return stored if item_in_the_way(error) == item else None
        return stored

    def add(self, backfill_id: str, slices: Sequence[SliceProgress]) -> None:
        """See ports.Backfills. One PutItem a slice."""
        for progress in slices:
            self._put("note a slice", backfill_item.new_slice(backfill_id, progress))

    def save(self, backfill_id: str, progress: SliceProgress) -> None:
        """See ports.Backfills. One PutItem."""
        self._put("save a slice", backfill_item.saved_slice(backfill_id, progress))

    def slice(self, backfill_id: str, lane: Lane, start: SequenceNumber) -> SliceProgress | None:
        """See ports.Backfills. One GetItem."""
        item = self._get("read a slice", slice_key(backfill_id, self._region, lane, start))
        return None if item is None else backfill_item.slice_from_item(item)

    def slices(
        self, backfill_id: str, *, after: SliceStart | None, count: int, unreadable: UnreadableItem = insist
    ) -> tuple[list[SliceProgress], bool]:
        """See ports.Backfills. One Query, of at most 1 MB."""
        with named_failures("list slices"):
            answer = self._client.query(
                TableName=self._table,
                KeyConditionExpression="pk = :pk AND sk BETWEEN :after AND :end",
                ExpressionAttributeValues={
                    ":pk": slices_key(backfill_id),
                    ":after": backfill_item.sort_key_after(backfill_id, self._region, after),
                    ":end": backfill_item.sort_key_end(self._region),
                },
                ConsistentRead=True,
                Limit=count,
            )
        return backfill_item.slices_of(
            cast(list[Item], answer["Items"]), unreadable
        ), "LastEvaluatedKey" in answer

    def _get(self, operation: str, key: Item) -> Item | None:
        with named_failures(operation):
            answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return cast("Item | None", answer.get("Item"))

    def _put(self, operation: str, request: dict[str, Any]) -> None:
        # If the condition fails, the item there is further, or the same after a lost reply.
        with named_failures(operation), condition_may_fail():
            self._client.put_item(TableName=self._table, **request)
