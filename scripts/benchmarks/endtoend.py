"""End to end, on moto and on the emulator: the same events from producer to handler, by the fabric and alternatives.

On moto, the fabric is the local fabric. On the emulator, its functions run in this process.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from io import StringIO
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import boto3
import msgspec
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)

from eventfabric import Delivery, Event, Fabric
from eventfabric.aws.clients import Clients
from eventfabric.aws.region import aws_ports
from eventfabric.definition.file import parse_definition
from eventfabric.model import Region
from eventfabric.runtime.deliver import handle as deliver
from eventfabric.runtime.wiring import Runtime, using
from eventfabric.telemetry import NoTelemetry
from eventfabric.testing.local.fabric import LocalFabric
from eventfabric.testing.local.meter import Meter
from eventfabric.testing.local.provision import provision
from eventfabric.topology import Topology
from scripts.acceptance.emulator import Emulator
from scripts.benchmarks.deliver import LambdaContext
from scripts.benchmarks.measure import Contender, Section, Target, compare
from scripts.benchmarks.null_endpoint import REGION
from scripts.benchmarks.publish import keys, payloads

BATCH = 10
"""Messages in a request, and in an invocation: the most that SQS and EventBridge allow."""
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
    """A way from the producer to the handler. `run` sends a number of events, and returns when all were handled."""

    name: str
    run: Callable[[int], None]
    meter: Meter


class Flows:
    """The flows on moto or on the emulator. `handled` counts the events that the handler got in the current run."""

    def __init__(self, session: boto3.Session, endpoint_url: str | None = None) -> None:
        self.handled = 0
        self.session, self.endpoint_url = session, endpoint_url
        self.items = list(zip(keys(), payloads(2_048), strict=True))

    def handle(self, event: Event, delivery: Delivery) -> None:
        """Handle an event of the fabric."""
        self.handled += 1

    def others(self) -> list[Flow]:
        """Make the flows of the alternatives."""
        return [
            self._by_queue("SQS FIFO + Powertools Idempotency", fifo=True, by_bus=False),
            self._by_queue("EventBridge + SQS + Powertools Idempotency", fifo=False, by_bus=True),
        ]

    def of_the_local_fabric(self, fabric: LocalFabric) -> Flow:
        """Make the fabric's flow on moto."""

        def run(events: int) -> None:
            with fabric.region(REGION).publisher("orders", linger_ms=60_000) as publisher:
                publisher.publish_all("OrderPlaced", islice(self.items, events))
            fabric.settle()

        return Flow("eventfabric", run, fabric.meter)

    def of_the_fabric(self) -> Flow:
        """Make the fabric's flow on the endpoint. Only the producer rings doorbells."""
        topology, meter = Topology(parse_definition(_DEFINITION)), Meter()
        clients = Clients(REGION, session=self.session, endpoint_url=self.endpoint_url)
        provision(topology, clients)
        for client in (clients.dynamodb, clients.sqs):
            meter.watch(client)
        ports = aws_ports(topology, clients)
        runtime = Runtime(
            topology=topology,
            region=Region(REGION),
            subscription="all",
            ports=ports,
            telemetry=NoTelemetry(),
            logger=Logger(service="bench", stream=StringIO(), level=logging.CRITICAL),
            handlers={"all": self.handle},
        )
        fabric = Fabric(
            topology,
            REGION,
            log_of=lambda stream, region: ports.log_of(stream),
            clock=ports.clock,
            entropy=ports.entropy,
            doorbells_of=lambda region: ports.doorbells,
        )
        queue = clients.sqs.get_queue_url(QueueName=topology.subscription("all").queue.name)["QueueUrl"]

        def consume(messages: list[dict[str, Any]]) -> None:
            with using(runtime):
                answer = deliver({"Records": _records(messages)}, LambdaContext())  # type: ignore[arg-type]  # what is read of it
            if answer["batchItemFailures"]:
                raise AssertionError("a lane did not go on")

        def run(events: int) -> None:
            with fabric.publisher("orders", linger_ms=60_000) as publisher:
                publisher.publish_all("OrderPlaced", islice(self.items, events))
            fabric.flush()
            _drain(clients.sqs, queue, consume)

        return Flow("eventfabric", run, meter)

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
        client = self.session.client(service, endpoint_url=self.endpoint_url)  # type: ignore[call-overload]  # any service
        meter.watch(client)
        return client

    def _through_a_queue(
        self,
        send: Callable[[list[tuple[str, str]]], None],
        sqs: Any,
        queue: str,
        consume: Callable[[list[dict[str, Any]]], None],
        events: int,
    ) -> None:
        items = [(key, msgspec.json.encode(data).decode()) for key, data in islice(self.items, events)]
        for start in range(0, events, BATCH):
            send(items[start : start + BATCH])
        _drain(sqs, queue, consume)

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
        """Make a consumer of message batches that works like Lambda with Powertools Idempotency."""
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
            answer = process_partial_response(
                event={"Records": _records(messages)},
                record_handler=lambda record: guarded(
                    message={"messageId": record.message_id, "body": record.body}
                ),
                processor=processor,
                context=LambdaContext(),  # type: ignore[arg-type]  # what is read of it
            )
            if answer["batchItemFailures"]:
                raise AssertionError("a message failed")

        return consume


