"""Delivery: the deliver function as Lambda calls it, with an empty handler and a lane of records of 100 events."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from typing import Any

import msgspec
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)

from eventfabric import Delivery, Event, limits
from eventfabric.aws.clients import Clients
from eventfabric.aws.region import aws_ports
from eventfabric.definition.file import parse_definition
from eventfabric.model import (
    EMPTY_TAIL,
    GENERATION_FIRST,
    Batch,
    BatchId,
    Cursor,
    Doorbell,
    Lane,
    LaneIndex,
    LaneKey,
    Owner,
    Region,
    SequenceNumber,
    StreamName,
    SubscriptionName,
    record_at,
)
from eventfabric.runtime.deliver import handle
from eventfabric.runtime.metrics import EmfTelemetry
from eventfabric.runtime.wiring import Runtime, using
from eventfabric.topology import Topology
from eventfabric.wire import cursor_item, owner_item
from eventfabric.wire.doorbell import to_body
from eventfabric.wire.keys import Item
from eventfabric.wire.payload_codec import pack, stored
from eventfabric.wire.record_item import to_item
from scripts.benchmarks.measure import Contender, Section, Target, compare
from scripts.benchmarks.null_endpoint import REGION, NullEndpoint, session
from scripts.benchmarks.publish import payloads

RECORD_EVENTS = 100
PAGE_RECORDS = 100
_DEFINITION = f"""
[fabric]
name = "bench"
regions = ["{REGION}"]
[streams.orders]
[subscriptions.all]
stream = "orders"
handler = "nobody:nothing"
"""
_NOTHING = b'{"Items":[],"Count":0}'
_STANDING = b'"orders/all"'
LANE = Lane(Region(REGION), GENERATION_FIRST, LaneIndex(7))


class LambdaContext:
    """The part of Lambda's context that the function reads."""

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def handle_one(event: Event, delivery: Delivery) -> None:
    """A handler that does nothing."""


def handle_many(events: list[Event], delivery: Delivery) -> None:
    """A handler of several events that does nothing."""


class LaneRun:
    """A lane with records of RECORD_EVENTS events, and a function that was rung for it."""

    def __init__(
        self,
        records: int,
        handler: Callable[..., None],
        *,
        record_events: int = RECORD_EVENTS,
        delivered: bool = False,
    ) -> None:
        self.endpoint = NullEndpoint()
        self.events = records * record_events
        clients = Clients(REGION, session=session())
        self._page = page_of(records, record_events)
        self._ledger = _NOTHING
        owner = Owner(Region(REGION), Region(REGION), 0, Region(REGION), version=1)
        self._standing = _answer_with(
            [owner_item.to_item(StreamName("orders"), SubscriptionName("all"), owner)]
        )
        self.endpoint.attach(clients.dynamodb, self._answer)
        topology = Topology(parse_definition(_DEFINITION))
        logger = Logger(service="bench")
        self._runtime = Runtime(
            topology=topology,
            region=Region(REGION),
            subscription="all",
            ports=aws_ports(topology, clients),
            telemetry=EmfTelemetry(fabric="bench", subscription="all", logger=logger),
            logger=logger,
            handlers={"all": handler},
        )
        doorbell = Doorbell(StreamName("orders"), LANE, SequenceNumber(self.events))
        self._event = {"Records": [_message(doorbell)]}
        if delivered:
            key = LaneKey(StreamName("orders"), SubscriptionName("all"), LANE)
            cursor = Cursor(doorbell.tail, doorbell.tail, EMPTY_TAIL.chain, 1, 0)
            item = cursor_item.to_item(key, Region(REGION), cursor, token=bytes(16), now_ms=0)
            self._ledger = _answer_with([item])

    def run(self, times: int) -> int:
        """Invoke the function, each time as if nothing had been delivered. Returns the number of events handled."""
        with using(self._runtime), redirect_stdout(StringIO()):  # metrics go to standard output
            for _ in range(times):
                if handle(self._event, LambdaContext())["batchItemFailures"]:  # type: ignore[arg-type]  # what is read of it
                    raise AssertionError("the lane run failed")
        return times * self.events

    def _answer(self, request: bytes) -> bytes:
        if b'"bench-ledger"' in request:
            if b"KeyConditionExpression" not in request:
                return b"{}"
            return self._standing if _STANDING in request else self._ledger
        return self._page


