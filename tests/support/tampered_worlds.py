"""Worlds whose log and ledger are tampered with, and what a proof says of them."""

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
    """Records of two events, all handled."""
    world = world_of(Failing({}), **settings)
    for number in range(records):
        world.put(event(f"a{number}", key="a"), event(f"b{number}", key="b"))
    world.relay_all()
    world.deliver_all()
    return world


def proofs(world: SubscribedStream) -> list[LaneProof]:
    """Return the subscription's proofs, in the Region that the world looks at."""
    prover = Prover(world.stream, [world.subscription], world.ports())
    return [proof for lane in prover.lanes for proof in prover.prove(lane)]


def proof(world: SubscribedStream) -> LaneProof:
    """Return the proof of the first lane."""
    (found,) = [one for one in proofs(world) if one.lane == LANE]
    return found


def wrong(world: SubscribedStream) -> FindingKind | None:
    """Return the problem of the first lane; None: it is proven."""
    found = proof(world)
    assert found.is_proven == (found.wrong is None)
    return found.wrong.kind if found.wrong else None


def log_table(world: SubscribedStream) -> MemoryTable:
    return world.cloud.log_table(world.stream.name, world.region)


def put(world: SubscribedStream, record: Record) -> None:
    """Write a record, whatever stands there."""
    log_table(world).write("Put", {"Item": record_item.to_item(record)})


def remove(world: SubscribedStream, record: Record) -> None:
    item = record_item.to_item(record)
    log_table(world).write("Delete", {"Key": {"pk": item["pk"], "sk": item["sk"]}})


def chained(record: Record, on: Record | None, **changes: Any) -> Record:
    """A record with changes, whose chain is right again on the one before it."""
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
