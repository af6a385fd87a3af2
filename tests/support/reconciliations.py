"""Streams to reconcile, and the findings of a pass."""

from dataclasses import replace
from typing import Any

from eventfabric.model.finding import Finding, FindingKind
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.testing.memory.table import MemoryTable
from eventfabric.wire import cursor_item
from eventfabric.wire.keys import Item
from tests.support.failing_handlers import Failing, world_of
from tests.support.memory_fabric import AWAY, STREAM, event
from tests.support.subscribed_stream import LANE_KEY, SubscribedStream

Kinds = list[FindingKind]


def reconcile(world: SubscribedStream, *, repair: bool = False, full: bool = False) -> list[Finding]:
    """Run one pass in the observed Region. Return its findings."""
    reconciler = Reconciler(world.stream, region=world.region, ports=world.ports(), telemetry=world.telemetry)
    return list(reconciler.run(repair=repair, full=full))


def kinds(world: SubscribedStream, **how: bool) -> Kinds:
    return [finding.kind for finding in reconcile(world, **how)]


def healthy(records: int = 6, **settings: Any) -> SubscribedStream:
    """Return a stream of records of two events, delivered and replicated, where a pass in each Region found nothing."""
    world = world_of(Failing({}), **settings)
    for number in range(records):
        world.put(event(f"a{number}", key="a"), event(f"b{number}", key="b"))
    world.relay_all()
    world.deliver_all()
    world.cloud.replicate()
    assert kinds(world) == kinds(world.at(AWAY)) == []
    return world


def log_table(world: SubscribedStream) -> MemoryTable:
    return world.cloud.log_table(world.stream.name, world.region)


def record_items(world: SubscribedStream) -> list[Item]:
    return log_table(world).items


def remove(world: SubscribedStream, index: int) -> None:
    item = record_items(world)[index]
    log_table(world).write("Delete", {"Key": {"pk": item["pk"], "sk": item["sk"]}})


def change(world: SubscribedStream, index: int, **attributes: dict[str, Any]) -> None:
    log_table(world).write("Put", {"Item": {**record_items(world)[index], **attributes}})


def put_cursor(world: SubscribedStream, **changes: Any) -> None:
    """Change the stored cursor behind everybody's back."""
    table = world.cloud.regions[world.region].table(world.topology.ledger_of(STREAM).name)
    cursor = world.ledger.state(LANE_KEY).cursor(world.region)
    moved = replace(cursor, version=cursor.version + 1, **changes)
    item = cursor_item.to_item(LANE_KEY, world.region, moved, token=b"x" * 16, now_ms=world.clock.now_ms())
    table.write("Put", {"Item": item})
