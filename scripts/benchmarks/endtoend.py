"""End to end on moto: the same events from their producer to a handler, the fabric's way and by what else there is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any
from uuid import uuid4

import boto3
import msgspec
from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)

from eventfabric import Delivery, Event
from eventfabric.definition_file import parse_definition
from eventfabric.local import LocalFabric
from eventfabric.local.meter import Meter
from scripts.benchmarks.deliver import LambdaContext
from scripts.benchmarks.measure import Contender, Section, Target, compare
from scripts.benchmarks.null_endpoint import REGION
from scripts.benchmarks.publish import keys, payloads

BATCH = 10
"""Messages of a request, and of an invocation: as many as SQS and EventBridge allow."""
_DEFINITION = f"""
[fabric]
name = "bench"
regions = ["{REGION}"]
[streams.orders]
lanes = 4
[subscriptions.all]
stream = "orders"
handler = "nobody:nothing"
"""


@dataclass(frozen=True)
class Flow:
    """A way from the producer to the handler. `run`: sends so many events, and ends when all were handled."""

    name: str
    run: Callable[[int], None]
    meter: Meter


class Flows:
    """All of them, in one moto; `handled` counts the events that came to the handler since the last run."""

    def __init__(self, fabric: LocalFabric) -> None:
        self.handled = 0
        self._fabric = fabric
        self._items = list(zip(keys(), payloads(2_048), strict=True))
        self._session = boto3.Session("none", "none", region_name=REGION)

    def all(self) -> list[Flow]:
        """Ours first."""
        return [
            Flow("eventfabric", self._ours, self._fabric.meter),
            self._by_queue("SQS FIFO + Powertools Idempotency", fifo=True, by_bus=False),
            self._by_queue("EventBridge + SQS + Powertools Idempotency", fifo=False, by_bus=True),
        ]

    def handle(self, event: Event, delivery: Delivery) -> None:
        """The fabric's handler."""
        self.handled += 1

    def _ours(self, events: int) -> None:
        with self._fabric.region(REGION).publisher("orders", linger_ms=60_000) as publisher:
            publisher.publish_all("OrderPlaced", islice(self._items, events))
        self._fabric.settle()

    def _by_queue(self, name: str, *, fifo: bool, by_bus: bool) -> Flow:
        meter = Meter()
        sqs, dynamodb, bus = (self._client(service, meter) for service in ("sqs", "dynamodb", "events"))
        label = f"bench-{'bus' if by_bus else 'queue'}"
        queue = sqs.create_queue(
            QueueName=f"{label}.fifo" if fifo else label, Attributes={"FifoQueue": "true"} if fifo else {}
        )["QueueUrl"]
        dynamodb.create_table(
            TableName=label,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        if by_bus:
            bus.put_rule(Name=label, EventPattern='{"source":["shop"]}')
            arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"][
                "QueueArn"
            ]
            bus.put_targets(Rule=label, Targets=[{"Id": "queue", "Arn": arn}])
        send = partial(self._put_events, bus) if by_bus else partial(self._send_messages, sqs, queue)
        consume = self._guarded(dynamodb, label)
        meter.calls.clear()
        return Flow(name, partial(self._through_a_queue, send, sqs, queue, consume), meter)

    def _client(self, service: str, meter: Meter) -> Any:
        client = self._session.client(service)  # type: ignore[call-overload]
        meter.watch(client)
        return client

    def _through_a_queue(
        self, send: Callable[[list[tuple[str, str]]], None], sqs: Any, queue: str,
        consume: Callable[[list[dict[str, Any]]], None], events: int,
    ) -> None:  # fmt: skip
        items = [(key, msgspec.json.encode(data).decode()) for key, data in islice(self._items, events)]
        for start in range(0, events, BATCH):
            send(items[start : start + BATCH])
        while messages := sqs.receive_message(
            QueueUrl=queue, MaxNumberOfMessages=BATCH, AttributeNames=["All"]
        ).get("Messages"):
            consume(messages)
            sqs.delete_message_batch(
                QueueUrl=queue,
                Entries=[
                    {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]}
                    for n, message in enumerate(messages)
                ],
            )

    @staticmethod
    def _put_events(bus: Any, batch: list[tuple[str, str]]) -> None:
        bus.put_events(
            Entries=[{"Source": "shop", "DetailType": "OrderPlaced", "Detail": text} for _, text in batch]
        )

    @staticmethod
    def _send_messages(sqs: Any, queue: str, batch: list[tuple[str, str]]) -> None:
        entries = [
            {"Id": str(n), "MessageBody": text, "MessageGroupId": key, "MessageDeduplicationId": str(uuid4())}
            for n, (key, text) in enumerate(batch)
        ]
        sqs.send_message_batch(QueueUrl=queue, Entries=entries)

    def _guarded(self, dynamodb: Any, table: str) -> Callable[[list[dict[str, Any]]], None]:
        """What Lambda does with a batch of messages, and Powertools with each."""
        config = IdempotencyConfig(event_key_jmespath="messageId")
        store = DynamoDBPersistenceLayer(table_name=table, boto3_client=dynamodb)
        guard: Any = idempotent_function(
            data_keyword_argument="message", persistence_store=store, config=config
        )

        def handle(*, message: dict[str, Any]) -> None:
            msgspec.json.decode(message["body"])
            self.handled += 1

        guarded: Any = guard(handle)
        config.register_lambda_context(LambdaContext())  # type: ignore[arg-type]  # what is read of it
        processor = SqsFifoPartialProcessor()

        def consume(messages: list[dict[str, Any]]) -> None:
            records = [
                {"messageId": one["MessageId"], "receiptHandle": one["ReceiptHandle"], "body": one["Body"],
                 "attributes": one["Attributes"], "eventSource": "aws:sqs"}
                for one in messages
            ]  # fmt: skip
            answer = process_partial_response(
                event={"Records": records},
                record_handler=lambda record: guarded(
                    message={"messageId": record.message_id, "body": record.body}
                ),
                processor=processor,
                context=LambdaContext(),  # type: ignore[arg-type]  # what is read of it
            )
            if answer["batchItemFailures"]:
                raise AssertionError("a message failed")

        return consume


