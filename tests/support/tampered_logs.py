"""Logs and ledgers that somebody tampers with, and the proofs of their lanes."""

from dataclasses import replace
from typing import Any

from eventfabric.model.finding import FindingKind
from eventfabric.model.proof import LaneProof
from eventfabric.model.record import Record, chain_of
from eventfabric.services.proof.prove import Prover
from eventfabric.testing.memory.table import MemoryTable
from eventfabric.wire import cursor_item, record_item
from tests.support.failing_handlers import Failing, world_of
from tests.support.memory_fabric import LANE, event
from tests.support.subscribed_stream import SubscribedStream


def delivered(records: int = 6, **settings: Any) -> SubscribedStream:
    """Return a stream with so many records of two events, all handled."""
    world = world_of(Failing({}), **settings)
    for number in range(records):
        world.put(event(f"a{number}", key="a"), event(f"b{number}", key="b"))
    world.relay_all()
    world.deliver_all()
    return world


def proofs(world: SubscribedStream) -> list[LaneProof]:
    """Return the subscription's proofs in the Region that is observed."""
    prover = Prover(world.stream, [world.subscription], world.ports())
    return [proof for lane in prover.lanes for proof in prover.prove(lane)]


def proof(world: SubscribedStream) -> LaneProof:
    """Return the proof of the first lane."""
    (of_first_lane,) = [proof for proof in proofs(world) if proof.lane == LANE]
    return of_first_lane


def wrong(world: SubscribedStream) -> FindingKind | None:
    """Return the kind of the contradiction in the first lane. None if it is proven."""
    of_first_lane = proof(world)
    assert of_first_lane.is_proven == (of_first_lane.wrong is None)
    return of_first_lane.wrong.kind if of_first_lane.wrong else None


def log_table(world: SubscribedStream) -> MemoryTable:
    return world.cloud.log_table(world.stream.name, world.region)


def put(world: SubscribedStream, record: Record) -> None:
    """Write a record, whatever stands there."""
    log_table(world).write("Put", {"Item": record_item.to_item(record)})


def remove(world: SubscribedStream, record: Record) -> None:
    item = record_item.to_item(record)
    log_table(world).write("Delete", {"Key": {"pk": item["pk"], "sk": item["sk"]}})


def chained(record: Record, on: Record | None, **changes: Any) -> Record:
    """Return a changed record whose chain continues the record before it."""
    changed = replace(record, **changes)
    before = on.chain if on is not None else bytes(16)
    return replace(changed, chain=chain_of(type(record.chain)(before), changed))


def put_cursor(world: SubscribedStream, **changes: Any) -> None:
    """Change the stored cursor behind everybody's back."""
    table = world.cloud.regions[world.region].table(world.topology.ledger.name)
    cursor = world.cursor()
    moved = replace(cursor, version=cursor.version + 1, **changes)
    key = world.key_of(LANE)
    item = cursor_item.to_item(key, world.region, moved, token=b"x" * 16, now_ms=world.clock.now_ms())
    table.write("Put", {"Item": item})
