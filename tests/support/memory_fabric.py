"""A fabric in memory: what most tests are built from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from eventfabric import Fabric
from eventfabric.model import (
    EMPTY_TAIL,
    Batch,
    BatchId,
    Event,
    Generation,
    Lane,
    LaneIndex,
    Record,
    Region,
    Tail,
    record_at,
)
from eventfabric.ports import Log, Ports
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.catalogue.streams import DeclaredStreams
from eventfabric.services.lanes.lane_end import lane_end
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.stream_topology import StreamTopology
from eventfabric.telemetry import LogEvent, Metric
from eventfabric.testing.memory.clock import MemoryClock
from eventfabric.testing.memory.cloud import MemoryCloud
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.topology import Topology
from eventfabric.wire.payload_codec import pack, stored, unpack

HOME, AWAY, FAR = Region("us-east-1"), Region("eu-west-1"), Region("ap-south-1")
STREAM = "orders"
LANE = Lane(HOME, Generation(0), LaneIndex(0))


def lane(index: int = 0, origin: Region = HOME) -> Lane:
    return Lane(origin, Generation(0), LaneIndex(index))


def event(name: str, *, key: str = "k", type: str = "placed") -> Event:
    return Event(id=name, type=type, key=key, data={"name": name}, time="2026-11-01T00:00:00Z", source="/t")


def batch_of(events: Sequence[Event], batch_id: bytes) -> Batch:
    types = frozenset(event.type for event in events)
    return Batch(BatchId(batch_id), len(events), types, pack([stored(event) for event in events]))


@dataclass
class Counting:
    """Telemetry that adds up."""

    totals: dict[Metric, float] = field(default_factory=dict)
    events: list[LogEvent] = field(default_factory=list)
    gauges: dict[tuple[Metric, str | None], float] = field(default_factory=dict)

    def tell(self, event: LogEvent, **about: object) -> None:
        self.events.append(event)

    def add(self, metric: Metric, value: float = 1, *, of: str | None = None) -> None:
        self.totals[metric] = self.totals.get(metric, 0) + value

    def gauge(self, metric: Metric, value: float, *, of: str | None = None) -> None:
        self.gauges[metric, of] = value


class MemoryFabric:
    """Everything that a topology declares, in memory, with a clock that stands still and the random numbers of a seed.

    What is put and read without a name is the stream `orders`.
    """

    def __init__(self, topology: Topology, *, seed: int = 0) -> None:
        self.topology = topology
        self.clock = MemoryClock()
        self.entropy = SeededEntropy(seed)
        self.cloud = MemoryCloud(topology, clock=self.clock, entropy=self.entropy)
        self._batches = self._deployments = 0

    @property
    def stream(self) -> StreamTopology:
        return self.topology.stream(STREAM)

    def ports(self, region: Region | None = None) -> Ports:
        """Return the ports of a Region, without faults; default: the first."""
        return self.cloud.ports(region or Region(self.topology.regions[0]))

    def producer(
        self,
        region: str = HOME,
        *,
        log_of: Callable[[StreamTopology, Region], Log] | None = None,
        streams: DeclaredStreams | None = None,
        **settings: Any,
    ) -> Fabric:
        """Return a producer that appends in the caller's thread, unless `settings` of the Fabric say otherwise.

        `streams`: where it takes the streams from; default: the topology.
        """
        defaults = {
            "clock": self.clock,
            "entropy": self.entropy,
            "outbox": self.cloud.outbox(region),
            "parallel_lanes": 0,
        }
        log_of = log_of or (lambda stream, region: self.cloud.log(stream.name, region))
        return Fabric(streams or self.topology, region, log_of=log_of, **{**defaults, **settings})

    def declare(self, topology: Topology | None = None, region: str = HOME) -> None:
        """Declare in a Region what a topology deploys there; default: the fabric's own."""
        deployed = topology or self.topology
        self._deployments += 1
        request = f"request-{self._deployments}"
        ports = self.ports(Region(region))
        declare_all(Deployer(deployed, Region(region), ports, by="test", request_id=request))

    def record(self, tail: Tail, *events: Event, of: Lane = LANE) -> Record:
        """The record that puts these events at a tail; not written."""
        self._batches += 1
        batch = batch_of(events, self._batches.to_bytes(16, "big"))
        kept = self.stream.retention_seconds
        return record_at(tail, of, batch, now_ms=self.clock.now_ms(), retention_seconds=kept)

    def put(self, *events: Event, of: Lane = LANE, log_lane_tail: Tail | None = None) -> Record:
        """Append one record with these events to a lane, in the first Region's log; returns it."""
        log = self.cloud.log(STREAM, HOME)
        end = log_lane_tail or lane_end(log, of, now_ms=self.clock.now_ms()).tail
        record = self.record(end, *events, of=of)
        assert log.append(record) is None
        return record

    def records(self, of: Lane = LANE, stream: str = STREAM) -> list[Record]:
        """A lane's whole log, in the first Region."""
        log, log_records = self.cloud.log(stream, HOME), list[Record]()
        start = EMPTY_TAIL.sequence
        while True:
            page = log.read(of, start, records_max=1000)
            log_records += page.records
            if not page.more or not page.records:
                return log_records
            start = page.records[-1].tail.sequence

    def events(self, stream: str = STREAM) -> list[Event]:
        """All events of a stream, lane by lane, in the first Region."""
        lanes = lanes_of(self.topology.stream(stream))
        return [event for of in lanes for record in self.records(of, stream) for event in unpack(record)]

    def logged_ids(self, of: Lane = LANE) -> list[str]:
        """The ids of a lane's events, in the log's order."""
        return [str(event.id) for record in self.records(of) for event in unpack(record)]
