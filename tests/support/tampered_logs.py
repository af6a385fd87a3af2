"""Logs and ledgers that somebody tampers with, and the proofs of their lanes."""

from dataclasses import replace
from typing import Any

from eventfabric.model import Record, chain_of
from eventfabric.model.finding import FindingKind
from eventfabric.model.proof import LaneProof
from eventfabric.services.proof.prove import Prover
from eventfabric.testing.memory.table import MemoryTable
from eventfabric.wire import cursor_item, record_item
from tests.support.failing_handlers import Failing, fabric_of
from tests.support.memory_fabric import LANE, event
from tests.support.subscribed_stream import SubscribedStream


def delivered(records: int = 6, **settings: Any) -> SubscribedStream:
    """Return a stream with so many records of two events, all handled."""
    fabric = fabric_of(Failing({}), **settings)
    for number in range(records):
        fabric.put(event(f"a{number}", key="a"), event(f"b{number}", key="b"))
    fabric.relay_all()
    fabric.deliver_all()
    return fabric


def proofs(fabric: SubscribedStream) -> list[LaneProof]:
    """Return the subscription's proofs in the Region that is observed."""
    prover = Prover(fabric.stream, [fabric.subscription], fabric.ports())
    return [proof for lane in prover.lanes for proof in prover.prove(lane)]


def proof(fabric: SubscribedStream) -> LaneProof:
    """Return the proof of the first lane."""
    (of_first_lane,) = [proof for proof in proofs(fabric) if proof.lane == LANE]
    return of_first_lane


def wrong(fabric: SubscribedStream) -> FindingKind | None:
    """Return the kind of the contradiction in the first lane. None if it is proven."""
    of_first_lane = proof(fabric)
    assert of_first_lane.is_proven == (of_first_lane.wrong is None)
    return of_first_lane.wrong.kind if of_first_lane.wrong else None


def log_table(fabric: SubscribedStream) -> MemoryTable:
    return fabric.cloud.log_table(fabric.stream.name, fabric.region)


def put(fabric: SubscribedStream, record: Record) -> None:
    """Write a record, whatever stands there."""
    log_table(fabric).write("Put", {"Item": record_item.to_item(record)})


def remove(fabric: SubscribedStream, record: Record) -> None:
    item = record_item.to_item(record)
    log_table(fabric).write("Delete", {"Key": {"pk": item["pk"], "sk": item["sk"]}})


def chained(record: Record, on: Record | None, **changes: Any) -> Record:
    """Return a changed record whose chain continues the record before it."""
    changed = replace(record, **changes)
    before = on.chain if on is not None else bytes(16)
    return replace(changed, chain=chain_of(type(record.chain)(before), changed))


def put_cursor(fabric: SubscribedStream, **changes: Any) -> None:
    """Change the stored cursor behind everybody's back."""
    table = fabric.cloud.regions[fabric.region].table(fabric.topology.ledger.name)
    cursor = fabric.cursor()
    moved = replace(cursor, version=cursor.version + 1, **changes)
    key = fabric.key_of(LANE)
    item = cursor_item.to_item(key, fabric.region, moved, token=b"x" * 16, now_ms=fabric.clock.now_ms())
    table.write("Put", {"Item": item})
