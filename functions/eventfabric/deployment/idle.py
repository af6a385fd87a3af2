"""The idle month: what AWS charges for a fabric in which nothing is published, part by part, from the definition alone.

Every lane holds events, all of them are delivered, and nothing fails. These parts cost something then:

    queues       Lambda polls the queue of each mapping, empty or not
    relay        Lambda polls each table's stream, for nothing
    metrics      what each pass of reconciliation reports, whatever there is to report
    alarms       by the number of their metrics; the dashboard; objectives
    keys         one in each Region, and requests for the data keys of queues and tables
    reconcile    passes: their schedule, invocations, time, reads and writes
    logs         what the passes write

Beside that, what is kept costs by its size: `by_gigabyte`, and what deliveries report by the hours: `busy_metrics`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from eventfabric import limits
from eventfabric.deployment.alarms import alarms_of, gradual_in, objectives_of
from eventfabric.deployment.cost import Line
from eventfabric.deployment.prices import LAMBDA_SECONDS_PER_MONTH, Prices
from eventfabric.resources import QUEUE_DATA_KEY_SECONDS
from eventfabric.stream_topology import StreamTopology
from eventfabric.telemetry import Metric
from eventfabric.topology import RECONCILE_MINUTES, Topology

QUEUE_POLLERS = 5
"""Pollers of a mapping whose queue is empty. Lambda's guide begins with five, and keeps silent about fewer; accounts
report 10 to 15 empty receives a minute, which is 3.3 to 5 pollers.
"""
QUEUE_POLL_SECONDS = 20
"""Time for which such a poll waits: the longest that SQS allows."""
STREAM_POLLS_PER_SECOND = 4
"""Lambda's polls of each shard of a table's stream: docs.aws.amazon.com/lambda/latest/dg/with-ddb.html."""
METRICS_OF_PASS = 1
"""Metrics that a pass of reconciliation reports though there is nothing to report: that it has ended."""
METRICS_OF_DELIVERIES = (Metric.DELIVERY_LATENCY, Metric.EVENTS_HANDLED)
"""Metrics that a subscription's function reports when it has handled something and nothing failed. Each is also kept
for all subscriptions of the Region together.
"""
METRICS_OF_RELAY = (Metric.DOORBELLS_RUNG,)
"""Metrics that the relay reports of a stream when it has rung."""
assert all(metric.is_summed for metric in METRICS_OF_DELIVERIES)
assert not any(metric.is_summed for metric in METRICS_OF_RELAY)
NOT_COUNTED = (
    "pollers that are kept (provisioned_pollers), logs of invocations and handlers, traces, transfer between Regions, "
    "what handlers call, and what goes wrong: retries, dead letters, repairs, producers that wait, and the metrics of "
    "these"
)
"""Costs of a fabric that no line of a prediction has. Wake-ups are counted, as invocations."""
MARK_BYTES = 120
"""Size of a lane's mark, beside those of its subscriptions' cursors."""
READ_SECONDS, FAR_READ_SECONDS = 0.005, 0.080
"""Time of a read in a pass: in its own Region, and in another one."""
PASSES_AT_REST = 12
"""Passes of which one reads the state of lanes at rest: they rest for an hour."""
GRANTS_OF_HALF_A_UNIT = 448
"""Lanes whose grants an eventually consistent query brings for half of a read unit."""
PASS_LOG_BYTES = 2_000
"""Size of what a pass writes to its log: Lambda's lines about the invocation, and metrics."""
SIGNALS_PER_PERIOD = 2
"""Application signals of an objective in each of its periods, which are minutes."""
KEY_REQUESTS_PER_DATA_KEY = 3
"""Requests in which a queue's producer and its consumer get a data key: twice the producers, once the consumers
(docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html).
"""
PASSES_PER_MONTH = LAMBDA_SECONDS_PER_MONTH / (60 * RECONCILE_MINUTES)
_GIGABYTE = 1024**3
_READ_UNIT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class PassWork:
    """Calls of an average pass over a stream in one Region. `writes` counts the write units of all Regions."""

    reads: float = 0
    far_reads: float = 0
    writes: float = 0

    @property
    def seconds(self) -> float:
        """Time of the calls, one after another."""
        return self.reads * READ_SECONDS + self.far_reads * FAR_READ_SECONDS


