"""Producers in the simulation that are held to schemas: they offer events of which some do not fit.

Each is built with the newest schema that its Region has of a type. It leaves out what it is told does not fit, and
goes on with the rest.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Final

from eventfabric.contracts.checks import SchemaChecks
from eventfabric.contracts.document import SchemaDocument
from eventfabric.contracts.folder import SchemaFolder
from eventfabric.contracts.identity import DATA_SCHEMA, parse_schema_uri
from eventfabric.errors import EventFabricError, InvalidEventError
from eventfabric.model import EMPTY_TAIL, GENERATION_FIRST, Event, Lane, LaneIndex, Region
from eventfabric.ports import Log
from eventfabric.sdk.fabric import Fabric
from eventfabric.services.catalogue.schema_lane import SchemaReader
from eventfabric.testing.memory.faults import SimulatedCrash
from eventfabric.testing.simulation import history_of_schemas as history
from eventfabric.testing.simulation.operators import tell
from eventfabric.testing.simulation.plan import Happening
from eventfabric.testing.simulation.process import Process
from eventfabric.testing.simulation.registering import TYPES, deployed_stream
from eventfabric.testing.simulation.world import World
from eventfabric.wire.payload_codec import unpack

_TIMEOUT_SECONDS: Final = 20.0
_EVENTS_MAX: Final = 6
_PAGE_RECORDS: Final = 1_000
_VALUES: Final[dict[str, object]] = {"integer": 7, "string": "seven"}


class BuiltIn(SchemaFolder):
    """The one schema with which a producer was built."""

    def __init__(self, type_: str, schema: SchemaDocument) -> None:
        super().__init__(Path("nowhere"))
        self._type = type_
        self._schema = schema

    def document(self, stream: str, type_: str) -> SchemaDocument | None:
        """Return the schema of its type, and none of any other."""
        return self._schema if type_ == self._type else None


class Offer:
    """Events of one type that a producer offers, and what became of them."""

    def __init__(self, fabric: Fabric, stream: str, type_: str, events: Sequence[Event]) -> None:
        self._fabric = fabric
        self._stream = stream
        self._type = type_
        self._left = list(events)
        self.refused: list[str] = []
        self.published: list[str] = []

    def singly(self) -> None:
        """Publish them one by one."""
        while self._left:
            event = self._left[0]
            try:
                self._fabric.publish(self._stream, key=event.key, type=self._type, data=event.data)
            except InvalidEventError:
                self._refuse({0})
            else:
                self._publish(1)

    def together(self) -> None:
        """Publish them together: those that do not fit are all named at once, and nothing is written then."""
        while self._left:
            try:
                self._fabric.publish_many(self._stream, self._left)
            except InvalidEventError as error:
                if not self._refuse(_indices(error)):
                    raise  # or it would be asked for ever
            else:
                self._publish(len(self._left))

    def in_bulk(self) -> None:
        """Publish them in bulk: those before the first that does not fit are taken."""
        while self._left:
            count, refused = len(self._left), set[int]()
            with self._fabric.publisher(self._stream) as publisher:
                try:
                    publisher.publish_all(self._type, [(event.key, event.data) for event in self._left])
                except InvalidEventError as error:
                    count, refused = min(_indices(error), default=0), {0}
            self._publish(count)
            self._refuse(refused)

    def _publish(self, count: int) -> None:
        self.published += [event.key for event in self._left[:count]]
        del self._left[:count]

    def _refuse(self, indices: set[int]) -> bool:
        """Leave out the events at these indices. Return False if there are none."""
        refused = [event.key for index, event in enumerate(self._left) if index in indices]
        self.refused += refused
        self._left = [event for index, event in enumerate(self._left) if index not in indices]
        return bool(refused)


_WAYS: Final = (Offer.singly, Offer.together, Offer.in_bulk, Offer.in_bulk)


def offer(world: World, happening: Happening) -> None:
    """Offer events of a type in a Region, if it has a schema of it."""
    if happening.region in world.lost or happening.region not in world.registry.regions:
        return
    world.deployments += 1
    process = Process(world, f"offer {world.schedule.steps}", happening.region)
    type_ = TYPES[happening.number % len(TYPES)]
    try:
        schema = _newest(process, type_)
    except (EventFabricError, SimulatedCrash):
        schema = None
    if schema is not None:
        way = process.random.choice(_WAYS)
        tell(world, happening, way.__name__)
        _offer(process, type_, schema, way)
    world.deployments -= 1


def _newest(process: Process, type_: str) -> SchemaDocument | None:
    """Return the newest schema of a type that the process's Region has; None: it has none."""
    stream = deployed_stream(process.world)
    reader = SchemaReader(stream, process.ports.log_of(stream))
    newest = reader.index().newest(type_)
    return None if newest is None else reader.document(type_, newest)


