"""Streams to reconcile, and the findings of a pass."""

from dataclasses import replace
from typing import Any

from eventfabric.model.finding import Finding, FindingKind
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.testing.memory.table import MemoryTable
from eventfabric.wire import cursor_item
from eventfabric.wire.keys import Item
from tests.support.failing_handlers import Failing, fabric_of
from tests.support.memory_fabric import AWAY, STREAM, event
from tests.support.subscribed_stream import LANE_KEY, SubscribedStream

Kinds = list[FindingKind]


def reconcile(fabric: SubscribedStream, *, repair: bool = False, full: bool = False) -> list[Finding]:
    """Run one pass in the observed Region. Return its findings."""
    reconciler = Reconciler(
        fabric.stream, region=fabric.region, ports=fabric.ports(), telemetry=fabric.telemetry
    )
    return list(reconciler.run(repair=repair, full=full))


def kinds(fabric: SubscribedStream, **how: bool) -> Kinds:
    return [finding.kind for finding in reconcile(fabric, **how)]


def healthy(records: int = 6, **settings: Any) -> SubscribedStream:
    """Return a stream of records of two events, delivered and replicated, where a pass in each Region found nothing."""
    fabric = fabric_of(Failing({}), **settings)
    for number in range(records):
        fabric.put(event(f"a{number}", key="a"), event(f"b{number}", key="b"))
    fabric.relay_all()
    fabric.deliver_all()
    fabric.cloud.replicate()
    assert kinds(fabric) == kinds(fabric.in_region(AWAY)) == []
    return fabric


def log_table(fabric: SubscribedStream) -> MemoryTable:
    return fabric.cloud.log_table(fabric.stream.name, fabric.region)


def record_items(fabric: SubscribedStream) -> list[Item]:
    return log_table(fabric).items


def remove(fabric: SubscribedStream, index: int) -> None:
    item = record_items(fabric)[index]
    log_table(fabric).write("Delete", {"Key": {"pk": item["pk"], "sk": item["sk"]}})


def change(fabric: SubscribedStream, index: int, **attributes: dict[str, Any]) -> None:
    log_table(fabric).write("Put", {"Item": {**record_items(fabric)[index], **attributes}})


def put_cursor(fabric: SubscribedStream, **changes: Any) -> None:
    """Change the stored cursor behind everybody's back."""
    table = fabric.cloud.regions[fabric.region].table(fabric.topology.ledger_of(STREAM).name)
    cursor = fabric.ledger.state(LANE_KEY).cursor(fabric.region)
    moved = replace(cursor, version=cursor.version + 1, **changes)
    item = cursor_item.to_item(LANE_KEY, fabric.region, moved, token=b"x" * 16, now_ms=fabric.clock.now_ms())
    table.write("Put", {"Item": item})
