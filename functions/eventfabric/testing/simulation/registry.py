"""Registry of schemas in the simulation: the Regions of its stream as they are deployed, and what is registered.

What is written here is known to nobody in the fabric: it says what they ought to see.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from eventfabric.contracts.document import SchemaDocument
from eventfabric.model import EMPTY_TAIL, DeclarationLane, Record, Region, SchemaLane, StreamName
from eventfabric.ports import Log
from eventfabric.services.catalogue.known_versions import KnownVersions
from eventfabric.services.catalogue.schema_lane import SchemaReader
from eventfabric.stream_topology import StreamTopology
from eventfabric.testing.memory.cloud import MemoryCloud
from eventfabric.testing.simulation.plan import Plan
from eventfabric.wire.payload_codec import unpack
from eventfabric.wire.schema_record import SCHEMA_TYPE

_PAGE_RECORDS = 1_000


@dataclass
class Consumer:
    """A function that knows versions of schemas, built with a definition that may not be the newest one."""

    regions: tuple[str, ...]
    reader: SchemaReader
    versions: KnownVersions


@dataclass
class Registry:
    """The registry of a plan's stream. `regions`: as they are deployed; the first one registers."""

    regions: tuple[str, ...]
    definitions: list[tuple[str, ...]] = field(default_factory=list)
    """All that `regions` ever was."""
    named: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Regions that each Region has ever named in what it has declared."""
    made: dict[str, list[SchemaDocument]] = field(default_factory=lambda: defaultdict(list))
    """Schemas of each type that somebody has tried to register."""
    given: dict[tuple[str, str], int] = field(default_factory=dict)
    """Version of each type and digest that was acknowledged."""
    consumers: dict[str, Consumer] = field(default_factory=dict)
    """Consumers in each Region that wait for their next event."""
    under_way: int = 0
    """Number of registrations that are being made."""
    is_changing: bool = False
    """The stream's Regions are being changed."""
    is_held: bool = False
    """Nobody registers until it is decided in which Region."""

    def deploy(self, regions: tuple[str, ...]) -> None:
        """Have other Regions deployed from now on."""
        self.regions = regions
        self.definitions.append(regions)

    def declared(self, region: str, regions: Iterable[str]) -> None:
        """Note that a Region has declared these Regions of the stream."""
        self.named[region] |= set(regions)


def registry_of(plan: Plan) -> Registry:
    """Return the registry as it is at first: without the Region that joins before any other, if one does."""
    joining = next((own.region for own in plan.happenings if own.what == "join_region"), "")
    staying = tuple(region for region in plan.regions if region != joining)
    registry = Registry(staying or plan.regions)
    registry.deploy(registry.regions)
    return registry


def stream_in(stream: StreamTopology, regions: tuple[str, ...]) -> StreamTopology:
    """Return a stream as it is where it is deployed in these Regions."""
    return replace(stream, definition=replace(stream.definition, regions=regions))


def records_of(log: Log, lane: DeclarationLane) -> Iterator[Record]:
    """Yield all records of a lane that a Region's table has."""
    sequence = EMPTY_TAIL.sequence
    while records := log.read(lane, sequence, records_max=_PAGE_RECORDS).records:
        yield from records
        sequence = records[-1].tail.sequence


def texts_in(log: Log, stream: str, regions: Iterable[str]) -> set[tuple[str, str]]:
    """Return type and digest of each schema that these Regions have registered and that has come to a log."""
    return {
        (event.key, SchemaDocument(event.payload.content).digest)
        for region in regions
        for record in records_of(log, SchemaLane.of(Region(region), StreamName(stream)))
        for event in unpack(record)
        if event.type == SCHEMA_TYPE
    }


def newest_count(cloud: MemoryCloud, stream: StreamTopology, regions: Iterable[str]) -> int:
    """Return how many registrations there were, by what each of these Regions has registered itself."""
    return max(
        SchemaReader(stream, cloud.log(stream.name, name)).registered(Region(name)).index.count
        for name in regions
    )


def lags(cloud: MemoryCloud, stream: str, region: str, *, behind: str, regions: Iterable[str]) -> bool:
    """Tell if a Region's table lacks what another has of declarations and schemas of any of these Regions.

    All records count, not the last one: they are replicated in any order.
    """
    here, there = cloud.log(stream, region), cloud.log(stream, behind)
    return any(
        {record.sequence for record in records_of(there, lane)}
        - {record.sequence for record in records_of(here, lane)}
        for name in regions
        for lane in (
            SchemaLane.of(Region(name), StreamName(stream)),
            DeclarationLane.of(Region(name), StreamName(stream)),
        )
    )