def _offer(process: Process, type_: str, schema: SchemaDocument, way: Callable[[Offer], None]) -> None:
    world, random = process.world, process.random
    fabric = Fabric(
        world.topology,
        process.region,
        log_of=lambda stream, region: process.ports.at(region).log_of(stream),
        clock=process.clock,
        entropy=world.entropy,
        schemas=SchemaChecks(BuiltIn(type_, schema), is_closed=True),
        parallel_lanes=0,
        append_timeout_seconds=_TIMEOUT_SECONDS,
    )
    events = [
        Event(key=f"{process.name}.{number}", type=type_, data=_data(random, schema))
        for number in range(random.randint(1, _EVENTS_MAX))
    ]
    offered, failed = Offer(fabric, world.plan.stream, type_, events), ""
    try:
        way(offered)
    except (EventFabricError, SimulatedCrash) as error:
        failed = type(error).__name__
    process.tell(
        history.EventsOffered,
        region=process.region,
        how=way.__name__,
        of=type_,
        digest=schema.digest,
        events=tuple(history.OfferedEvent(event.key, json.dumps(event.data)) for event in events),
        refused=tuple(offered.refused),
        published=tuple(offered.published),
        failed=failed,
    )


def _data(random: Random, schema: SchemaDocument) -> object:
    """Return data that fits, more often than not, or that does not in one of several ways."""
    assert isinstance(schema.value, dict), "registering.py makes objects only"
    member, own = random.choice(sorted(schema.value["properties"].items()))
    [other] = _VALUES.keys() - {own["type"]}
    fitting: list[object] = [{}, {member: _VALUES[own["type"]]}]
    return random.choice([*fitting, *fitting, {member: _VALUES[other]}, {"unnamed": 7}, "no object"])


def _indices(error: InvalidEventError) -> set[int]:
    """Return which of the events that were given an error is about."""
    return {
        int(problem.path.removeprefix("events[").partition("]")[0])
        for problem in error.problems
        if problem.path.startswith("events[")
    }


def list_events(world: World) -> None:
    """Note the events of types with schemas that each Region's log has, once nothing fails any more."""
    stream = world.topology.stream(world.plan.stream)
    for region in world.plan.regions:
        log = world.cloud.log(stream.name, region)
        lanes = [
            Lane(Region(region), GENERATION_FIRST, LaneIndex(index))
            for index in range(stream.definition.lanes)
        ]
        events = tuple(event for lane in lanes for event in _listed(log, lane))
        if events:
            world.note(history.EventsListed, "world", region=region, events=events)


def _listed(log: Log, lane: Lane) -> Iterator[history.ListedEvent]:
    sequence = EMPTY_TAIL.sequence
    while records := log.read(lane, sequence, records_max=_PAGE_RECORDS).records:
        for event in (event for record in records for event in unpack(record) if event.type in TYPES):
            identity = parse_schema_uri(event.headers.get(DATA_SCHEMA))
            digest = "" if identity is None else identity.digest
            yield history.ListedEvent(event.key, event.type, digest, event.payload.content.decode())
        sequence = records[-1].tail.sequence


OFFERS: Final[dict[str, Callable[[World, Happening], None]]] = {"offer": offer}
