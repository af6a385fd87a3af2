"""Cost: a prediction of what AWS charges for a stream under a load, part by part, from the definition alone.

A record passes these parts, and each is a line of the prediction:

    publish   put the record, in every Region that keeps the stream
    express   the producer's doorbell to the queue of each subscription         (unless `express = false`)
    relay     an invocation for the records that one poll of the table's stream finds; its doorbells
    queue     doorbells received and deleted, up to ten at once
    deliver   an invocation; reads of the lane's state, its log and, every few seconds, the standing; a cursor write
    handler   the time of the function, including the subscription's own work

Beside that, each process that publishes, relays or delivers reads once a minute what is declared of the stream, and a
subscription that holds producers back writes how far they may go on.

If records come faster than one can be processed, one poll, request or run serves several: see `Load`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil, exp

from eventfabric import limits
from eventfabric.definition.sections import Backpressure
from eventfabric.deployment.prices import LAMBDA_SECONDS_PER_MONTH, Prices
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology
from eventfabric.topology import Topology

STREAM_POLLS_PER_SECOND = 4.0
"""Lambda's polls of each shard of a table's stream: docs.aws.amazon.com/lambda/latest/dg/with-ddb.html."""
RUN_OVERHEAD_SECONDS = 0.020
"""Time of a lane run without its handler: three round trips to DynamoDB of a few milliseconds each."""
SEND_SECONDS = 0.010
"""Time of a request to a queue. Doorbells that come meanwhile share the next request."""
DECLARED_SECONDS = 60.0
"""Time after which a process reads anew what is declared."""
_RECORD_OVERHEAD_BYTES = 120
"""Size of a record's keys, chain, batch id, clock and types, beside its payload."""
_QUERY_UNIT_BYTES, _WRITE_UNIT_BYTES = 4096, 1024


@dataclass(frozen=True, slots=True)
class Load:
    """The load of a stream in one Region.

    `event_bytes` is the size of an event as it is stored, compressed together with others. The other values say how
    much is processed together; `steady` derives them from a rate.
    """

    events_per_second: float
    event_bytes: float
    events_per_record: float = 1.0
    records_per_poll: float = 1.0
    """Records that one poll of the table's stream finds, and one invocation of the relay handles."""
    express_per_request: float = 1.0
    """Doorbells in one request of a producer."""
    doorbells_per_batch: float = 1.0
    """Lanes that one invocation of a deliver function runs."""
    records_per_run: float = 1.0
    """Records of a lane that one run delivers."""
    runs_per_standing: float = 1.0
    """Runs of one process for each read of the subscription's standing."""
    polls_per_standing: float = 1.0
    """Invocations of another Region's relay for each such read."""
    handler_seconds: float = 0.005
    """Time that the subscription's own code takes for an event."""

    @classmethod
    def steady(
        cls,
        events_per_second: float,
        event_bytes: float,
        *,
        lanes: int,
        events_per_record: float = 1.0,
        handler_seconds: float = 0.005,
    ) -> "Load":
        """Derive a load from a rate, for records that come evenly, in lanes that are equally busy."""
        records = events_per_second / events_per_record
        per_lane = records / lanes
        run_seconds = RUN_OVERHEAD_SECONDS + handler_seconds * events_per_record
        runs = records / _gathered(per_lane, run_seconds)
        batch = min(float(limits.DOORBELL_BATCH_MAX), _gathered(runs, SEND_SECONDS))
        return cls(
            events_per_second,
            event_bytes,
            events_per_record,
            records_per_poll=min(float(limits.RELAY_BATCH_MAX), _records_of_a_poll(records)),
            express_per_request=min(float(limits.QUEUE_SEND_BATCH_MAX), _gathered(records, SEND_SECONDS)),
            doorbells_per_batch=batch,
            records_per_run=_gathered(per_lane, run_seconds),
            runs_per_standing=max(
                1.0, runs * limits.CIRCUIT_CACHE_SECONDS / _processes(runs, batch, run_seconds)
            ),
            polls_per_standing=max(1.0, records / _records_of_a_poll(records) * limits.CIRCUIT_CACHE_SECONDS),
            handler_seconds=handler_seconds,
        )


def _records_of_a_poll(per_second: float) -> float:
    """Expected number of records that a poll finds if it finds any, for records that come at random."""
    expected = per_second / STREAM_POLLS_PER_SECOND
    return expected / (1 - exp(-expected)) if expected > 1e-6 else 1.0


def _gathered(per_second: float, seconds: float) -> float:
    """Number of items that are processed together, if those that come while one is processed wait for it."""
    return 1 + per_second * seconds


def _processes(runs_per_second: float, batch: float, run_seconds: float) -> float:
    """Number of warm processes that so many runs keep busy, each with a batch of lanes, one after another."""
    return max(1.0, runs_per_second * run_seconds / batch)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the bill: `count` units of a price, for a million events or for a month."""

    part: str
    what: str
    price: Prices
    count: float

    @property
    def dollars(self) -> float:
        """Cost of the line."""
        return self.price.dollars(self.count)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The predicted cost of a stream, beside what is paid even if nothing is published (idle.py)."""

    stream: str
    load: Load
    lines: tuple[Line, ...]

    @property
    def dollars_per_million(self) -> float:
        """Cost of a million events."""
        return sum(line.dollars for line in self.lines)

    @property
    def dollars_per_month(self) -> float:
        """Cost of a month at the load's rate, day and night."""
        events = self.load.events_per_second * LAMBDA_SECONDS_PER_MONTH
        return self.dollars_per_million * events / 1_000_000

    def count(self, price: Prices) -> float:
        """Count the units of a price that a million events take."""
        return sum(line.count for line in self.lines if line.price is price)