def _records(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Convert messages of SQS to the form in which Lambda passes them to a function."""
    return [
        {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "eventSource": "aws:sqs",
        }
        for message in messages
    ]


def _drain(sqs: Any, queue: str, consume: Callable[[list[dict[str, Any]]], None]) -> None:
    """Consume a queue as Lambda does, until it is empty."""
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


@contextmanager
def _on_moto() -> Iterator[tuple[Flows, list[Flow]]]:
    flows = Flows(boto3.Session("none", "none", region_name=REGION))
    with LocalFabric(parse_definition(_DEFINITION), handlers={"all": flows.handle}) as fabric:
        yield flows, [flows.of_the_local_fabric(fabric), *flows.others()]


@contextmanager
def _on_the_emulator() -> Iterator[tuple[Flows, list[Flow]]]:
    with TemporaryDirectory(prefix="eventfabric-bench-") as folder:
        emulator = Emulator(Path(folder))
        emulator.start()
        environment_before = dict(os.environ)
        try:
            target = emulator.target
            os.environ.update(target.environment)
            credentials = target.session().get_credentials()
            assert credentials is not None
            session = boto3.Session(credentials.access_key, credentials.secret_key, region_name=REGION)
            flows = Flows(session, target.environment["AWS_ENDPOINT_URL"])
            yield flows, [flows.of_the_fabric(), *flows.others()]
        finally:
            os.environ.clear()
            os.environ.update(environment_before)
            emulator.stop()


def bench_on_moto(*, quick: bool) -> Section:
    """Time everything, including moto. `quick` sends fewer events."""
    return _bench("moto, whose CPU is included", _on_moto, quick=quick, cpu_bound=5)


def bench_on_the_emulator(*, quick: bool) -> Section:
    """Time this process, and count its calls to the emulator. `quick` sends fewer events."""
    return _bench("the emulator, whose CPU is not included", _on_the_emulator, quick=quick, cpu_bound=10)


def _bench(
    where: str,
    place: Callable[[], AbstractContextManager[tuple[Flows, list[Flow]]]],
    *,
    quick: bool,
    cpu_bound: float,
) -> Section:
    events, rounds = (200, 1) if quick else (1_000, 3)
    with place() as (flows, ways):

        def run(way: Flow) -> int:
            flows.handled = 0
            way.meter.calls.clear()
            way.run(events)
            if flows.handled != events:
                raise AssertionError(f"{way.name}: {flows.handled} of {events} events were handled")
            return events

        figures = compare([Contender(way.name, partial(run, way)) for way in ways], rounds=rounds)
        calls = [sum(way.meter.calls.values()) / events for way in ways]
    ours, *others = figures
    cpu = min(figure.cpu_us_per_event for figure in others) / ours.cpu_us_per_event
    fewer = min(calls[1:]) / calls[0]
    return Section(
        f"end to end on {where}: {events:,} events, microseconds of CPU an event",
        figures,
        [
            Target("calls an event, the least of the others / ours", fewer, 10, "times", at_least=True),
            Target("CPU an event, the least of the others / ours", cpu, cpu_bound, "times", at_least=True),
        ],
        [f"{way.name}: {count:.2f} calls an event" for way, count in zip(ways, calls, strict=True)],
    )
