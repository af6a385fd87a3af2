"""Lanes whose records expire."""

from typing import Any

from eventfabric.model.finding import FindingKind
from eventfabric.services.reconciliation.reconcile import Reconciler
from tests.support.memory_fabric import event
from tests.support.subscribed_stream import SubscribedStream

DAYS = 4
DAY_SECONDS = 86_400


def reconciled(fabric: SubscribedStream, *, repair: bool = True) -> list[FindingKind]:
    """Run a pass in the observed Region. Return the kinds of its findings."""
    reconciler = Reconciler(
        fabric.stream, region=fabric.region, ports=fabric.ports(), telemetry=fabric.telemetry
    )
    return [finding.kind for finding in reconciler.run(repair=repair)]


def expire(fabric: SubscribedStream) -> int:
    """Delete every record whose time to live is over, in all Regions. Return how many were in the observed one."""
    deleted = 0
    for region in fabric.stream.definition.regions:
        table = fabric.cloud.log_table(fabric.stream.name, region)
        for item in table.items:
            if "x" in item and int(item["x"]["N"]) * 1000 < fabric.clock.now_ms():
                table.write("Delete", {"Key": {"pk": item["pk"], "sk": item["sk"]}})
                deleted += region == fabric.region
    return deleted


def aged_fabric(**settings: Any) -> SubscribedStream:
    """Return a stream that delivered a1. a2 and a3 wait since then; b1 came two days later, when all was verified."""
    fabric = SubscribedStream(retention_days=DAYS, **settings)
    fabric.put(event("a1", key="a"))
    fabric.deliver()
    fabric.clock.advance(10)
    for name in ("a2", "a3"):
        fabric.put(event(name, key="a"))
    fabric.clock.advance(2 * DAY_SECONDS)
    fabric.put(event("b1", key="b"))
    assert set(reconciled(fabric)) <= {FindingKind.UNRUNG}
    return fabric
