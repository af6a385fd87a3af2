"""Regions that a stream is in, or was in once, as far as they are declared: what they have registered still counts."""

from dataclasses import dataclass, replace

from eventfabric.errors import FormatError, UndecodableRecordError
from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.model.catalogue import StreamFacts
from eventfabric.ports import Log
from eventfabric.services.catalogue.lane import newest, readable_history
from eventfabric.stream_topology import StreamTopology

_Unread = UndecodableRecordError | FormatError


@dataclass(frozen=True, slots=True)
class KnownRegions:
    """All Regions of a stream that are known, those of its definition first.

    `doubt`: why there may be more: a Region of the stream has declared something that cannot be read. None: there are
    none.
    """

    regions: tuple[Region, ...]
    doubt: _Unread | None = None


def known_regions(log: Log, stream: StreamTopology) -> KnownRegions:
    """Return all Regions that any of them names in what it has declared last, as far as that has come to the log.

    One read of one item for each. Of a Region whose newest declaration cannot be read, the last one that can be counts.
    """
    known = dict.fromkeys(map(Region, (*stream.definition.regions, *stream.former)))
    doubt: _Unread | None = None
    waiting = list(known)
    while waiting:
        region = waiting.pop(0)
        facts, error = _facts(log, DeclarationLane.of(region, StreamName(stream.name)))
        if (
            region in stream.definition.regions
        ):  # of those that have left, the others declare all that they knew
            doubt = doubt or error
        named = map(Region, (*facts.regions, *facts.former_regions) if facts is not None else ())
        waiting += (new := dict.fromkeys(name for name in named if name not in known))
        known |= new
    return KnownRegions(tuple(known), doubt)


def with_former(stream: StreamTopology, log: Log) -> StreamTopology:
    """Return a stream that knows the Regions in which it was once: see known_regions."""
    regions = known_regions(log, stream).regions
    return replace(stream, former=tuple(own for own in regions if own not in stream.definition.regions))


def _facts(log: Log, lane: DeclarationLane) -> tuple[StreamFacts | None, _Unread | None]:
    """Return what a Region declares of a stream; beside it, why that is not the newest."""
    try:
        declared = newest(log, lane)
    except FormatError as error:
        return None, error
    except UndecodableRecordError as error:
        before = next(readable_history(log, lane), None)
        return None if before is None else before.stream, error
    return None if declared is None else declared.declaration.stream, None
