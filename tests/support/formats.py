"""Formats that a stream requires, as if a later version had raised them."""

from dataclasses import replace

from eventfabric.formats import OWN_FORMATS, Formats
from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.model.catalogue import Declaration, StreamFacts
from eventfabric.services.catalogue.declare import declare
from eventfabric.services.catalogue.lane import newest
from tests.support.memory_fabric import HOME, MemoryFabric

LATER = Formats(OWN_FORMATS.reads + 1, OWN_FORMATS.writes + 1)
"""The formats that a later version knows."""


def require(fabric: MemoryFabric, formats: Formats, *, region: Region = HOME) -> None:
    """Declare that the fabric's stream requires these formats in a Region, as version 9.0 would."""

    def raised(read: Declaration | None) -> Declaration:
        assert read is not None
        facts = replace(
            read.stream, reads_required=formats.reads, writes_required=formats.writes, raised_with="9.0"
        )
        return read.with_stream(facts, replace(read.change, kind="formats raised", request_id="raise"))

    stream, ports = fabric.stream, fabric.ports(region)
    lane = DeclarationLane.of(region, StreamName(stream.name))
    declare(
        ports.log_of(stream), lane, raised, clock=ports.clock, entropy=ports.entropy, source=stream.source
    )
    fabric.cloud.replicate()


def stream_of(fabric: MemoryFabric, region: Region = HOME) -> StreamFacts:
    """Return what a Region declares of the fabric's stream."""
    known = newest(
        fabric.ports(region).log_of(fabric.stream),
        DeclarationLane.of(region, StreamName(fabric.stream.name)),
    )
    assert known is not None
    return known.declaration.stream
