"""Producers in a Region of a fabric in memory, each Region's log behind faults of its own."""

from collections.abc import Callable, Mapping, Sequence

from eventfabric import Event, Fabric
from eventfabric.model import Record, Region, SequenceNumber
from eventfabric.ports import Log
from eventfabric.stream_topology import StreamTopology
from eventfabric.testing.memory.faults import Fault, Faults, Rule
from eventfabric.wire.payload_codec import unpack
from tests.support.memory_fabric import HOME, STREAM, lane
from tests.support.subscribed_stream import SubscribedStream


def producer(
    fabric: SubscribedStream,
    faults: Mapping[Region, Faults] | None = None,
    *,
    region: Region = HOME,
    failover: Sequence[str] = (),
    timeout_seconds: float = 10,
) -> Fabric:
    """Return a Fabric that appends in the caller's thread."""
    behind = faults or {}

    def log_of(stream: StreamTopology, region: Region) -> Log:
        log = fabric.cloud.log(stream.name, region)
        return behind[region].log(log) if region in behind else log

    return fabric.producer(region, log_of=log_of, failover=failover, append_timeout_seconds=timeout_seconds)


def held_up(fabric: SubscribedStream, before: Callable[[], object], *, parallel_lanes: int) -> Fabric:
    """Return a Fabric whose appends first call `before`, which may wait, or raise."""

    def log_of(stream: StreamTopology, region: Region) -> Log:
        log = fabric.cloud.log(stream.name, region)
        appended = log.append

        def append(record: Record) -> Record | None:
            before()
            return appended(record)

        log.append = append  # type: ignore[method-assign]  # on its way to the log
        return log

    return fabric.producer(log_of=log_of, parallel_lanes=parallel_lanes)


def always(fault: Fault, *names: str) -> Rule:
    """Return a rule by which every call fails, or every call of these names."""
    return lambda called, overall, of_name: fault if not names or called in names else None


def records(fabric: SubscribedStream, origin: Region, *, seen_in: Region | None = None) -> list[Record]:
    """Return all records of an origin's lanes, as they stand in its own Region or in another."""
    log = fabric.cloud.log(STREAM, seen_in or origin)
    log_records: list[Record] = []
    for index in range(fabric.stream.definition.lanes):
        log_records += log.read(lane(index, origin), SequenceNumber(0), records_max=1000).records
    return log_records


def events(fabric: SubscribedStream, origin: Region, *, seen_in: Region | None = None) -> list[Event]:
    """Return all events of an origin's lanes."""
    return [event for record in records(fabric, origin, seen_in=seen_in) for event in unpack(record)]
