"""The log on a DynamoDB table."""

from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from eventfabric.aws.clients import condition_may_fail, item_in_the_way, named_failures
from eventfabric.errors import UndecodableRecordError
from eventfabric.model import EMPTY_TAIL, Intervention, Lane, Recent, Record, SequenceNumber, Tail
from eventfabric.ports import Page
from eventfabric.wire import intervention_item, place_item, record_item
from eventfabric.wire.keys import Item, interventions_of, record_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_NAMES = {f"#{name}": name for name in record_item.HEADER_ATTRIBUTES}
_HEADER = ", ".join(_NAMES)


class AwsLog:
    """ports.Log on one table in the Region of its client."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def tail(self, lane: Lane, *, before: SequenceNumber | None = None) -> Tail:
        """See ports.Log. One Query of one item, without its payload."""
        return _tail_of(self._newest(lane, before))

    def recent(
        self, lane: Lane, *, records_max: int, before: SequenceNumber | None = None, consistent: bool = True
    ) -> Recent:
        """See ports.Log. One Query of whole items: DynamoDB charges the same for items without their payloads."""
        condition, values = "pk = :pk", {":pk": {"S": str(lane)}}
        if before is not None:
            condition, values = f"{condition} AND sk < :before", {**values, ":before": {"N": str(before)}}
        with named_failures("read the tail"):
            answer = self._client.query(
                TableName=self._table,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=cast(Any, values),
                ScanIndexForward=False,
                ConsistentRead=consistent,
                Limit=records_max,
            )
        return place_item.recent(cast(list[Item], answer["Items"]), more="LastEvaluatedKey" in answer)

    def place(self, lane: Lane) -> Tail | None:
        """See ports.Log. One Query of one item, which everybody who reads a log is allowed to make."""
        return self.recent(lane, records_max=1, before=SequenceNumber(0)).place

    def hold_place(self, lane: Lane, tail: Tail) -> None:
        """See ports.Log. One PutItem."""
        with named_failures("hold a lane's place"), condition_may_fail():
            self._client.put_item(TableName=self._table, **cast(Any, place_item.put(lane, tail)))

    def note(self, intervention: Intervention) -> None:
        """See ports.Log. One PutItem."""
        item = intervention_item.to_item(intervention)
        with named_failures("note an intervention"):
            self._client.put_item(TableName=self._table, Item=cast(Any, item))

    def set_aside(self, intervention: Intervention) -> None:
        """See ports.Log. A Query, a PutItem and a DeleteItem: strongly consistent tables have no transactions."""
        key = record_key(intervention.lane, intervention.sequence)
        with named_failures("set an item aside"):
            items = self._client.query(
                TableName=self._table,
                KeyConditionExpression="pk = :pk AND sk = :sk",
                ExpressionAttributeValues=cast(Any, {":pk": key["pk"], ":sk": key["sk"]}),
                ConsistentRead=True,
            )["Items"]
            for item in items:
                noted = intervention_item.to_item(intervention, cast(Item, item))
                self._client.put_item(TableName=self._table, Item=cast(Any, noted))
                self._client.delete_item(TableName=self._table, Key=cast(Any, key))

    def interventions(self, lane: Lane) -> tuple[Intervention, ...]:
        """See ports.Log. One Query for each megabyte of what was set aside."""
        request: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": interventions_of(lane)},
            "ProjectionExpression": ", ".join(intervention_item.ATTRIBUTES),
            "ConsistentRead": True,
        }
        interventions: list[Intervention] = []
        while True:
            with named_failures("read what operators did"):
                answer = self._client.query(**request)
            interventions += [intervention_item.from_item(cast(Item, item), lane) for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                return tuple(interventions)
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _newest(self, lane: Lane, before: SequenceNumber | None) -> Item | None:
        values = {":pk": {"S": str(lane)}, ":first": {"N": "0"}}
        condition = "#pk = :pk AND #sk >= :first"
        if before is not None:
            if before <= 0:  # DynamoDB would refuse such a range
                return None
            condition = "#pk = :pk AND #sk BETWEEN :first AND :last"
            values[":last"] = {"N": str(before - 1)}
        with named_failures("read the tail"):
            items = self._client.query(
                TableName=self._table,
                KeyConditionExpression=condition,
                ExpressionAttributeNames=_NAMES,
                ExpressionAttributeValues=cast(Any, values),
                ProjectionExpression=_HEADER,
                ScanIndexForward=False,
                ConsistentRead=True,
                Limit=1,
            )["Items"]
        return cast(Item, items[0]) if items else None

    def append(self, record: Record) -> Record | None:
        """See ports.Log. One PutItem."""
        with named_failures("append"):
            try:
                self._client.put_item(TableName=self._table, **record_item.conditional_put(record))
            except ClientError as error:
                return record_item.from_item(item_in_the_way(error) or {})
        return None

    def read(
        self, lane: Lane, start: SequenceNumber, *, records_max: int, before: SequenceNumber | None = None
    ) -> Page:
        """See ports.Log. One Query, of at most 1 MB."""
        condition, values = "sk >= :start", {":pk": {"S": str(lane)}, ":start": {"N": str(start)}}
        if before is not None:
            if before <= start:  # DynamoDB would refuse such a range
                return Page((), more=False)
            condition, values = "sk BETWEEN :start AND :last", {**values, ":last": {"N": str(before - 1)}}
        with named_failures("read the log"):
            answer = self._client.query(
                TableName=self._table,
                KeyConditionExpression=f"pk = :pk AND {condition}",
                ExpressionAttributeValues=cast(Any, values),
                ConsistentRead=True,
                Limit=records_max,
            )
        records: list[Record] = []
        for item in answer["Items"]:
            try:
                records.append(record_item.from_item(cast(Item, item)))
            except UndecodableRecordError:
                if not records:
                    raise
                return Page(tuple(records), more=True)
        return Page(tuple(records), more="LastEvaluatedKey" in answer)


def _tail_of(header: Item | None) -> Tail:
    return record_item.from_item({**header, "d": {"B": b""}}).tail if header else EMPTY_TAIL