@contextmanager
def _moto() -> Iterator[Flows]:
    handlers: dict[str, Callable[..., Any]] = {}
    flows: list[Flows] = []
    handlers["all"] = lambda event, delivery: flows[0].handle(event, delivery)
    with LocalFabric(parse_definition(_DEFINITION), handlers=handlers) as fabric:
        flows.append(Flows(fabric))
        yield flows[0]


def bench(*, quick: bool) -> Section:
    """Times all of it, moto included; `quick` sends fewer events."""
    events, rounds = (200, 1) if quick else (1_000, 3)
    with _moto() as flows:
        ways = flows.all()

        def run(way: Flow) -> int:
            flows.handled = 0
            way.meter.calls.clear()
            way.run(events)
            if flows.handled != events:
                raise AssertionError(f"{way.name}: {flows.handled} of {events} events were handled")
            return events

        figures = compare([Contender(way.name, partial(run, way)) for way in ways], rounds=rounds)
        calls = [sum(way.meter.calls.values()) / events for way in ways]
    ours, *others = calls
    return Section(
        f"end to end on moto, {events:,} events, microseconds of CPU an event, moto's own included",
        figures,
        [
            Target("calls an event, the least of the others / ours", min(others) / ours, 10, "times", at_least=True),
            Target("CPU an event, the least of the others / ours",
                   min(one.cpu_us_per_event for one in figures[1:]) / figures[0].cpu_us_per_event, 5, "times",
                   at_least=True),
        ],
        [f"{way.name}: {count:.2f} calls an event" for way, count in zip(ways, calls, strict=True)],
    )  # fmt: skip