def predict(
    topology: Topology, stream: StreamTopology, load: Load, *, origin: str | None = None
) -> Prediction:
    """Predict the cost of the events that are published in one Region, including what they cost in all Regions.

    Function time is priced by the functions' memory and architecture. Storage and its recovery, transfer between
    Regions, logs, metrics, traces, and pollers that are kept are not included. Raises WrongRegionError if the stream is
    not in `origin`.
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
        ),
        Line("publish", "declarations read by a producer", Prices.READ_UNIT, _declared(records, load)),
    ]
    for other in stream.definition.regions:
        lines += _relayed(topology, stream, other, records / load.records_per_poll, load, origin=region)
    for subscription in stream.subscriptions:
        for delivering_region in _delivering(subscription, region):
            lines += _deliveries(
                topology,
                subscription,
                delivering_region,
                load,
                records,
                item_bytes,
                express=delivering_region == region,
            )
    return Prediction(stream.name, load, tuple(line for line in lines if line.count))


def _relayed(
    topology: Topology, stream: StreamTopology, region: str, polled: float, load: Load, *, origin: str
) -> Iterator[Line]:
    """Yield what the relay of a Region costs for events of `origin`. `polled`: polls of the stream that return any."""
    function = topology.relay_function(region)
    time = Prices.function_second(function.settings.architecture)
    yield Line("relay", f"invocations in {region}", Prices.INVOCATION, polled)
    seconds = polled * SEND_SECONDS * function.memory_megabytes / 1024
    yield Line("relay", f"function time in {region}", time, seconds)
    yield Line("relay", f"declarations read in {region}", Prices.READ_UNIT, _declared(polled, load))
    asked = sum(
        region in subscription.regions and not subscription.delivers(origin, region)
        for subscription in stream.subscriptions
    )
    if region != origin and asked:
        standings = asked * polled / load.polls_per_standing
        yield Line("relay", f"standings read in {region}", Prices.READ_UNIT, standings)


def _declared(calls: float, load: Load, processes: float = 1.0) -> float:
    """Return the reads of what is declared while a million events come, of processes that make so many calls."""
    return min(calls, processes * 1_000_000 / load.events_per_second / DECLARED_SECONDS)


def _delivering(subscription: SubscriptionTopology, origin: str) -> Iterable[str]:
    return [region for region in subscription.regions if subscription.delivers(origin, region)]


def _deliveries(
    topology: Topology,
    subscription: SubscriptionTopology,
    region: str,
    load: Load,
    records: float,
    item_bytes: float,
    *,
    express: bool,
) -> list[Line]:
    name, stream = subscription.name, topology.stream(subscription.definition.stream)
    polled, runs = records / load.records_per_poll, records / load.records_per_run
    batches = runs / load.doorbells_per_batch
    run_seconds = RUN_OVERHEAD_SECONDS + load.handler_seconds * load.events_per_record * load.records_per_run
    runs_per_second = runs * load.events_per_second / 1_000_000
    processes = _processes(runs_per_second, load.doorbells_per_batch, run_seconds)
    rung = polled * ceil(load.records_per_poll / limits.QUEUE_SEND_BATCH_MAX)
    ledgers = len(topology.ledger_of(stream.name).regions)
    function = topology.deliver_function(name, region)
    time = Prices.function_second(function.settings.architecture)
    seconds = runs * RUN_OVERHEAD_SECONDS + 1_000_000 * load.handler_seconds
    read = runs * max(1, ceil(load.records_per_run * item_bytes / _QUERY_UNIT_BYTES))
    lines = [
        Line("relay", f"doorbells to {name} in {region}", Prices.QUEUE_REQUEST, rung),
        Line("queue", f"doorbells of {name} received and deleted", Prices.QUEUE_REQUEST, 2 * batches),
        Line("deliver", f"invocations of {name}", Prices.INVOCATION, batches),
        Line("deliver", f"{name}: state read", Prices.READ_UNIT, runs),
        Line("deliver", f"{name}: log read", Prices.READ_UNIT, read),
        Line("deliver", f"{name}: standing read", Prices.READ_UNIT, runs / load.runs_per_standing),
        Line("deliver", f"{name}: declarations read", Prices.READ_UNIT, _declared(batches, load, processes)),
        Line("deliver", f"{name}: cursors written", Prices.WRITE_UNIT, runs * ledgers),
        Line("handler", f"function time of {name}", time, seconds * function.memory_megabytes / 1024),
    ]
    if subscription.definition.backpressure is not None:
        raised = min(runs, 1_000_000 / _events_of_a_grant(subscription.definition.backpressure, stream, load))
        lines.append(Line("deliver", f"{name}: grants written", Prices.WRITE_UNIT, raised * ledgers))
    if express and stream.definition.express:
        lines.append(
            Line("express", f"doorbells to {name}", Prices.QUEUE_REQUEST, records / load.express_per_request)
        )
    return lines


def _events_of_a_grant(settings: Backpressure, stream: StreamTopology, load: Load) -> float:
    """Return how many events of a lane its producers are granted at once: a quarter of what they may be ahead."""
    of_lane = load.events_per_second / stream.definition.lanes
    return max(settings.events_min, settings.seconds * of_lane) / 4
