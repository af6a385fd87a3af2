"""Schemas that a test registers in a fabric in memory."""

from collections.abc import Sequence
from dataclasses import replace

from eventfabric.contracts.document import SchemaDocument, read_schema
from eventfabric.errors import Problem
from eventfabric.model import Region
from eventfabric.model.schema_index import SchemaIndex
from eventfabric.ports import Log
from eventfabric.services.catalogue.schema_lane import SchemaReader
from eventfabric.services.catalogue.schema_push import Earlier, Registration
from eventfabric.topology import Topology
from tests.support.memory_fabric import HOME, STREAM, MemoryFabric


def schema(text: str) -> SchemaDocument:
    return read_schema(text, where="-")


FIRST, SECOND, THIRD = schema('{"type":"object"}'), schema('{"type":"array"}'), schema('{"type":"string"}')


def nothing_fits(type_: str, new: SchemaDocument, earlier: Earlier) -> Sequence[Problem]:
    return [Problem(type_, version, "no change") for version, _ in earlier]


def registration(
    fabric: MemoryFabric,
    *,
    by: str = "ci",
    region: Region = HOME,
    log: Log | None = None,
    topology: Topology | None = None,
    **settings: object,
) -> Registration:
    """Return what registers in a Region, of which any schema goes together with any other. `topology`: its own."""
    stream = (topology or fabric.topology).stream(STREAM)
    reader = SchemaReader(stream, log or fabric.ports(region).log_of(stream))
    plain = Registration(reader, lambda *_: (), fabric.clock, fabric.entropy, by=by, request_id=f"of-{by}")
    return replace(plain, **settings)  # type: ignore[arg-type] # settings of any kind


def index(fabric: MemoryFabric, region: Region = HOME, topology: Topology | None = None) -> SchemaIndex:
    """Return what a Region knows of the stream's schemas."""
    return registration(fabric, region=region, topology=topology).reader.index()


def in_regions(topology: Topology, *regions: Region) -> Topology:
    """Return a topology with its stream, and the fabric, in other Regions."""
    definition = topology.definition
    stream = replace(definition.streams[STREAM], regions=regions)
    section = replace(definition.fabric, regions=regions)
    return Topology(
        replace(definition, fabric=section, streams={**definition.streams, STREAM: stream}, subscriptions={})
    )
