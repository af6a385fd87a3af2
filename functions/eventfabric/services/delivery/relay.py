"""Relay: turn what a table's stream shows into doorbells. Trusts no order, carries no events, fails on no content."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from zlib import crc32

from eventfabric.model import Doorbell, Lane, Region, SequenceNumber, StreamName
from eventfabric.ports import Doorbells
from eventfabric.telemetry import Metric, Telemetry
from eventfabric.topology import StreamTopology, SubscriptionTopology
from eventfabric.wire.stream_record import RecordNews


def relay(
    appended: Iterable[RecordNews],
    stream: StreamTopology,
    *,
    region: Region,
    owns: Callable[[SubscriptionTopology, Region], bool],
    doorbells: Doorbells,
    telemetry: Telemetry,
) -> str | None:
    """Ring one doorbell a lane, for its highest tail, at each subscription for which this Region owns the origin.

    Return the position from which the stream must come again, because doorbells could not be sent; None if all were
    sent. It is harmless to ring again what was rung.

    A replica may receive a record after those that continue it. By then the doorbell for the highest tail may have been
    rung and answered in vain. `again` tells the new doorbell from it, by the tails for which it stands.
    """
    changes = list(appended)
    bells = _bells(changes, stream, region)
    failed: set[Lane] = set()
    for subscription in stream.subscriptions:
        # Also for records without a wanted event: a cursor that stays behind them looks like one
        # that is stuck, makes fresh events late, and has to read all of them at the next wanted one.
        owned = [bell for bell in bells if owns(subscription, bell.lane.origin)]
        refused = doorbells.ring(subscription.name, owned)
        failed.update(bell.lane for bell in refused)
        telemetry.add(Metric.DOORBELLS_RUNG, len(owned) - len(refused), of=stream.name)
        telemetry.add(Metric.DOORBELLS_FAILED, len(refused), of=stream.name)
    return next((change.position for change in changes if change.lane in failed), None)


def _bells(changes: Iterable[RecordNews], stream: StreamTopology, region: Region) -> list[Doorbell]:
    """Make a doorbell for each lane."""
    # DynamoDB orders a stream for each item only, so nothing but the highest tail of a lane counts.
    tails = defaultdict[Lane, set[SequenceNumber]](set)
    for change in changes:
        tails[change.lane].add(change.tail)
    name = StreamName(stream.name)
    return [
        Doorbell(name, lane, max(lane_tails), again=0 if lane.origin == region else _again(lane_tails))
        for lane, lane_tails in tails.items()
    ]


def _again(tails: set[SequenceNumber]) -> int:
    """Return a number made of these tails; 0 for a single one, because the doorbell itself names that."""
    return crc32(repr(sorted(tails)).encode()) if len(tails) > 1 else 0
