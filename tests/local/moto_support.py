"""Shared parts of the tests of the moto fixes: a clock that only they move, moto without fixes and with them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
from moto import mock_aws

from eventfabric.testing.local import moto_fixes

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_dynamodbstreams.type_defs import RecordTypeDef
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

REGION = "eu-central-1"
ABSENT = "attribute_not_exists(pk)"


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1_790_000_000.25

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass(frozen=True)
class Aws:
    clock: Clock
    sqs: "SQSClient"
    dynamodb: "DynamoDBClient"
    streams: "DynamoDBStreamsClient"

    def queue(self, name: str = "q.fifo", **attributes: str) -> str:
        fifo = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
        wanted: Any = {**fifo, **attributes}
        return self.sqs.create_queue(QueueName=name, Attributes=wanted)["QueueUrl"]

    def send(self, url: str, body: str, *, group: str = "g", once: str | None = None) -> str:
        sent = self.sqs.send_message(
            QueueUrl=url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=once or body
        )
        return sent["MessageId"]

    def receive(self, url: str, count: int = 10, **more: Any) -> "list[MessageTypeDef]":
        answer = self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=count, MessageSystemAttributeNames=["All"], **more
        )
        return answer.get("Messages", [])

    def bodies(self, url: str, count: int = 10, **more: Any) -> list[str]:
        return [message["Body"] for message in self.receive(url, count, **more)]

    def drain(self, url: str) -> None:
        while messages := self.receive(url):
            for message in messages:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def table(self, name: str = "t") -> str:
        self.dynamodb.create_table(
            TableName=name,
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "N"},
            ],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        return name

    def fill(self, count: int, start: int = 1000) -> None:
        for i in range(count):
            self.dynamodb.put_item(TableName="t", Item=item(start + i, pk=f"p{i % 2}"))

    def items(self) -> dict[tuple[str, int], str | None]:
        rows = self.dynamodb.scan(TableName="t")["Items"]
        return {(i["pk"]["S"], int(i["sk"]["N"])): i.get("v", {}).get("S") for i in rows}

    def iterator(self, kind: Any = "TRIM_HORIZON", name: str = "t") -> str:
        arn = self.dynamodb.describe_table(TableName=name)["Table"]["LatestStreamArn"]
        shard = self.streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
        got = self.streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType=kind)
        return got["ShardIterator"]

    def records(self, iterator: str | None = None) -> "list[RecordTypeDef]":
        return self.streams.get_records(ShardIterator=iterator or self.iterator())["Records"]


def item(sk: int, value: str = "v", pk: str = "p") -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"N": str(sk)}, "v": {"S": value}, "b": {"B": b"\x00\xff"}}


@contextmanager
def plain_moto() -> Iterator[Aws]:
    """Moto as it is, but for its clock."""
    clock = Clock()

    def utcnow() -> datetime:
        return datetime.fromtimestamp(clock(), UTC).replace(tzinfo=None)

    with patch("moto.core.utils.utcnow", utcnow), mock_aws():
        yield _clients(clock)


@contextmanager
def mended_moto() -> Iterator[Aws]:
    clock = Clock()
    with moto_fixes.applied(now=clock), mock_aws():
        yield _clients(clock)


def _clients(clock: Clock) -> Aws:
    config = moto_fixes.client_config()
    return Aws(
        clock=clock,
        sqs=boto3.client("sqs", region_name=REGION, config=config),
        dynamodb=boto3.client("dynamodb", region_name=REGION, config=config),
        streams=boto3.client("dynamodbstreams", region_name=REGION, config=config),
    )


def assert_moto_still_errs(fault_shown: bool, fix: str) -> None:
    assert fault_shown, f"moto has mended this: take out {fix}, and its pair of tests"


def calls_made_by(work: Callable[[], object]) -> int:
    """Return how many Python functions `work` calls: a measure of its cost that does not depend on the machine."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls
