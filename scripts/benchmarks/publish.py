"""Publishing: the SDK next to boto3's EventBridge, SQS FIFO and Kinesis, and a single publish next to a put_item."""

import json
from collections.abc import Callable
from functools import partial
from itertools import count, cycle, islice
from math import ceil
from pathlib import Path
from random import Random
from string import ascii_lowercase
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from eventfabric import Fabric
from eventfabric.aws.clients import Clients
from eventfabric.aws.log import AwsLog
from eventfabric.aws.system import SystemClock, SystemEntropy
from eventfabric.contracts.checks import SchemaChecks
from eventfabric.contracts.folder import SchemaFolder
from eventfabric.definition.file import parse_definition
from eventfabric.model import (
    EMPTY_TAIL,
    GENERATION_FIRST,
    Batch,
    BatchId,
    Lane,
    LaneIndex,
    Region,
    lane_index,
    record_at,
)
from eventfabric.topology import Topology
from eventfabric.wire.item_size import item_bytes
from eventfabric.wire.payload_codec import pack
from eventfabric.wire.record_item import to_item
from scripts.benchmarks.measure import Contender, Figure, Section, Target, compare
from scripts.benchmarks.null_endpoint import REGION, NullEndpoint, session

LANES = 64
BATCH_EVENTS = 500
KEYS_PER_LANE = 32
DATA_BYTES = 256
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["order", "customer", "total", "currency"],
    "properties": {
        "order": {"type": "string", "maxLength": 64},
        "customer": {"type": "string", "pattern": "^cus-[0-9]+$"},
        "total": {"type": "number", "minimum": 0},
        "currency": {"enum": ["EUR", "USD", "GBP"]},
        "sku": {"type": "string"},
        "note": {"type": "string"},
    },
}
_NOTHING_THERE = b'{"Items":[],"Count":0}'


def payloads(number: int) -> list[dict[str, Any]]:
    """Make orders of about DATA_BYTES bytes of JSON, all different: random ids, amounts and words."""
    random = Random(7)
    words = ["".join(random.choices(ascii_lowercase, k=random.randint(2, 9))) for _ in range(2_000)]
    made: list[dict[str, Any]] = []
    for _ in range(number):
        order = {
            "order": f"{random.getrandbits(64):016x}",
            "customer": f"cus-{random.randrange(100_000):05d}",
            "total": random.randrange(100, 100_000) / 100,
            "currency": random.choice(("EUR", "USD", "GBP")),
            "sku": f"sku-{random.randrange(5_000)}",
            "note": "",
        }
        order["note"] = " ".join(random.choices(words, k=40))[: DATA_BYTES - len(json.dumps(order))]
        made.append(order)
    return made


def keys() -> list[str]:
    """List keys in an order that fills all lanes evenly, so that every record gets BATCH_EVENTS events."""
    by_lane: list[list[str]] = [[] for _ in range(LANES)]
    for number in count():
        key = f"customer-{number}"
        lane = by_lane[lane_index(key, LANES)]
        if len(lane) < KEYS_PER_LANE:
            lane.append(key)
        elif all(len(some) == KEYS_PER_LANE for some in by_lane):
            break
    return [lane[turn] for turn in range(KEYS_PER_LANE) for lane in by_lane]


def fabric_at(
    endpoint: NullEndpoint, clients: Clients, *, lanes: int, schemas: SchemaChecks | None = None
) -> Fabric:
    """Make a fabric with the stream `orders`, whose log is always empty."""
    endpoint.attach(clients.dynamodb, _NOTHING_THERE)
    definition = f'[fabric]\nname = "bench"\nregions = ["{REGION}"]\n[streams.orders]\nlanes = {lanes}\n'
    return Fabric(
        Topology(parse_definition(definition)),
        REGION,
        log_of=lambda stream, region: AwsLog(clients.dynamodb, stream.table.name),
        clock=SystemClock(),
        entropy=SystemEntropy(),
        schemas=schemas,
    )


def schema_checks(folder: Path) -> SchemaChecks:
    """Write the schema of `payloads` into a folder, and return how events are held to it."""
    (folder / "orders").mkdir(parents=True)
    (folder / "orders" / "OrderPlaced.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    return SchemaChecks(SchemaFolder(folder), is_closed=True)


class Load:
    """A load that gives every contender the same events."""

    def __init__(self, records_per_lane: int) -> None:
        self.endpoint = NullEndpoint()
        clients = Clients(REGION, session=session())
        self.dynamodb = clients.dynamodb
        self.fabric = fabric_at(self.endpoint, clients, lanes=LANES)
        with TemporaryDirectory() as folder:
            checks = schema_checks(Path(folder))
            checks.of("orders", "OrderPlaced")  # read while the file is there
        self.fabric_with_schemas = fabric_at(self.endpoint, clients, lanes=LANES, schemas=checks)
        self.records = LANES * records_per_lane
        self.keys = keys()
        self.data = payloads(
            self.records * BATCH_EVENTS
        )  # all events differ, because repeated ones would compress to nothing
        self.items = list(zip(cycle(self.keys), self.data, strict=False))

    def publish_packed(self, *, has_schemas: bool = False) -> int:
        events, data, names = self.records * BATCH_EVENTS, self.data, self.keys
        with self._fabric(has_schemas).publisher(
            "orders", linger_ms=60_000, events_max=BATCH_EVENTS
        ) as publisher:
            for index in range(events):
                publisher.publish(
                    key=names[index % len(names)], type="OrderPlaced", data=data[index % len(data)]
                )
        return events

    def _fabric(self, has_schemas: bool) -> Fabric:
        return self.fabric_with_schemas if has_schemas else self.fabric

    def publish_all(self, *, has_schemas: bool = False) -> int:
        events = self.records * BATCH_EVENTS
        with self._fabric(has_schemas).publisher(
            "orders", linger_ms=60_000, events_max=BATCH_EVENTS
        ) as publisher:
            publisher.publish_all("OrderPlaced", iter(self.items))
        return events

    def publish_in_batches(self, batch: int, events: int) -> int:
        """Publish in records of `batch` events, in one lane."""
        key = self.keys[0]
        with self.fabric.publisher("orders", linger_ms=60_000, events_max=batch) as publisher:
            for index in range(events):
                publisher.publish(key=key, type="OrderPlaced", data=self.data[index % len(self.data)])
        return events

    def publish_of_keys(self, keys: int, events: int) -> int:
        """Publish in records of BATCH_EVENTS events, with this number of keys, in all lanes."""
        with self.fabric.publisher("orders", linger_ms=60_000, events_max=BATCH_EVENTS) as publisher:
            for index in range(events):
                key = f"customer-{index * 7_919 % keys}"
                publisher.publish(key=key, type="OrderPlaced", data=self.data[index % len(self.data)])
        return events

    def write_units(self) -> tuple[int, float]:
        """Compute the write units of a record of BATCH_EVENTS events, and the size of its compressed events in KiB."""
        outgoing = self.fabric._stream("orders")
        rows = [
            outgoing.encode({"key": self.keys[0], "type": "OrderPlaced", "data": data}).row()
            for data in self.data[:BATCH_EVENTS]
        ]
        batch = Batch(BatchId(bytes(16)), BATCH_EVENTS, frozenset(["OrderPlaced"]), pack(rows))
        lane = Lane(Region(REGION), GENERATION_FIRST, LaneIndex(0))
        record = record_at(EMPTY_TAIL, lane, batch, now_ms=0, retention_seconds=None)
        return ceil(item_bytes(to_item(record)) / 1024), len(batch.payload) / 1024

    def publish_singly(self, events: int) -> int:
        for index in range(events):
            key = self.keys[index % len(self.keys)]
            self.fabric.publish("orders", key=key, type="OrderPlaced", data=self.data[index % len(self.data)])
        return events

    def put_bare(self, events: int) -> int:
        for index in range(events):
            item = {
                "pk": {"S": self.keys[index % len(self.keys)]},
                "sk": {"S": str(index)},
                "type": {"S": "OrderPlaced"},
                "data": {"S": json.dumps(self.data[index % len(self.data)])},
            }
            self.dynamodb.put_item(TableName="orders", Item=item)
        return events

    def in_batches(self, size: int, events: int, send: Callable[[list[tuple[str, str]]], object]) -> int:
        """Call `send` with (key, JSON text) pairs, `size` at a time."""
        items = cycle(self.items)
        for _ in range(0, events, size):
            send([(key, json.dumps(data)) for key, data in islice(items, size)])
        return events


def bench(*, quick: bool) -> Section:
    """Time publishing. `quick` takes fewer rounds."""
    load = Load(records_per_lane=1 if quick else 4)
    rounds, few = (2, 500) if quick else (5, 2_000)
    packed, one_by_one, eventbridge, sqs, kinesis, sns = compare(_packed(load, few), rounds=rounds)
    bare, *with_schemas = compare(_with_schemas(load), rounds=2 * rounds)
    single, put = compare(
        [
            Contender("eventfabric: publish", partial(load.publish_singly, few // 8)),
            Contender("boto3: put_item of the same event", partial(load.put_bare, few // 8)),
        ],
        rounds=4 * rounds,  # many short rounds, so that the best of each is undisturbed by other load
    )
    figures = [packed, one_by_one, *with_schemas, kinesis, eventbridge, sqs, sns, single, put]
    units, kibibytes = load.write_units()
    return Section(
        "publish, 256-byte events, microseconds of CPU an event",
        figures,
        [
            Target("publish, records of 500", packed.events_per_second, 100_000, "events/s", at_least=True),
            Target("EventBridge / publish", _ratio(eventbridge, packed), 10, "times", at_least=True),
            Target("SQS FIFO / publish", _ratio(sqs, packed), 10, "times", at_least=True),
            Target("Kinesis / publish", _ratio(kinesis, packed), 2, "times", at_least=True),
            Target("with a schema / without", _ratio(with_schemas[0], bare), 1.6, "times"),
            Target("write units / compressed KiB, records of 500", units / kibibytes, 1.15, "times"),
            Target("single publish / bare put_item", _ratio(single, put), 1.3, "times"),
        ],
        [
            f"{kibibytes * 1024 / BATCH_EVENTS:.0f} bytes an event after zstd, "
            f"for {DATA_BYTES} bytes of data and its attributes",
            "each alternative includes json.dumps, as publish includes encoding",
        ],
    )


def _packed(load: Load, few: int) -> list[Contender]:
    endpoint = load.endpoint
    events = endpoint.client("events", b'{"FailedEntryCount":0,"Entries":[]}')
    sqs = endpoint.client("sqs", b'{"Successful":[],"Failed":[]}')
    kinesis = endpoint.client("kinesis", b'{"FailedRecordCount":0,"Records":[]}')
    sns = endpoint.client("sns", b"<PublishBatchResponse><PublishBatchResult/></PublishBatchResponse>")

    def put_events(batch: list[tuple[str, str]]) -> object:
        return events.put_events(
            Entries=[{"Source": "shop", "DetailType": "OrderPlaced", "Detail": text} for _, text in batch]
        )

    def send_messages(batch: list[tuple[str, str]]) -> object:
        entries = [
            {"Id": str(n), "MessageBody": text, "MessageGroupId": key, "MessageDeduplicationId": str(uuid4())}
            for n, (key, text) in enumerate(batch)
        ]
        return sqs.send_message_batch(
            QueueUrl=f"https://sqs.{REGION}.amazonaws.com/1/q.fifo", Entries=entries
        )

    def put_records(batch: list[tuple[str, str]]) -> object:
        records = [{"Data": text.encode(), "PartitionKey": key} for key, text in batch]
        return kinesis.put_records(StreamName="orders", Records=records)

    def publish_batch(batch: list[tuple[str, str]]) -> object:
        entries = [
            {"Id": str(n), "Message": text, "MessageGroupId": key, "MessageDeduplicationId": str(uuid4())}
            for n, (key, text) in enumerate(batch)
        ]
        return sns.publish_batch(
            TopicArn=f"arn:aws:sns:{REGION}:1:t.fifo", PublishBatchRequestEntries=entries
        )

    return [
        Contender("eventfabric: publish_all, records of 500", load.publish_all),
        Contender("eventfabric: publisher.publish, records of 500", load.publish_packed),
        Contender("boto3: EventBridge put_events(10)", partial(load.in_batches, 10, few, put_events)),
        Contender("boto3: SQS FIFO send_message_batch(10)", partial(load.in_batches, 10, few, send_messages)),
        Contender("boto3: Kinesis put_records(500)", partial(load.in_batches, 500, 4 * few, put_records)),
        Contender("boto3: SNS FIFO publish_batch(10)", partial(load.in_batches, 10, few, publish_batch)),
    ]


def _with_schemas(load: Load) -> list[Contender]:
    return [
        Contender("eventfabric: publish_all, records of 500", load.publish_all),
        Contender("eventfabric: publish_all with a schema", partial(load.publish_all, has_schemas=True)),
        Contender(
            "eventfabric: publisher.publish with a schema", partial(load.publish_packed, has_schemas=True)
        ),
    ]


def _ratio(figure: Figure, base: Figure) -> float:
    return figure.cpu_us_per_event / base.cpu_us_per_event
