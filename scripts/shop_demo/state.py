"""The state of the demo's local fabric: tails, cursors and the shop's rows; and ringing again for lanes that lag."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from eventfabric import limits
from eventfabric.model import Event, Lane, SequenceNumber, Standing, SubscriptionFilter, Tail, to_ms
from eventfabric.sdk.bundle import Receipt
from eventfabric.services.operations.survey import LaneStanding, ring_again, survey
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology
from eventfabric.telemetry import Metric
from eventfabric.testing.local.chaos import Rates
from eventfabric.testing.local.fabric import LocalFabric
from scripts.shop_demo.verdict import Decided, LogPlace, Published, Row, row_of
from subscribers import tables

_ROUNDS_MAX = 10


def charges(fabric: LocalFabric) -> dict[str, dict[str, int]]:
    """Count how often each order was charged, by the rows of each Region."""
    charged: dict[str, dict[str, int]] = {}
    for region in fabric.regions:
        pages = (
            fabric.client("dynamodb", region)
            .get_paginator("scan")
            .paginate(TableName=f"{fabric.name}-{tables.CHARGES}")
        )
        rows = [item for page in pages for item in page["Items"]]
        charged[region] = {row[tables.KEY]["S"]: int(row["charges"]["N"]) for row in rows}
    return charged


def tails(fabric: LocalFabric, stream: StreamTopology, lanes: Iterable[Lane]) -> dict[str, dict[Lane, Tail]]:
    """Read the tail of each lane from the log of each Region."""
    wanted = sorted(set(lanes))
    regions = [region for region in fabric.regions if region in stream.definition.regions]
    logs = {region: fabric.ports(region).log_of(stream) for region in regions}
    return {region: {lane: log.tail(lane) for lane in wanted} for region, log in logs.items()}


def standings(
    fabric: LocalFabric, stream: StreamTopology, tails_of: Mapping[str, Mapping[Lane, Tail]]
) -> Iterator[tuple[str, LaneStanding]]:
    """Yield, for every subscription and Region, the standing of each lane that is delivered there."""
    for subscription in stream.subscriptions:
        for region, of_region in tails_of.items():
            ports = fabric.ports(region)
            log, ledger = ports.log_of(stream), ports.ledger
            for standing in survey(subscription, of_region, log=log, ledger=ledger, standing=Standing()):
                yield region, standing


def settle(fabric: LocalFabric) -> None:
    """End the faults, release what they held back, and let everything drain."""
    fabric.chaos.rates = Rates()
    fabric.faults.heal()
    fabric.settle(timers=True)
    while fabric.chaos.release():
        fabric.settle(timers=True)


def ring_lagging(fabric: LocalFabric, stream: StreamTopology, lanes: Iterable[Lane]) -> int:
    """Ring for every cursor that is behind its lane, until none is. Returns the number of rings."""
    lanes, rung = set(lanes), 0
    for _ in range(_ROUNDS_MAX):
        lagging: defaultdict[str, list[LaneStanding]] = defaultdict(list)
        for region, standing in standings(fabric, stream, tails(fabric, stream, lanes)):
            if standing.lag:
                lagging[region].append(standing)
        if not lagging:
            break
        for region, standing_still in lagging.items():
            ports = fabric.ports(region)
            rung += len(ring_again(standing_still, doorbells=ports.doorbells, now_ms=ports.clock.now_ms()))
        fabric.settle(timers=True)
    return rung


def published_of(
    fabric: LocalFabric, stream: StreamTopology, acknowledged: Sequence[tuple[Event, Receipt]]
) -> list[Published]:
    """Add to each acknowledged event the time of its record, or 0 if the log does not have the event."""
    appended_ms: dict[LogPlace, int] = {}
    for lane in {receipt.lane for _, receipt in acknowledged}:
        log, start = fabric.ports(lane.origin).log_of(stream), SequenceNumber(0)
        while True:
            page = log.read(lane, start, records_max=limits.PAGE_RECORDS_MAX)
            for record in page.records:
                for sequence in range(record.sequence, record.tail.sequence):
                    appended_ms[LogPlace(lane, sequence)] = to_ms(record.time)
            if not page.more:
                break
            start = page.records[-1].tail.sequence
    return [
        Published(place, receipt.event_id, event, appended_ms.get(place, 0))
        for event, receipt in acknowledged
        for place in [LogPlace(receipt.lane, receipt.sequence)]
    ]


def decided(
    fabric: LocalFabric, subscription: SubscriptionTopology, region: str, published: Sequence[Published]
) -> Decided:
    """Find the events that a subscription does not handle in a Region until a person decides about them.

    These are dead letters, and, if the subscription keeps the order of keys, later events of the same key and lane.
    """
    letters = fabric.subscription(subscription.name).dead_letters(region)
    dead = {LogPlace(letter.lane, letter.parked.first.sequence): letter.parked.failure for letter in letters}
    first = {(letter.lane, letter.parked.key): letter.parked.first.sequence for letter in letters}
    waiting: set[LogPlace] = set()
    if subscription.definition.order == "key":
        for event in published:
            since = first.get((event.place.lane, event.content.key))
            if since is not None and event.place.sequence > since and wants(subscription, event, region):
                waiting.add(event.place)
    return Decided(
        {place: failure.error_type.rpartition(":")[2] for place, failure in dead.items()},
        frozenset(waiting),
        sum(not failure.attempts for failure in dead.values()),
    )


def rows(
    fabric: LocalFabric,
    stream: StreamTopology,
    published: Sequence[Published],
    tails_of: Mapping[str, Mapping[Lane, Tail]],
    decided_of: Mapping[tuple[str, str], Decided],
) -> list[Row]:
    """Make a row of the report for each subscription and Region."""
    behind: defaultdict[tuple[str, str], int] = defaultdict(int)
    for region, standing in standings(fabric, stream, tails_of):
        behind[standing.subscription.name, region] += standing.lag
    rows = []
    for subscription in stream.subscriptions:
        looked_at = fabric.subscription(subscription.name)
        for region in tails_of:
            rows.append(
                row_of(
                    subscription.name,
                    region,
                    guarantee=subscription.definition.guarantee,
                    expected=[event for event in published if wants(subscription, event, region)],
                    handled=looked_at.handled(region),
                    duplicate_doorbells=int(looked_at.counted(Metric.DOORBELLS_DUPLICATE, region)),
                    lag=behind[subscription.name, region],
                    decided=decided_of[subscription.name, region],
                )
            )
    return rows


def wants(subscription: SubscriptionTopology, event: Published, region: str) -> bool:
    """Tell if a subscription must deliver an event in a Region, by its filter and by who delivers that origin."""
    wanted = SubscriptionFilter.of(subscription.definition).wants(event.content)
    return wanted and subscription.delivers(event.place.lane.origin, region)
