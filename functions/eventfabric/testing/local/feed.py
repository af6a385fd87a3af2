"""Reads a table's DynamoDB stream from its beginning, once, in the form in which Lambda passes it to functions."""

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from eventfabric.aws.clients import Clients
from eventfabric.testing.local.moto_fixes.unread import Progress, progress_of
from eventfabric.wire.keys import ledger_region_and_kind, region_of_log_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodbstreams.client import DynamoDBStreamsClient

_RECORDS_MAX = 1000


@dataclass(frozen=True)
class TableChange:
    """One change of an item: `for_lambda` as a function gets it, `keys` and `image` as a client writes them.

    `image`: None if the item was deleted.
    """

    for_lambda: dict[str, Any]
    keys: dict[str, Any]
    image: dict[str, Any] | None


class TableFeed:
    """One table's stream in one Region."""

    def __init__(self, clients: Clients, streams: "DynamoDBStreamsClient", table: str) -> None:
        self._streams = streams
        self.table = table
        self.arn = clients.dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
        self._region = clients.region
        self._iterators: dict[str, str] = {}
        self._read: Progress | None = None

    def take(self) -> Iterator[TableChange]:
        """Yield the changes since the last call."""
        progress = progress_of(self.table, self._region)
        if progress is not None and progress == self._read:
            return
        shards = self._streams.describe_stream(StreamArn=self.arn)["StreamDescription"]["Shards"]
        for shard in shards:
            shard_id = shard["ShardId"]
            iterator = self._iterators.get(shard_id)
            if iterator is None:
                iterator = self._streams.get_shard_iterator(
                    StreamArn=self.arn, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
                )["ShardIterator"]
            while True:
                answer = self._streams.get_records(ShardIterator=iterator, Limit=_RECORDS_MAX)
                iterator = answer.get("NextShardIterator", iterator)
                for stream_record in answer["Records"]:
                    change = cast(dict[str, Any], stream_record)
                    keys, image = change["dynamodb"]["Keys"], change["dynamodb"].get("NewImage")
                    yield TableChange(self._as_lambda_gets_it(change), keys, image)
                self._iterators[shard_id] = iterator
                if len(answer["Records"]) < _RECORDS_MAX:
                    break
        # As it stood before the read: what was added meanwhile is read again, and found to be read.
        self._read = progress

    def _as_lambda_gets_it(self, stream_record: dict[str, Any]) -> dict[str, Any]:
        change = dict(stream_record["dynamodb"])
        change.pop("ApproximateCreationDateTime", None)
        for image in ("Keys", "NewImage", "OldImage"):
            if image in change:
                change[image] = {name: _json(value) for name, value in change[image].items()}
        return {
            "eventID": stream_record["eventID"],
            "eventName": stream_record["eventName"],
            "eventSource": "aws:dynamodb",
            "eventVersion": stream_record.get("eventVersion", "1.1"),
            "awsRegion": self._region,
            "dynamodb": change,
            "eventSourceARN": self.arn,
        }


def let_declarations_arrive(
    logs: Sequence[tuple[str, TableFeed]],
    replicas: Callable[[TableFeed, str], Iterable[str]],
    clients: Mapping[str, Clients],
) -> None:
    """Bring what stands in logs to all Regions, as if the deployment were long ago. Its news is nobody's any more.

    `logs`: each Region with its feed of a log. `replicas`: the other Regions of one.
    """
    declared = [(region, feed, change.image) for region, feed in logs for change in feed.take()]
    for region, feed, image in declared:
        for target in replicas(feed, region):
            clients[target].dynamodb.put_item(TableName=feed.table, Item=image or {})
    for _, feed in logs:
        list(feed.take())


def _json(value: dict[str, Any]) -> dict[str, Any]:
    """Return a value as Lambda passes it: binary content as Base64 text."""
    kind, content = next(iter(value.items()))
    return {kind: b64encode(content).decode()} if kind == "B" else value


def writer_of(keys: dict[str, Any], *, is_ledger: bool) -> str:
    """Return the Region that writes an item, by its key."""
    return ledger_region_and_kind(keys)[0] if is_ledger else region_of_log_item(keys)
