"""Cost: what AWS will charge for a stream under a load, part by part, from the definition alone. Pure.

A record passes these, and each is a line of the prediction:

    publish   put the record, in every Region that keeps the stream
    express   the producer's doorbell to the queue of each subscription         (unless `express = false`)
    relay     a function's invocation for the records that one poll of the table's stream found; its doorbells
    queue     doorbells received and deleted, up to ten at once; idle queues are polled as well
    deliver   an invocation; the lane's state, its log and, every few seconds, the standing read; one cursor written
    handler   the time of the function, the subscription's own work included

Where records come faster than one after another, one poll, request or run serves several: see `Load`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, exp

from eventfabric import limits
from eventfabric.deployment.prices import LAMBDA_SECONDS_PER_MONTH, Prices
from eventfabric.topology import StreamTopology, SubscriptionTopology, Topology

STREAM_POLLS_PER_SECOND = 4.0
"""Of a shard of a table's stream, by Lambda: docs.aws.amazon.com/lambda/latest/dg/with-ddb.html."""
IDLE_POLLS_PER_SECOND = 5 / 20
"""Of a queue that Lambda watches: five pollers, 20 s each (docs.aws.amazon.com/lambda/latest/dg/with-sqs.html)."""
RUN_OVERHEAD_SECONDS = 0.020
"""Of a lane run: three round trips to DynamoDB, at the few milliseconds that each takes."""
SEND_SECONDS = 0.010
"""Of a request to a queue, during which doorbells for the next one gather."""
_RECORD_OVERHEAD_BYTES = 120
"""Keys, chain, batch id, clock and types of a record, beside its payload."""
_QUERY_UNIT_BYTES, _WRITE_UNIT_BYTES = 4096, 1024


@dataclass(frozen=True, slots=True)
class Load:
    """What a stream has to carry in one Region.

    `event_bytes`: of an event as it is stored, compressed among its like. The rest says how much goes together;
    `steady` derives it from a rate.
    """

    events_per_second: float
    event_bytes: float
    events_per_record: float = 1.0
    records_per_poll: float = 1.0
    """Records that one poll of the table's stream finds; one invocation of the relay."""
    express_per_request: float = 1.0
    """Doorbells that a producer's request carries."""
    doorbells_per_batch: float = 1.0
    """Lanes that one invocation of a deliver function runs."""
    records_per_run: float = 1.0
    """Records of a lane that one run delivers."""
    runs_per_standing: float = 1.0
    """Runs of one process for one read of the subscription's standing."""
    polls_per_standing: float = 1.0
    """Invocations of another Region's relay for one such read."""
    handler_seconds: float = 0.005
    """For an event, in the subscription's own code."""

    @classmethod
    def steady(
        cls, events_per_second: float, event_bytes: float, *, lanes: int, events_per_record: float = 1.0,
        handler_seconds: float = 0.005,
    ) -> "Load":  # fmt: skip
        """Records that come evenly, in lanes that are equally busy."""
        records = events_per_second / events_per_record
        per_lane = records / lanes
        run_seconds = RUN_OVERHEAD_SECONDS + handler_seconds * events_per_record
        runs = records / _gathered(per_lane, run_seconds)
        batch = min(float(limits.DOORBELL_BATCH_MAX), _gathered(runs, SEND_SECONDS))
        return cls(
            events_per_second, event_bytes, events_per_record,
            records_per_poll=min(float(limits.RELAY_BATCH_MAX), _found(records)),
            express_per_request=min(float(limits.QUEUE_SEND_BATCH_MAX), _gathered(records, SEND_SECONDS)),
            doorbells_per_batch=batch,
            records_per_run=_gathered(per_lane, run_seconds),
            runs_per_standing=max(1.0, runs * limits.CIRCUIT_CACHE_SECONDS / _processes(runs, batch, run_seconds)),
            polls_per_standing=max(1.0, records / _found(records) * limits.CIRCUIT_CACHE_SECONDS),
            handler_seconds=handler_seconds,
        )  # fmt: skip


def _found(per_second: float) -> float:
    """What a poll finds that finds something, of records that come by chance."""
    expected = per_second / STREAM_POLLS_PER_SECOND
    return expected / (1 - exp(-expected)) if expected > 1e-6 else 1.0


def _gathered(per_second: float, seconds: float) -> float:
    """What goes together where the next waits for so long until the last is done."""
    return 1 + per_second * seconds


def _processes(runs_per_second: float, batch: float, run_seconds: float) -> float:
    """Warm processes that so many runs keep busy, a batch of lanes one after another in each."""
    return max(1.0, runs_per_second * run_seconds / batch)


