"""The ledger on a DynamoDB table.

A commit and its race, in time:

    consumer A   read v7 .......................... put v8 if v = 7   refused: the row says v8, token b -> race lost
    consumer B        read v7 ..... put v8 if v = 7   written, reply lost; put again: refused, the row says v8, token b
                                                      and b is this commit's token -> it was written after all
"""

from collections.abc import Sequence as Seq
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from eventfabric.aws.clients import error_code, named_failures
from eventfabric.errors import ThrottledError
from eventfabric.model.cursor import Cursor, LaneKey, LaneState
from eventfabric.model.identity import Region
from eventfabric.ports import (
    Clock,
    CommitOutcome,
    Committed,
    Entropy,
    RaceLost,
    SameItemTwice,
    Write,
    WriteRefused,
)
from eventfabric.wire import cursor_item
from eventfabric.wire.keys import Item, is_cursor, ledger_region_and_kind

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

_FAILED_CONDITION = "ConditionalCheckFailed"
_CONFLICT = "TransactionConflict"
_TOKEN_BYTES = 16


class AwsLedger:
    """ports.Ledger on one table in the Region of its client."""

    def __init__(
        self, client: "DynamoDBClient", table: str, region: Region, *, clock: Clock, entropy: Entropy
    ) -> None:
        self._client = client
        self._table = table
        self.region = region
        self._clock = clock
        self._entropy = entropy

    def state(self, key: LaneKey) -> LaneState:
        """See ports.Ledger. One Query."""
        with named_failures("read the ledger"):
            items = self._client.query(
                TableName=self._table,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": str(key)}},
                ConsistentRead=True,
            )["Items"]
        cursors: dict[Region, Cursor] = {}
        for raw in items:
            item = cast(Item, raw)
            region, kind = ledger_region_and_kind(item)
            if is_cursor(kind):
                cursors[region] = cursor_item.from_item(item)
        return LaneState(cursors)

    def commit(self, key: LaneKey, read: Cursor, moved: Cursor, writes: Seq[Write] = ()) -> CommitOutcome:
        """See ports.Ledger. One PutItem, or one TransactWriteItems where there are writes."""
        token = self._entropy.bytes(_TOKEN_BYTES)
        stored = Cursor(moved.sequence, moved.base, moved.chain, read.version + 1, moved.epoch)
        put = self._conditional_put(key, read, stored, token)
        with named_failures("commit"):
            try:
                if writes:
                    self._client.transact_write_items(
                        TransactItems=[
                            *(cast("TransactWriteItemTypeDef", {w.action: w.request}) for w in writes),
                            cast("TransactWriteItemTypeDef", {"Put": put}),
                        ],
                        ClientRequestToken=token.hex(),
                    )
                else:
                    self._client.put_item(**put)
            except ClientError as error:
                return self._refused(error, token, stored, len(writes))
        return Committed(stored)

    def _conditional_put(self, key: LaneKey, read: Cursor, stored: Cursor, token: bytes) -> dict[str, Any]:
        nobody_moved_it = "v = :read" if read.version else "attribute_not_exists(pk)"
        put: dict[str, Any] = {
            "TableName": self._table,
            "Item": cursor_item.to_item(key, self.region, stored, token=token, now_ms=self._clock.now_ms()),
            "ConditionExpression": nobody_moved_it,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if read.version:
            put["ExpressionAttributeValues"] = {":read": {"N": str(read.version)}}
        return put

    def _refused(self, error: ClientError, token: bytes, stored: Cursor, writes_count: int) -> CommitOutcome:
        code = error_code(error)
        response = cast(dict[str, Any], error.response)
        if code == "ConditionalCheckFailedException":
            return self._lost_or_mine(response.get("Item"), token, stored)
        if code == "ValidationException" and "multiple operations on one item" in str(error):
            return SameItemTwice()
        if code != "TransactionCanceledException":
            raise error
        reasons: list[dict[str, Any]] = response.get("CancellationReasons") or []
        if len(reasons) > writes_count and reasons[writes_count].get("Code") == _FAILED_CONDITION:
            return self._lost_or_mine(reasons[writes_count].get("Item"), token, stored)
        for index, reason in enumerate(reasons[:writes_count]):
            if reason.get("Code") not in (None, "None", _CONFLICT):
                return WriteRefused(index, str(reason["Code"]), str(reason.get("Message", "")))
        # Only conflicts with other transactions, or a throttle: nothing was written, and the same may go through later.
        raise ThrottledError("commit", str(error)) from error

    def _lost_or_mine(self, item: Item | None, token: bytes, stored: Cursor) -> CommitOutcome:
        """A refused put was already written by this very commit if the row bears its token."""
        return Committed(stored) if item and cursor_item.token_of(item) == token else RaceLost()