def bench(*, quick: bool) -> Section:
    """Time delivery, next to Powertools. `quick` takes fewer rounds."""
    rounds, times = (2, 2) if quick else (5, 10)
    lane_runs = {
        f"a page of {PAGE_RECORDS} records, one event at a time": LaneRun(PAGE_RECORDS, handle_one),
        f"a page of {PAGE_RECORDS} records, in batches": LaneRun(PAGE_RECORDS, handle_many),
        "a single record": LaneRun(1, handle_one),
    }
    contenders = [
        Contender(
            f"eventfabric: {name}", partial(run.run, times * PAGE_RECORDS * RECORD_EVENTS // run.events)
        )
        for name, run in lane_runs.items()
    ]
    guarded = Guarded()
    contenders.append(
        Contender(
            "Powertools: SqsFifoPartialProcessor + Idempotency", partial(guarded.run, 2 if quick else 20)
        )
    )
    figures = compare(contenders, rounds=rounds)
    calls = {name: _calls(run) for name, run in lane_runs.items()}
    most = max(sum(counted.values()) for counted in calls.values())
    writes = max(counted["PutItem"] for counted in calls.values())
    return Section(
        f"deliver, records of {RECORD_EVENTS} events, microseconds of CPU an event",
        figures,
        [
            Target(
                "delivery, one event at a time",
                figures[0].events_per_second,
                50_000,
                "events/s",
                at_least=True,
            ),
            Target(
                "Powertools FIFO + Idempotency / delivery, one event at a time",
                figures[-1].cpu_us_per_event / figures[0].cpu_us_per_event,
                50,
                "times",
                at_least=True,
            ),
            Target("AWS round trips of a lane run", most, 3, "calls"),
            Target("ledger writes of a lane run", writes, 1, "calls"),
            Target(
                "ledger writes, records of 100 / Powertools Idempotency", writes_ratio(100), 0.02, "times"
            ),
            Target("ledger writes, records of 10 / Powertools Idempotency", writes_ratio(10), 0.1, "times"),
        ],
        [f"{name}: {dict(counted)}" for name, counted in calls.items()],
    )


class Guarded:
    """The alternative: a function on a FIFO queue with Powertools. Ten messages at once, each an event handled once."""

    def __init__(self) -> None:
        self.endpoint = NullEndpoint()
        config = IdempotencyConfig(event_key_jmespath="order")
        table = DynamoDBPersistenceLayer(
            table_name="idempotency", boto3_client=self.endpoint.client("dynamodb", b"{}")
        )
        guard: Any = idempotent_function(
            data_keyword_argument="order", persistence_store=table, config=config
        )
        handle: Any = guard(self._handle)
        self._record_handler = lambda record: handle(order=msgspec.json.decode(record.body))
        config.register_lambda_context(LambdaContext())  # type: ignore[arg-type]  # what is read of it
        self._processor = SqsFifoPartialProcessor()
        self._event = {
            "Records": [
                {
                    **_message(Doorbell(StreamName("orders"), LANE, SequenceNumber(n + 1))),
                    "messageId": str(n),
                    "body": msgspec.json.encode(data).decode(),
                }
                for n, data in enumerate(payloads(limits.DOORBELL_BATCH_MAX))
            ]
        }

    def run(self, times: int) -> int:
        """Invoke the function `times` times. Returns the number of events handled."""
        for _ in range(times):
            answer = process_partial_response(
                event=self._event,
                record_handler=self._record_handler,
                processor=self._processor,
                context=LambdaContext(),  # type: ignore[arg-type]  # what is read of it
            )
            if answer["batchItemFailures"]:
                raise AssertionError("a message failed")
        return times * len(self._event["Records"])

    @staticmethod
    def _handle(*, order: dict[str, Any]) -> None:
        """A handler that does nothing."""


def writes_ratio(record_events: int) -> float:
    """Divide the writes per event of a lane run of one record by those of Powertools Idempotency.

    Writes of the handler itself do not count.
    """
    lane_run = LaneRun(1, handle_one, record_events=record_events)
    ours = _calls(lane_run)["PutItem"] / lane_run.events
    guarded = Guarded()
    events = guarded.run(1)
    return ours / ((guarded.endpoint.calls["PutItem"] + guarded.endpoint.calls["UpdateItem"]) / events)


def _calls(lane_run: LaneRun) -> Counter[str]:
    """Count the calls of one lane run, in a warm function that has read its circuit in the last few seconds."""
    counts = []
    for _ in range(4):
        lane_run.endpoint.calls.clear()
        lane_run.run(1)
        counts.append(Counter(lane_run.endpoint.calls))
    # On a busy machine, a few seconds may pass between the runs, after which the circuit is read again.
    return min(counts, key=Counter.total)


def _message(doorbell: Doorbell) -> dict[str, Any]:
    return {
        "messageId": "1",
        "receiptHandle": "1",
        "body": to_body(doorbell),
        "attributes": {"ApproximateReceiveCount": "1", "MessageGroupId": doorbell.group},
        "eventSource": "aws:sqs",
    }


def page_of(records: int, record_events: int) -> bytes:
    """Make DynamoDB's answer to a Query of the lane: a chain of records, as the SDK appends them."""
    tail = EMPTY_TAIL
    items: list[Item] = []
    data = payloads(records * record_events)
    for number in range(records):
        events = [
            Event(
                id=f"event-{number}-{index}",
                key=f"customer-{index}",
                type="OrderPlaced",
                source="/bench/orders",
                time="2026-01-05T08:00:00Z",
                data=data[number * record_events + index],
            )
            for index in range(record_events)
        ]
        payload = pack([stored(event) for event in events])
        batch = Batch(BatchId(number.to_bytes(16, "big")), record_events, frozenset(["OrderPlaced"]), payload)
        record = record_at(tail, LANE, batch, now_ms=1_767_600_000_000 + number, retention_seconds=None)
        items.append(to_item(record))
        tail = record.tail
    return _answer_with(items)


def _answer_with(items: Sequence[Item]) -> bytes:
    """Make DynamoDB's answer to a Query."""
    return msgspec.json.encode({"Items": items, "Count": len(items)})  # bytes become Base64, as in DynamoDB
