"""Relay: from what a table's stream shows to doorbells. Trusts no order, carries no events, never fails on content."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from zlib import crc32

from eventfabric.model.identity import Lane, Region, Sequence, StreamName
from eventfabric.ports import Doorbells
from eventfabric.telemetry import Metric, Telemetry
from eventfabric.topology import StreamTopology, SubscriptionTopology
from eventfabric.wire.doorbell import Doorbell
from eventfabric.wire.stream_record import Appended


def relay(
    appended: Iterable[Appended],
    stream: StreamTopology,
    *,
    region: Region,
    owns: Callable[[SubscriptionTopology, Region], bool],
    doorbells: Doorbells,
    telemetry: Telemetry,
) -> str | None:
    """Ring one doorbell a lane, for its highest tail, at each subscription for which this Region owns its origin.

    Returns the position from which the stream must come again, because of doorbells that could not be sent; None
    where all went out. Ringing again what was rung is harmless.

    A replica may get a record behind those that continue it. The doorbell for the highest tail may then have been rung,
    and answered in vain, before that record was there: `again` tells this one from it, by the tails that it stands for.
    """
    seen = list(appended)
    highest: dict[Lane, Appended] = {}
    tails = defaultdict[Lane, set[Sequence]](set)
    for change in seen:
        known = highest.get(change.lane)
        if known is None or change.tail > known.tail:
            highest[change.lane] = change
        tails[change.lane].add(change.tail)
    failed: set[Lane] = set()
    for subscription in stream.subscriptions:
        bells = [
            Doorbell(
                StreamName(stream.name),
                lane,
                change.tail,
                again=0 if lane.origin == region else _again(tails[lane]),
            )
            for lane, change in highest.items()
            if owns(subscription, lane.origin)
        ]
        refused = doorbells.ring(subscription.name, bells)
        failed.update(bell.lane for bell in refused)
        telemetry.add(Metric.DOORBELLS_RUNG, len(bells) - len(refused), of=stream.name)
        telemetry.add(Metric.DOORBELLS_FAILED, len(refused), of=stream.name)
    return next((change.position for change in seen if change.lane in failed), None)


def _again(tails: set[Sequence]) -> int:
    """A number of these tails; 0 of a single one, which its doorbell names."""
    return crc32(repr(sorted(tails)).encode()) if len(tails) > 1 else 0
