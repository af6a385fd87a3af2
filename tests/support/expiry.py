"""Lanes whose records expire."""

from typing import Any

from eventfabric.model.finding import FindingKind
from eventfabric.services.reconciliation.reconcile import Reconciler
from tests.support.memory_fabric import event
from tests.support.subscribed_stream import SubscribedStream

DAYS = 4
DAY_SECONDS = 86_400


def reconciled(world: SubscribedStream, *, repair: bool = True) -> list[FindingKind]:
    """Run a pass in the observed Region. Return the kinds of its findings."""
    reconciler = Reconciler(world.stream, region=world.region, ports=world.ports(), telemetry=world.telemetry)
    return [finding.kind for finding in reconciler.run(repair=repair)]


def expire(world: SubscribedStream) -> int:
    """Delete every record whose time to live is over, in all Regions. Return how many were in the observed one."""
    deleted = 0
    for region in world.stream.definition.regions:
        table = world.cloud.log_table(world.stream.name, region)
        for item in table.items:
            if "x" in item and int(item["x"]["N"]) * 1000 < world.clock.now_ms():
                table.write("Delete", {"Key": {"pk": item["pk"], "sk": item["sk"]}})
                deleted += region == world.region
    return deleted


def aged_world(**settings: Any) -> SubscribedStream:
    """Return a stream that delivered a1. a2 and a3 wait since then; b1 came two days later, when all was verified."""
    world = SubscribedStream(retention_days=DAYS, **settings)
    world.put(event("a1", key="a"))
    world.deliver()
    world.clock.advance(10)
    for name in ("a2", "a3"):
        world.put(event(name, key="a"))
    world.clock.advance(2 * DAY_SECONDS)
    world.put(event("b1", key="b"))
    assert set(reconciled(world)) <= {FindingKind.UNRUNG}
    return world
