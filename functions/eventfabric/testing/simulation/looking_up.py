"""Consumers in the simulation that look up versions of schemas: by the digest that an event has, and by a number.

They live on from one look to the next, and go by the Regions of the definition that they were built with.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from eventfabric.errors import EventFabricError, LogError
from eventfabric.ports import Clock, Log
from eventfabric.services.catalogue.known import CATALOGUE_SECONDS
from eventfabric.services.catalogue.known_versions import KnownVersions
from eventfabric.services.catalogue.schema_lane import SchemaReader
from eventfabric.testing.memory.faults import SimulatedCrash
from eventfabric.testing.simulation import history_of_schemas as history
from eventfabric.testing.simulation.plan import Happening
from eventfabric.testing.simulation.process import Process
from eventfabric.testing.simulation.registry import Consumer, stream_in, texts_in
from eventfabric.testing.simulation.world import World

_LOOKS_MAX: Final = 4


def look_up(world: World, happening: Happening) -> None:
    """Look up some of the schemas that were registered, as a consumer in a Region does for its events."""
    region, registry = happening.region, world.registry
    if region in world.lost or region not in registry.regions or not registry.given:
        return
    world.deployments += 1
    process = Process(world, f"look_up {world.schedule.steps}", region)
    # As long as somebody uses it, nobody else does: it has a lock.
    consumer = registry.consumers.pop(region, None) if happening.number % 2 else None
    definitions = [own for own in registry.definitions if region in own]
    stream = world.topology.stream(world.plan.stream)
    consumer = consumer or _consumer(
        world, process.random.choice(definitions), process.ports.log_of(stream), process.clock
    )
    known = sorted(registry.given)
    try:
        _look_up(world, consumer, region, process.random.sample(known, min(len(known), _LOOKS_MAX)))
    except (EventFabricError, SimulatedCrash):
        pass  # the function gets the event again
    else:
        registry.consumers[region] = consumer
    world.deployments -= 1


def look_up_all(world: World) -> None:
    """Look up all schemas in each Region, once nothing fails any more: by each definition that there was."""
    stream = world.topology.stream(world.plan.stream)
    for region in world.registry.regions:
        for definition in dict.fromkeys(world.registry.definitions):
            if region in definition:
                log = world.cloud.log(stream.name, region)
                consumer = _consumer(world, definition, log, world.time)
                with suppress(EventFabricError):  # what cannot be read is listed so
                    _look_up(world, consumer, region, sorted(world.registry.given))


def _consumer(world: World, regions: tuple[str, ...], log: Log, clock: Clock) -> Consumer:
    reader = SchemaReader(stream_in(world.topology.stream(world.plan.stream), regions), log)
    return Consumer(regions, reader, KnownVersions(reader, clock))


def _look_up(world: World, consumer: Consumer, region: str, wanted: Iterable[tuple[str, str]]) -> None:
    regions = {*consumer.regions, *world.registry.named[region]}
    log = world.cloud.log(world.plan.stream, region)
    there = texts_in(log, world.plan.stream, regions)
    for type_, digest in wanted:
        number = consumer.versions.number_of(type_, digest)
        if number is None and (type_, digest) in there:  # it may have looked a moment before
            world.schedule.pause(2 * CATALOGUE_SECONDS)
            number = consumer.versions.number_of(type_, digest)
        world.note(
            history.SchemaLookedUp,
            f"look_up {region}",
            region=region,
            of=type_,
            digest=digest,
            number=number or 0,
            schema="" if number is None else _digest_of(consumer.reader, type_, number),
            there=(type_, digest) in there,
        )


def _digest_of(reader: SchemaReader, type_: str, number: int) -> str:
    """Return the digest of the schema that a version has; empty if its text has not come here."""
    own = next((own for own in reader.index().versions(type_) if own.number == number), None)
    try:
        return "" if own is None else reader.document(type_, own).digest
    except LogError:
        return ""


LOOKS: Final[dict[str, Callable[[World, Happening], None]]] = {"look_up": look_up}