@dataclass(frozen=True, slots=True)
class Line:
    """One part of the bill: `count` of a price's unit for a million events."""

    part: str
    what: str
    price: Prices
    count: float

    @property
    def dollars(self) -> float:
        """For a million events."""
        return self.price.dollars(self.count)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a stream costs. `idle_dollars_per_month`: whether or not anything is published."""

    stream: str
    load: Load
    lines: tuple[Line, ...]
    idle_dollars_per_month: float

    @property
    def dollars_per_million(self) -> float:
        """For a million events, without what is paid for idle queues."""
        return sum(line.dollars for line in self.lines)

    @property
    def dollars_per_month(self) -> float:
        """At the load's rate, all day."""
        events = self.load.events_per_second * LAMBDA_SECONDS_PER_MONTH
        return self.dollars_per_million * events / 1_000_000 + self.idle_dollars_per_month

    def count(self, price: Prices) -> float:
        """How much of a unit a million events take."""
        return sum(line.count for line in self.lines if line.price is price)


def predict(
    topology: Topology, stream: StreamTopology, load: Load, *, origin: str | None = None
) -> Prediction:
    """What a stream costs for what is published in one Region, all Regions' parts of it included.

    Function time is that of the memory that the functions are given; storage, transfer between Regions, logs, metrics
    and keys are not in it. WrongRegionError: the stream is not in `origin`.
    """
    region = stream.check_region(origin or stream.definition.regions[0])
    records = 1_000_000 / load.events_per_record
    item_bytes = _RECORD_OVERHEAD_BYTES + load.event_bytes * load.events_per_record
    replicas = len(stream.definition.regions)
    lines = [
        Line(
            "publish",
            "records put",
            Prices.WRITE_UNIT,
            records * replicas * ceil(item_bytes / _WRITE_UNIT_BYTES),
        )
    ]
    polled = records / load.records_per_poll
    memory = topology.relay_function(region).memory_megabytes / 1024
    for each in stream.definition.regions:
        lines += [
            Line("relay", f"invocations in {each}", Prices.INVOCATION, polled),
            Line("relay", f"function time in {each}", Prices.FUNCTION_SECOND, polled * SEND_SECONDS * memory),
        ]
        asked = sum(each in one.regions and not one.delivers(region, each) for one in stream.subscriptions)
        if each != region and asked:
            standings = asked * polled / load.polls_per_standing
            lines.append(Line("relay", f"standings read in {each}", Prices.READ_UNIT, standings))
    for subscription in stream.subscriptions:
        for each in _delivering(subscription, region):
            lines += _deliveries(
                topology, subscription, each, load, records, item_bytes, express=each == region
            )
    queues = 2 * sum(len(one.regions) for one in stream.subscriptions)
    idle = Prices.QUEUE_REQUEST.dollars(queues * IDLE_POLLS_PER_SECOND * LAMBDA_SECONDS_PER_MONTH)
    return Prediction(stream.name, load, tuple(line for line in lines if line.count), idle)


def _delivering(subscription: SubscriptionTopology, origin: str) -> Iterable[str]:
    return [region for region in subscription.regions if subscription.delivers(origin, region)]


def _deliveries(
    topology: Topology, subscription: SubscriptionTopology, region: str, load: Load, records: float, item_bytes: float,
    *, express: bool,
) -> list[Line]:  # fmt: skip
    name, stream = subscription.name, topology.stream(subscription.definition.stream)
    polled, runs = records / load.records_per_poll, records / load.records_per_run
    batches = runs / load.doorbells_per_batch
    rung = polled * ceil(load.records_per_poll / limits.QUEUE_SEND_BATCH_MAX)
    ledgers = len(topology.ledger_of(stream.name).regions)
    memory = topology.deliver_function(name, region).memory_megabytes / 1024
    seconds = runs * RUN_OVERHEAD_SECONDS + 1_000_000 * load.handler_seconds
    read = runs * max(1, ceil(load.records_per_run * item_bytes / _QUERY_UNIT_BYTES))
    lines = [
        Line("relay", f"doorbells to {name} in {region}", Prices.QUEUE_REQUEST, rung),
        Line("queue", f"doorbells of {name} received and deleted", Prices.QUEUE_REQUEST, 2 * batches),
        Line("deliver", f"invocations of {name}", Prices.INVOCATION, batches),
        Line("deliver", f"{name}: state read", Prices.READ_UNIT, runs),
        Line("deliver", f"{name}: log read", Prices.READ_UNIT, read),
        Line("deliver", f"{name}: standing read", Prices.READ_UNIT, runs / load.runs_per_standing),
        Line("deliver", f"{name}: cursors written", Prices.WRITE_UNIT, runs * ledgers),
        Line("handler", f"function time of {name}", Prices.FUNCTION_SECOND, seconds * memory),
    ]
    if express and stream.definition.express:
        lines.append(
            Line("express", f"doorbells to {name}", Prices.QUEUE_REQUEST, records / load.express_per_request)
        )
    return lines
