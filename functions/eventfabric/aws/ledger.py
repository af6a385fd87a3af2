"""The ledger on DynamoDB tables."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Self, cast

from botocore.exceptions import ClientError

from eventfabric import limits
from eventfabric.aws.clients import (
    cancellation,
    condition_may_fail,
    error_code,
    item_in_the_way,
    named_failures,
)
from eventfabric.model import (
    Circuit,
    CommitOutcome,
    Committed,
    Cursor,
    Decided,
    HybridTime,
    LaneChange,
    LaneKey,
    LaneState,
    Marks,
    Owner,
    Parked,
    ParkedChange,
    RaceLost,
    Record,
    Region,
    SameItemTwice,
    Settled,
    Standing,
    StreamName,
    SubscriptionName,
    Write,
    next_count,
)
from eventfabric.ports import Clock, Entropy
from eventfabric.wire import (
    circuit_item,
    marks_item,
    owner_item,
    parked_item,
    settled_item,
    start_item,
)
from eventfabric.wire.keys import (
    BEFORE_PARKED,
    Item,
    marks_of,
    marks_prefix,
    parked_key_by_digest,
    progress_key,
    seen_item,
    settled_of,
    standing_key,
)
from eventfabric.wire.ledger_commit import CommitRequest, state_of, unchanged, wrote
from eventfabric.wire.transaction_bounds import Action

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

    from eventfabric.model.pass_progress import PassProgress


class AwsLedger:
    """ports.Ledger in the Region of its client. For the streams `in_order` it makes no transactions."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table_of: Callable[[StreamName], str],
        region: Region,
        *,
        clock: Clock,
        entropy: Entropy,
        in_order: frozenset[str] = frozenset(),
    ) -> None:
        self._in_order = in_order
        self._client = client
        self._table_of = table_of
        self.region = region
        self._clock = clock
        self._entropy = entropy

    def acting_for(self, region: Region) -> Self:
        """See ports.Ledger."""
        acting = copy(self)
        acting.region = region
        return acting

    def state(self, key: LaneKey, *, glance: bool = False) -> LaneState:
        """See ports.Ledger. One Query for each MB of state."""
        end = BEFORE_PARKED if glance else ""
        pages = self._pages("read the ledger", key.stream, {"S": str(key)}, end=end)
        state = state_of(chain.from_iterable(pages), is_whole=not glance)
        return self.state(key) if glance and state.is_announced else state

    def look_up(self, key: LaneKey, digests: Sequence[bytes]) -> list[Parked]:
        """See ports.Ledger. One GetItem a key."""
        parked: list[Parked] = []
        for digest in digests:
            with named_failures("look up a parked key"):
                answer = self._client.get_item(
                    TableName=self._table_of(key.stream),
                    Key=parked_key_by_digest(key, self.region, digest),
                    ConsistentRead=True,
                )
            if "Item" in answer:
                parked.append(parked_item.from_item(cast(Item, answer["Item"])))
        return parked

    def settled(self, key: LaneKey, *, by: Region | None = None) -> Iterator[Settled]:
        """See ports.Ledger. One Query for each MB of decisions."""
        for page in self._pages("read decisions", key.stream, settled_of(key)):
            yield from settled_item.decided_by(page, by)

    def _pages(
        self,
        operation: str,
        stream: StreamName,
        partition: dict[str, Any],
        *,
        prefix: str = "",
        end: str = "",
    ) -> Iterator[list[Item]]:
        """Yield page by page the items of a partition whose sort keys begin with `prefix`, or are before `end`."""
        request: dict[str, Any] = {
            "TableName": self._table_of(stream),
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": partition},
            "ConsistentRead": True,
        }
        if prefix:
            request["KeyConditionExpression"] += " AND begins_with(sk, :prefix)"
            request["ExpressionAttributeValues"][":prefix"] = {"S": prefix}
        elif end:
            request["KeyConditionExpression"] += " AND sk < :end"
            request["ExpressionAttributeValues"][":end"] = {"S": end}
        while True:
            with named_failures(operation):
                answer = self._client.query(**request)
            yield cast(list[Item], answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def commit(
        self,
        key: LaneKey,
        read: Cursor,
        moved: Cursor,
        *,
        parked: Sequence[ParkedChange] = (),
        writes: Sequence[Write] = (),
        records: Sequence[tuple[str, Record]] = (),
        settled: Sequence[Settled] = (),
        decided: Sequence[Decided] = (),
        beside: Sequence[LaneChange] = (),
        token: bytes | None = None,
    ) -> CommitOutcome:
        """See ports.Ledger. One PutItem of the cursor alone, else a TransactWriteItems or, in order, a call an item."""
        request = CommitRequest(
            self._table_of(key.stream),
            key,
            self.region,
            read,
            moved,
            parked=parked,
            settled=settled,
            decided=decided,
            beside=beside,
            writes=writes,
            records=records,
            token=token or self._entropy.bytes(limits.COMMIT_TOKEN_BYTES),
            now_ms=self._clock.now_ms(),
            in_order=key.stream in self._in_order,
        )
        with named_failures("commit"):
            try:
                if request.announcement is not None:
                    return self._write_in_order(request, request.announcement)
                if actions := request.actions:
                    self._transact(actions)
                else:
                    self._client.put_item(**request.cursor)
            except ClientError as error:
                return _refused(error, request)
        return Committed(request.stored)

    def _transact(self, actions: Sequence[Action]) -> None:
        """Make one transaction. A commit that is tried again is a new one, which finds its own state in its way."""
        self._client.transact_write_items(
            TransactItems=[cast("TransactWriteItemTypeDef", {name: request}) for name, request in actions],
            ClientRequestToken=self._entropy.bytes(limits.COMMIT_TOKEN_BYTES).hex(),
        )

    def _write_in_order(self, request: CommitRequest, announcement: dict[str, Any]) -> CommitOutcome:
        """Write the announcement, decisions, parked keys, and then the cursor, one by one.

        If it stops before the cursor, keys wait for events that will come again; none is lost.
        """
        for action, item in [("Put", announcement), *request.others]:
            try:
                self._client.put_item(**item) if action == "Put" else self._client.delete_item(**item)
            except ClientError as error:
                there = item_in_the_way(error)
                if wrote(item, there):
                    continue
                if item is announcement:
                    return request.outcome_of_item(there)
                self._undo(request)
                return RaceLost()
        try:
            self._client.put_item(**request.cursor)
        except ClientError as error:
            return request.outcome_of_item(item_in_the_way(error), is_beside_written=True)
        return Committed(request.stored)

    def _undo(self, request: CommitRequest) -> None:
        for delete in request.undo:
            with condition_may_fail():  # somebody else may have decided since
                self._client.delete_item(**delete)

    def standing(self, stream: StreamName, subscription: SubscriptionName) -> Standing:
        """See ports.Ledger. One Query."""
        with named_failures("read the circuit"):
            answer = self._client.query(
                TableName=self._table_of(stream),
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": standing_key(stream, subscription)},
                ConsistentRead=True,
            )
        return owner_item.standing_of(cast(list[Item], answer["Items"]), self.region)

    def switch(
        self, stream: StreamName, subscription: SubscriptionName, read: Circuit, to: Circuit
    ) -> Circuit | None:
        """See ports.Ledger. One PutItem."""
        stored = replace(to, version=next_count(read.version))
        item = circuit_item.to_item(stream, subscription, self.region, stored)
        return stored if self._replace(stream, "switch the circuit", item, read.version) else None

    def hand_over(
        self, stream: StreamName, subscription: SubscriptionName, read: Owner | None, to: Owner
    ) -> Owner | None:
        """See ports.Ledger. One PutItem."""
        version = read.version if read else 0
        stored = replace(to, version=next_count(version))
        item = owner_item.to_item(stream, subscription, stored)
        return stored if self._replace(stream, "hand lanes over", item, version) else None

    def pin(self, stream: StreamName, subscription: SubscriptionName, time: HybridTime) -> HybridTime:
        """See ports.Ledger. One PutItem."""
        item = start_item.to_item(stream, subscription, self.region, time)
        there = self._put(stream, "pin the start", item, unchanged(0))
        return time if there is None else start_item.from_item(there)

    def see(self, stream: StreamName, subscription: SubscriptionName, *, nothing: bool = False) -> None:
        """See ports.Ledger. One PutItem."""
        item = seen_item(stream, subscription, self.region, 0 if nothing else self._clock.now_ms())
        with named_failures("note a look"):
            self._client.put_item(TableName=self._table_of(stream), Item=item)

    def marks(self, stream: StreamName, origin: Region, *, part: str = "") -> Marks:
        """See ports.Ledger. One Query for each MB of marks."""
        mine = marks_prefix(self.region) + part
        pages = self._pages("read the marks", stream, marks_of(stream, origin), prefix=mine)
        return marks_item.from_items(list(chain.from_iterable(pages)))

    def mark(self, stream: StreamName, origin: Region, read: Marks, to: Marks) -> bool:
        """See ports.Ledger. One PutItem for each part that changed."""
        changed = marks_item.changed_items(stream, origin, self.region, read, to)
        return all(self._replace(stream, "mark", item, version) for item, version in changed)

    def progress(self, stream: StreamName) -> "PassProgress":
        """See ports.Ledger. One GetItem."""
        from eventfabric.wire import progress_item  # other functions need none of it

        with named_failures("read a pass's progress"):
            answer = self._client.get_item(
                TableName=self._table_of(stream),
                Key=progress_key(stream, self.region),
                ConsistentRead=True,
            )
        return progress_item.from_item(cast(Item | None, answer.get("Item")))

    def note_pass(
        self, stream: StreamName, read: "PassProgress", to: "PassProgress"
    ) -> "PassProgress | None":
        """See ports.Ledger. One PutItem."""
        from eventfabric.wire import progress_item

        stored = replace(to, version=next_count(read.version or 0))
        item = progress_item.to_item(stream, self.region, stored)
        return stored if self._replace(stream, "note a pass's progress", item, read.version) else None

    def _replace(self, stream: StreamName, operation: str, item: Item, read_version: int | None) -> bool:
        """Put an item if the stored one is at that version; None: whatever is stored."""
        condition = {} if read_version is None else unchanged(read_version)
        # After a lost reply: the item there is exactly what this very call wrote.
        return self._put(stream, operation, item, condition) in (None, item)

    def _put(self, stream: StreamName, operation: str, item: Item, condition: dict[str, Any]) -> Item | None:
        """Put an item under a condition. Return the item that is in the way; None: the item is stored."""
        with named_failures(operation):
            try:
                self._client.put_item(TableName=self._table_of(stream), Item=item, **condition)
            except ClientError as error:
                return item_in_the_way(error) or {}
        return None


def _refused(error: ClientError, request: CommitRequest) -> CommitOutcome:
    code = error_code(error)
    response = cast(dict[str, Any], error.response)
    if code == "ConditionalCheckFailedException":
        return request.outcome_of_item(response.get("Item"))
    if code == "ValidationException" and "multiple operations on one item" in str(error):
        return SameItemTwice()
    refusals = cancellation(error)
    if refusals is None:
        raise error
    return request.outcome(refusals)
