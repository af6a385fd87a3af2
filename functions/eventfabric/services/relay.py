"""Relay: from what a table's stream shows to doorbells. Trusts no order, carries no events, never fails on content."""

from collections.abc import Callable, Iterable

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
    owns: Callable[[SubscriptionTopology, Region], bool],
    doorbells: Doorbells,
    telemetry: Telemetry,
) -> str | None:
    """Ring one doorbell a lane, for its highest tail, at each subscription for which this Region owns its origin.

    Returns the position from which the stream must come again, because of doorbells that could not be sent; None
    where all went out. Ringing again what was rung is harmless.

    In a replica a record may arrive behind those that continue it. The doorbell for the highest tail may then have been
    rung, and answered in vain, before that record was there: `again` tells this one from it.
    """
    seen = list(appended)
    highest: dict[Lane, Appended] = {}
    latest: dict[Lane, Sequence] = {}
    for change in seen:
        known = highest.get(change.lane)
        if known is None or change.tail > known.tail:
            highest[change.lane] = change
        latest[change.lane] = change.tail
    failed: set[Lane] = set()
    for subscription in stream.subscriptions:
        bells = [
            Doorbell(
                StreamName(stream.name),
                lane,
                change.tail,
                again=latest[lane] if latest[lane] < change.tail else 0,
            )
            for lane, change in highest.items()
            if owns(subscription, lane.origin)
        ]
        refused = doorbells.ring(subscription.name, bells)
        failed.update(bell.lane for bell in refused)
        telemetry.add(Metric.DOORBELLS_RUNG, len(bells) - len(refused), of=stream.name)
        telemetry.add(Metric.DOORBELLS_FAILED, len(refused), of=stream.name)
    return next((change.position for change in seen if change.lane in failed), None)
