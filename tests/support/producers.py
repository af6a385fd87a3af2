"""Producers in a Region of a world in memory, each Region's log behind faults of its own."""

from collections.abc import Mapping, Sequence

from eventfabric import Event, Fabric
from eventfabric.model.identity import Region, SequenceNumber
from eventfabric.model.record import Record
from eventfabric.ports import Log
from eventfabric.testing.memory.faults import Fault, Faults, Rule
from eventfabric.topology import StreamTopology
from eventfabric.wire.payload_codec import unpack
from tests.support.memory_fabric import HOME, STREAM, World, lane


def producer(
    world: World,
    faults: Mapping[Region, Faults] | None = None,
    *,
    region: Region = HOME,
    failover: Sequence[str] = (),
    timeout_seconds: float = 10,
) -> Fabric:
    """A Fabric that appends in the caller's thread."""
    behind = faults or {}

    def log_of(stream: StreamTopology, at: Region) -> Log:
        log = world.cloud.log(stream.name, at)
        return behind[at].log(log) if at in behind else log

    return Fabric(
        world.topology,
        region,
        failover=failover,
        log_of=log_of,
        clock=world.clock,
        entropy=world.entropy,
        outbox=world.cloud.outbox(region),
        parallel_lanes=0,
        append_timeout_seconds=timeout_seconds,
    )


def always(fault: Fault, *names: str) -> Rule:
    """Every call fails, or every call of these names."""
    return lambda called, overall, of_name: fault if not names or called in names else None


def records(world: World, origin: Region, *, seen_in: Region | None = None) -> list[Record]:
    """All records of an origin's lanes, as they stand in its own Region or in another."""
    log = world.cloud.log(STREAM, seen_in or origin)
    found: list[Record] = []
    for index in range(world.stream.definition.lanes):
        found += log.read(lane(index, origin), SequenceNumber(0), records_max=1000).records
    return found


def events(world: World, origin: Region, *, seen_in: Region | None = None) -> list[Event]:
    """The events of those records."""
    return [event for record in records(world, origin, seen_in=seen_in) for event in unpack(record)]
