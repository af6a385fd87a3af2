"""The two backends that one suite checks: the cloud in memory, and the AWS adapters over mended moto."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast

import boto3
from botocore.exceptions import ReadTimeoutError
from moto import mock_aws

from eventfabric.aws.backfills import AwsBackfills
from eventfabric.aws.clients import Clients
from eventfabric.aws.credits import AwsCredits
from eventfabric.aws.doorbells import AwsDoorbells
from eventfabric.aws.ledger import AwsLedger
from eventfabric.aws.log import AwsLog
from eventfabric.aws.outbox import AwsOutbox
from eventfabric.aws.steps import AwsSteps
from eventfabric.model import Region
from eventfabric.ports import Doorbells, Ledger, Log, Outbox, Steps
from eventfabric.rare_ports import Backfills, Credits
from eventfabric.resources import QueueTopology
from eventfabric.testing.local import moto_fixes
from eventfabric.testing.memory.backfills import MemoryBackfills
from eventfabric.testing.memory.clock import MemoryClock
from eventfabric.testing.memory.credits import MemoryCredits
from eventfabric.testing.memory.doorbells import MemoryDoorbells
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from eventfabric.testing.memory.ledger import MemoryLedger
from eventfabric.testing.memory.log import MemoryLog
from eventfabric.testing.memory.outbox import MemoryOutbox
from eventfabric.testing.memory.queue import MemoryQueue, MemoryTimers
from eventfabric.testing.memory.region import MemoryRegion
from eventfabric.testing.memory.requests import Requests
from eventfabric.testing.memory.steps import MemorySteps
from eventfabric.wire.keys import Item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

HOME = Region("us-east-1")
AWAY = Region("eu-west-1")
LOG_TABLE, LEDGER_TABLE, OWN_TABLE = "shop-orders", "shop-ledger", "accounts"
QUEUE = QueueTopology("shop-billing.fifo", "shop-billing-dead.fifo", 60, 3)
SUBSCRIPTION = "billing"
RETENTION_SECONDS = 86_400


@dataclass(frozen=True)
class Message:
    body: str
    receipt_handle: str
    receive_count: int


def queue_name(subscription: str) -> str:
    return f"shop-{subscription}.fifo"


def timers_name(subscription: str) -> str:
    return f"shop-{subscription}-timers"


class CrashBeforeWrite:
    """A rule of faults that ends the process before the put or delete of a number, and then no more."""

    def __init__(self, number: int) -> None:
        self._left = number

    def __call__(self, called: str, overall: int, of_name: int) -> Fault | None:
        self._left -= called in ("put", "delete")
        return Fault.CRASH_BEFORE if called in ("put", "delete") and self._left == 0 else None


class Backend(Protocol):
    """Everything that a test may use of either backend."""

    clock: MemoryClock
    log: Log
    outbox: Outbox
    ledger: Ledger
    doorbells: Doorbells
    steps: Steps
    backfills: Backfills
    credits: Credits

    def another_ledger(self, in_order: frozenset[str] = frozenset()) -> Ledger: ...
    def put(self, table: str, item: Item) -> None: ...
    def get(self, table: str, key: Item) -> Item | None: ...
    def lose_replies(self, count: int) -> None:
        """The next so many requests to DynamoDB take effect, and their replies are lost."""
        ...

    def crash_before_write(self, number: int) -> None:
        """The process ends before the put or delete of that number, from now on and from 1."""
        ...

    def receive(self, count: int = 10) -> list[Message]: ...
    def delete(self, message: Message) -> None: ...
    def dead_letters(self) -> list[str]: ...
    def timers(self) -> list[str]:
        """The timers that are due, answered."""
        ...

    def receive_timers(self) -> list[Message]:
        """The timers that are due, not answered yet."""
        ...


class MemoryBackend:
    def __init__(self) -> None:
        self.clock = MemoryClock()
        self._region = MemoryRegion(HOME, clock=self.clock)
        for table in (LOG_TABLE, LEDGER_TABLE):
            self._region.create_table(table)
        self._region.create_table(OWN_TABLE, key_names=("id",))
        dead = MemoryQueue(QUEUE.dead_letter_name, clock=self.clock)
        self._queue = MemoryQueue(
            QUEUE.name,
            clock=self.clock,
            visibility_timeout_seconds=QUEUE.visibility_timeout_seconds,
            receive_count_max=QUEUE.receive_count_max,
            dead_letters=dead,
        )
        self._region.queues = {QUEUE.name: self._queue, dead.name: dead}
        self._timers = MemoryTimers(timers_name(SUBSCRIPTION), clock=self.clock)
        self._region.timers = {self._timers.name: self._timers}
        self._faults = Faults()
        self._requests = Requests(self._faults)
        self._entropy = SeededEntropy()
        self.log: Log = MemoryLog(self._region.table(LOG_TABLE), requests=self._requests)
        self.outbox: Outbox = MemoryOutbox(self._region, requests=self._requests)
        self.ledger: Ledger = self.another_ledger()
        self.doorbells: Doorbells = MemoryDoorbells(self._region, queue_name, timers_name)
        self.steps: Steps = MemorySteps(
            self._region,
            LEDGER_TABLE,
            retention_seconds=RETENTION_SECONDS,
            entropy=self._entropy,
            requests=self._requests,
        )
        self.backfills: Backfills = MemoryBackfills(self._region, LEDGER_TABLE, requests=self._requests)
        self.credits: Credits = MemoryCredits(
            self._region, lambda stream: LEDGER_TABLE, requests=self._requests
        )

    def another_ledger(self, in_order: frozenset[str] = frozenset()) -> Ledger:
        return MemoryLedger(
            self._region,
            lambda stream: LEDGER_TABLE,
            entropy=self._entropy,
            requests=self._requests,
            in_order=in_order,
        )

    def put(self, table: str, item: Item) -> None:
        self._region.table(table).write("Put", {"Item": item})

    def get(self, table: str, key: Item) -> Item | None:
        return self._region.table(table).get(key, consistent=True)

    def lose_replies(self, count: int) -> None:
        made = len(self._faults.calls)
        self._faults.rules += [nth(made + 1 + index, Fault.LOST_REPLY) for index in range(count)]

    def crash_before_write(self, number: int) -> None:
        self._faults.rules.append(CrashBeforeWrite(number))

    def receive(self, count: int = 10) -> list[Message]:
        return [Message(m.body, m.receipt_handle, m.receive_count) for m in self._queue.receive(count)]

    def delete(self, message: Message) -> None:
        self._queue.delete(message.receipt_handle)

    def dead_letters(self) -> list[str]:
        return self._region.queues[QUEUE.dead_letter_name].bodies

    def timers(self) -> list[str]:
        return list(iter(self._timers.take, None))

    def receive_timers(self) -> list[Message]:
        return [Message(m.body, m.receipt_handle, m.receive_count) for m in iter(self._timers.receive, None)]


class AwsBackend:
    def __init__(self, clock: MemoryClock) -> None:
        self.clock = clock
        clients = Clients(HOME, session=_session(), config=moto_fixes.client_config())
        self._dynamodb, self._sqs = clients.dynamodb, clients.sqs
        self._entropy = SeededEntropy()
        _create_table(self._dynamodb, LOG_TABLE, pk="S", sk="N")
        _create_table(self._dynamodb, LEDGER_TABLE, pk="S", sk="S")
        _create_table(self._dynamodb, OWN_TABLE, id="S")
        self._dead_url = self._sqs.create_queue(
            QueueName=QUEUE.dead_letter_name, Attributes={"FifoQueue": "true"}
        )["QueueUrl"]
        self._url = _create_queue(self._sqs, QUEUE, self._dead_url)
        self._timers_url = self._sqs.create_queue(QueueName=timers_name(SUBSCRIPTION))["QueueUrl"]
        self._lost = 0
        # Asked after every reply: an answer other than None sends the request again, as after a lost reply.
        self._dynamodb.meta.events.register_first("needs-retry.dynamodb", cast(Any, self._needs_retry))
        for operation in ("Query", "GetItem", "BatchGetItem", "Scan"):
            self._dynamodb.meta.events.register(
                f"before-parameter-build.dynamodb.{operation}", cast(Any, _assert_consistent)
            )
        self.log: Log = AwsLog(self._dynamodb, LOG_TABLE)
        self.outbox: Outbox = AwsOutbox(self._dynamodb)
        self.ledger: Ledger = self.another_ledger()
        self.doorbells: Doorbells = AwsDoorbells(self._sqs, queue_name, timers_name)
        self.steps: Steps = AwsSteps(
            self._dynamodb,
            LEDGER_TABLE,
            HOME,
            retention_seconds=RETENTION_SECONDS,
            clock=clock,
            entropy=self._entropy,
        )
        self.backfills: Backfills = AwsBackfills(self._dynamodb, LEDGER_TABLE, HOME)
        self.credits: Credits = AwsCredits(self._dynamodb, lambda stream: LEDGER_TABLE, HOME)

    def another_ledger(self, in_order: frozenset[str] = frozenset()) -> Ledger:
        return AwsLedger(
            self._dynamodb,
            lambda stream: LEDGER_TABLE,
            HOME,
            clock=self.clock,
            entropy=self._entropy,
            in_order=in_order,
        )

    def put(self, table: str, item: Item) -> None:
        self._dynamodb.put_item(TableName=table, Item=item)

    def get(self, table: str, key: Item) -> Item | None:
        answer = self._dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)
        return cast("Item | None", answer.get("Item"))

    def lose_replies(self, count: int) -> None:
        self._lost = count

    def crash_before_write(self, number: int) -> None:
        rule = CrashBeforeWrite(number)

        def before_call(**_: Any) -> None:
            if rule("put", 0, 0) is not None:
                raise SimulatedCrash("before a write")

        for operation in ("PutItem", "DeleteItem"):
            self._dynamodb.meta.events.register(f"before-call.dynamodb.{operation}", cast(Any, before_call))

    def _needs_retry(self, attempts: int, **_: Any) -> float | None:
        if not self._lost:
            return None
        self._lost -= 1
        if attempts >= 3:
            raise ReadTimeoutError(endpoint_url="dynamodb")
        return 0.0

    def receive(self, count: int = 10) -> list[Message]:
        return self._receive(self._url, count)

    def receive_timers(self) -> list[Message]:
        return self._receive(self._timers_url, 10)

    def _receive(self, url: str, count: int) -> list[Message]:
        answer = self._sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=count, MessageSystemAttributeNames=["All"]
        )
        return [
            Message(m["Body"], m["ReceiptHandle"], int(m["Attributes"]["ApproximateReceiveCount"]))
            for m in answer.get("Messages", [])
        ]

    def delete(self, message: Message) -> None:
        self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt_handle)

    def dead_letters(self) -> list[str]:
        answer = self._sqs.receive_message(QueueUrl=self._dead_url, MaxNumberOfMessages=10)
        return [message["Body"] for message in answer.get("Messages", [])]

    def timers(self) -> list[str]:
        answer = self._sqs.receive_message(QueueUrl=self._timers_url, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            self._sqs.delete_message(QueueUrl=self._timers_url, ReceiptHandle=message["ReceiptHandle"])
        return [message["Body"] for message in answer.get("Messages", [])]


def _assert_consistent(params: dict[str, Any], **about: Any) -> None:
    """Every read that the fabric decides on sees all that was written before; an older credit is only smaller."""
    if "/credits/" in str(params.get("ExpressionAttributeValues")):
        return
    assert params.get("ConsistentRead") is True, f"a read without consistency: {params}"


@contextmanager
def aws_backend() -> Iterator[AwsBackend]:
    clock = MemoryClock()
    with moto_fixes.applied(now=lambda: clock.now_ms() / 1000), mock_aws():
        yield AwsBackend(clock)


@cache
def _session() -> boto3.Session:
    """One for all tests: it reads the services' models, which takes longer than any test."""
    return boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing")


def _create_table(client: "DynamoDBClient", name: str, **keys: Any) -> None:
    kinds = ("HASH", "RANGE")
    client.create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": key, "KeyType": cast(Any, kind)} for key, kind in zip(keys, kinds, strict=False)
        ],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": keys[key]} for key in keys],
        BillingMode="PAY_PER_REQUEST",
    )


def _create_queue(client: "SQSClient", queue: QueueTopology, dead_url: str) -> str:
    dead = client.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])["Attributes"]
    policy = {"deadLetterTargetArn": dead["QueueArn"], "maxReceiveCount": queue.receive_count_max}
    attributes = {**queue.attributes, "RedrivePolicy": json.dumps(policy)}
    return client.create_queue(QueueName=queue.name, Attributes=cast(Any, attributes))["QueueUrl"]


__all__ = ["AWAY", "HOME", "Backend", "MemoryBackend", "Message", "aws_backend"]
