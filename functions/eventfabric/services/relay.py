"""Relay: from what a table's stream shows to doorbells. Trusts no order, carries no events, never fails on content."""

from collections.abc import Callable, Iterable

from eventfabric.model.identity import Lane, Region, StreamName
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
    """
    seen = list(appended)
    highest: dict[Lane, Appended] = {}
    for change in seen:
        known = highest.get(change.lane)
        if known is None or change.tail > known.tail:
            highest[change.lane] = change
    failed: set[Lane] = set()
    for subscription in stream.subscriptions:
        bells = [
            Doorbell(StreamName(stream.name), lane, change.tail)
            for lane, change in highest.items()
            if owns(subscription, lane.origin)
        ]
        refused = doorbells.ring(subscription.name, bells)
        failed.update(bell.lane for bell in refused)
        telemetry.add(Metric.DOORBELLS_RUNG, len(bells) - len(refused), of=stream.name)
        telemetry.add(Metric.DOORBELLS_FAILED, len(refused), of=stream.name)
    return next((change.position for change in seen if change.lane in failed), None)