def idle_month(topology: Topology) -> list[Line]:
    """List what an idle month costs. Counts are of a month, and of all Regions."""
    return [line for line in _lines(topology) if line.count]


def by_gigabyte(topology: Topology) -> list[Line]:
    """List what a GB costs for a month: of events in each Region that keeps the stream, and of logs."""
    days = topology.own_settings.log_days
    rounds = LAMBDA_SECONDS_PER_MONTH / limits.ROUND_SECONDS
    return [
        Line("tables", "a GB kept in a Region", Prices.TABLE_GIGABYTE_MONTH, 1),
        Line("tables", "its point-in-time recovery", Prices.RECOVERY_GIGABYTE_MONTH, 1),
        Line(
            "reconcile", "its rounds of verification", Prices.READ_UNIT, rounds * _GIGABYTE / _READ_UNIT_BYTES
        ),
        Line("logs", "a GB written", Prices.LOG_GIGABYTE, 1),
        Line(
            "logs",
            f"kept for {days} days",
            Prices.LOG_GIGABYTE_MONTH,
            days * 24 * 3600 / LAMBDA_SECONDS_PER_MONTH,
        ),
    ]


def busy_metrics(topology: Topology) -> list[Line]:
    """List the metrics of a month in each hour of which every subscription handles something, and nothing fails."""
    delivering = [
        region
        for own in topology.subscriptions.values()
        for region in own.regions
        if any(own.delivers(origin, region) for origin in own.regions)
    ]
    together = len(METRICS_OF_DELIVERIES) * len({*delivering})
    rung = sum(len(stream.definition.regions) for stream in topology.streams.values() if stream.subscriptions)
    lines = [
        Line("metrics", "of deliveries", Prices.METRIC, len(METRICS_OF_DELIVERIES) * len(delivering)),
        Line("metrics", "of deliveries, all together", Prices.METRIC, together),
        Line("metrics", "of relays", Prices.METRIC, len(METRICS_OF_RELAY) * rung),
    ]
    return [line for line in lines if line.count]


def pass_work(topology: Topology, stream: StreamTopology, region: str) -> PassWork:
    """Count the calls of a pass that finds everything as it was, if every lane holds events.

    Its own progress; of each origin its marks; of each lane the tail, also the origin's; of each subscription its
    standing in every Region, which this one then notes as seen, and what it grants, where it holds producers back. Once
    in PASSES_AT_REST, the state of each lane that this Region delivers for a subscription, and then the marks are
    written.

    Of declarations the Region's own; in the first Region the others' as well, and in those the first one's; of each
    Region's lane, with that of its schemas, the mark. Once in PASSES_AT_REST, both tails, those of the origin, and
    those of all copies of the Region's own; then the mark is written.
    """
    origins, lanes, subscriptions = stream.definition.regions, stream.definition.lanes, stream.subscriptions
    others = len(origins) - 1
    parts = ceil(lanes / limits.MARKS_ITEM_LANES)
    delivered = [
        sum(subscription.delivers(origin, region) for subscription in subscriptions) for origin in origins
    ]
    marked = sum(map(bool, delivered)) * ceil(lanes * MARK_BYTES / 1024)
    replicas = len(topology.ledger_of(stream.name).regions)
    granted = sum(
        subscription.delivers(origin, region)
        for subscription in subscriptions
        for origin in origins
        if subscription.definition.backpressure is not None
    )
    declared = 1 + (others if region == origins[0] else 1)
    return PassWork(
        reads=1
        + declared
        + len(origins) * (1 + 2 / PASSES_AT_REST)
        + len(origins) * (parts + lanes)
        + len(subscriptions)
        + granted * ceil(lanes / GRANTS_OF_HALF_A_UNIT) / 2
        + sum(delivered) * lanes / PASSES_AT_REST,
        far_reads=others * (lanes + len(subscriptions) + 4 / PASSES_AT_REST),
        writes=(len(subscriptions) + (marked + len(origins)) / PASSES_AT_REST) * replicas,
    )


