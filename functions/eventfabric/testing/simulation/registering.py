"""Registrations of schemas in the simulation: several at once, that go together or do not, in a Region that is lost.

Each registers a schema of one of two types. Most name one more optional member, which breaks nobody. Some say what a
certain member is, and two of those exclude each other: whoever comes later must hear so.
"""

import json
from collections.abc import Callable, Iterator
from typing import Final

from eventfabric.contracts.document import SchemaDocument, read_schema
from eventfabric.errors import EventFabricError, SchemaRefusedError
from eventfabric.model import EMPTY_TAIL, Region, SchemaLane, StreamName
from eventfabric.services.catalogue.schema_comparison import comparison_of
from eventfabric.services.catalogue.schema_lane import SchemaReader
from eventfabric.services.catalogue.schema_push import Registration
from eventfabric.testing.memory.faults import SimulatedCrash
from eventfabric.testing.simulation import history_of_schemas as history
from eventfabric.testing.simulation.plan import Happening
from eventfabric.testing.simulation.process import Process
from eventfabric.testing.simulation.world import World

TYPES: Final = ("Placed", "Paid")
"""Types of which schemas are registered."""
_KINDS: Final = ("integer", "string")
_AGAIN_SECONDS: Final = 20.0


def register(world: World, happening: Happening) -> None:
    """Register a schema as a pipeline does: again as long as there is no answer."""
    world.deployments += 1
    schema = _schema(world, happening)
    type_ = TYPES[happening.number % len(TYPES)]
    while not _is_over(world, type_, schema):
        world.schedule.pause(_AGAIN_SECONDS)
    world.deployments -= 1


def register_both(world: World, happening: Happening) -> None:
    """Register two schemas of a type at the same time, which exclude each other."""
    for number in (happening.number | 2, happening.number | 2):
        own = Happening(0.0, happening.what, happening.region, number=number)
        world.schedule.spawn(f"register {number} {world.schedule.steps}", register, world, own)


def _schema(world: World, happening: Happening) -> SchemaDocument:
    world.stack_contents += 1
    number = world.stack_contents
    members: dict[str, object] = {f"member{number}": {"type": "integer"}}
    if happening.number & 2:
        members["kind"] = {"type": _KINDS[number % len(_KINDS)]}
    return read_schema(json.dumps({"type": "object", "properties": members}), where="-")


def _is_over(world: World, type_: str, schema: SchemaDocument) -> bool:
    """Ask once. Return True if there was an answer."""
    region = Region(world.plan.regions[0])
    while region in world.lost:
        world.schedule.wait(f"region/{region}")
    process = Process(world, f"register {world.schedule.steps}", region)
    stream, ports = world.topology.stream(world.plan.stream), process.ports
    try:
        registration = Registration(
            SchemaReader(stream, ports.log_of(stream)),
            comparison_of(stream),
            ports.clock,
            ports.entropy,
            by="pipeline",
            request_id=process.name,
        )
        added = registration.register({type_: schema})
    except SchemaRefusedError:
        return True
    except (EventFabricError, SimulatedCrash):
        return False
    for own in added.values():
        world.note(
            history.SchemaRegistered,
            process.name,
            region=region,
            of=type_,
            number=own.number,
            digest=own.digest,
        )
    return True


def list_schemas(world: World) -> None:
    """Note what each Region has of all registered schemas, once nothing fails any more."""
    stream = world.topology.stream(world.plan.stream)
    for table_region in world.plan.regions:
        log = world.cloud.log(stream.name, table_region)
        for region in world.plan.regions:
            lane = SchemaLane.of(Region(region), StreamName(stream.name))
            if log.tail(lane) != EMPTY_TAIL:
                world.note(
                    history.SchemasListed,
                    "world",
                    region=table_region,
                    lane=region,
                    versions=tuple(_listed(SchemaReader(stream, log), Region(region))),
                )


def _listed(reader: SchemaReader, region: Region) -> Iterator[history.ListedSchema]:
    for type_, versions in reader.registered(region).index.types.items():
        for own in versions:
            try:
                text = reader.document(type_, own).content.decode()
            except EventFabricError as error:
                text = f"cannot be read: {error}"
            yield history.ListedSchema(type_, own.number, own.digest, text)


REGISTERS: Final[dict[str, Callable[[World, Happening], None]]] = {
    function.__name__: function for function in (register, register_both)
}