def _lines(topology: Topology) -> Iterator[Line]:
    yield from _queues(topology)
    yield from _watch(topology)
    yield from _keys(topology)
    yield from _passes(topology)


def _queues(topology: Topology) -> Iterator[Line]:
    mapped = sum(len(subscription.regions) for subscription in topology.subscriptions.values())
    timed = sum(bool(topology.subscriptions_in(region)) for region in topology.regions)
    polls = QUEUE_POLLERS / QUEUE_POLL_SECONDS * LAMBDA_SECONDS_PER_MONTH
    yield Line("queues", f"polls of {mapped} doorbell queues", Prices.QUEUE_REQUEST, mapped * polls)
    yield Line("queues", f"polls of {timed} timer queues", Prices.STANDARD_QUEUE_REQUEST, timed * polls)
    tables = sum(len(stream.definition.regions) for stream in topology.streams.values())
    stream_polls = tables * STREAM_POLLS_PER_SECOND * LAMBDA_SECONDS_PER_MONTH
    yield Line("relay", f"polls of {tables} tables' streams", Prices.TRIGGER_POLL, stream_polls)


def _watch(topology: Topology) -> Iterator[Line]:
    regions = topology.regions
    objectives = sum(len(objectives_of(topology, region)) for region in regions)
    signals = objectives * SIGNALS_PER_PERIOD * LAMBDA_SECONDS_PER_MONTH / 60
    yield Line("metrics", "reported by each pass", Prices.METRIC, METRICS_OF_PASS * len(regions))
    yield Line("alarms", "alarms", Prices.ALARM, sum(len(alarms_of(topology, region)) for region in regions))
    gradual = sum(len(gradual_in(topology, region)) for region in regions)
    yield Line("alarms", "alarms of gradual deployments", Prices.ALARM, gradual)
    yield Line("alarms", "the dashboard", Prices.DASHBOARD, 1)
    yield Line("alarms", f"signals of {objectives} objectives", Prices.APPLICATION_SIGNAL, signals)


def _keys(topology: Topology) -> Iterator[Line]:
    yield Line("keys", "keys", Prices.KEY, len(topology.regions))
    queues = sum(1 + len(own) for region in topology.regions if (own := topology.subscriptions_in(region)))
    data_keys = queues * LAMBDA_SECONDS_PER_MONTH / QUEUE_DATA_KEY_SECONDS
    yield Line(
        "keys", f"data keys of {queues} queues", Prices.KEY_REQUEST, data_keys * KEY_REQUESTS_PER_DATA_KEY
    )
    if topology.definition.fabric.log_key == "fabric":
        written = PASSES_PER_MONTH * len(topology.regions)
        yield Line("keys", "data keys of logs", Prices.KEY_REQUEST, written)
    # DynamoDB keeps a caller's table key for five minutes, the time from pass to pass; every Region reads each replica.
    callers = sum(len(table.regions) ** 2 for table in topology.tables)
    yield Line("keys", "keys of tables", Prices.KEY_REQUEST, callers * PASSES_PER_MONTH)


def _passes(topology: Topology) -> Iterator[Line]:
    passes = PASSES_PER_MONTH * len(topology.regions)
    works = {
        region: [pass_work(topology, stream, region) for stream in topology.streams_in(region)]
        for region in topology.regions
    }
    every = [work for of_region in works.values() for work in of_region]
    function = topology.reconcile_function(topology.home)
    time = Prices.function_second(function.settings.architecture)
    seconds = sum(work.seconds for work in every) * function.memory_megabytes / 1024
    reads = sum(work.reads + work.far_reads for work in every)
    yield Line("reconcile", "scheduled passes", Prices.SCHEDULE, passes)
    yield Line("reconcile", "invocations", Prices.INVOCATION, passes)
    yield Line("reconcile", "function time", time, seconds * PASSES_PER_MONTH)
    yield Line("reconcile", "reads", Prices.READ_UNIT, reads * PASSES_PER_MONTH)
    writes = sum(work.writes for work in every)
    yield Line("reconcile", "standings noted", Prices.WRITE_UNIT, writes * PASSES_PER_MONTH)
    yield Line("logs", "of the passes", Prices.LOG_GIGABYTE, passes * PASS_LOG_BYTES / _GIGABYTE)
