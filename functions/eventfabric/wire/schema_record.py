"""Codec of registered schemas: a record whose first event has the whole index, and the others the schemas it adds.

So the newest record of a lane says which versions there are, and each of them says which record has its text.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from eventfabric import limits
from eventfabric.contracts.document import DIGEST_CHARACTERS, SCHEMA_BYTES_MAX, SchemaDocument, digest_of
from eventfabric.errors import UndecodableRecordError
from eventfabric.model import Batch, BatchId, Record, Region, SchemaLane, SequenceNumber
from eventfabric.model.schema_index import SchemaChange, SchemaIndex, SchemaVersion
from eventfabric.wire.batch import batch_of_rows
from eventfabric.wire.payload_codec import Row, unpack

INDEX_TYPE: Final = "eventfabric.schemas"
"""Type of the event that has the index."""
SCHEMA_TYPE: Final = "eventfabric.schema"
"""Type of an event that has a schema. Its key is the type that the schema is for."""
REASON_CHARACTERS_MAX: Final = 200
INDEX_BYTES_MAX: Final = limits.RECORD_PAYLOAD_BYTES_MAX - SCHEMA_BYTES_MAX - 8 * 1024
"""Most bytes of an index: a record holds it beside the largest schema, or as much of smaller ones."""
_JSON: Final = 1
_WRONG: Final = (msgspec.MsgspecError, KeyError, IndexError, TypeError, ValueError, RecursionError)


class _Stored(
    msgspec.Struct,
    omit_defaults=True,
    rename={
        "digest": "d",
        "sequence": "s",
        "at_ms": "t",
        "number": "n",
        "region": "r",
        "accepted_because": "a",
        "again_ms": "l",
    },
):
    """A version, as the index has it. Its members have short names there, because each record has all of them."""

    digest: Annotated[str, Meta(pattern=rf"^[A-Za-z0-9_-]{{{DIGEST_CHARACTERS}}}$")]
    sequence: Annotated[int, Meta(ge=0, le=limits.SEQUENCE_MAX)]
    at_ms: Annotated[int, Meta(ge=0, le=limits.MILLISECONDS_MAX)]
    number: Annotated[int, Meta(ge=0)] = 0
    """Number of the version; 0: as its place in the list says."""
    region: Annotated[int, Meta(ge=0)] = 0
    """Place of its Region in the index's list."""
    accepted_because: Annotated[str, Meta(max_length=REASON_CHARACTERS_MAX)] = ""
    again_ms: Annotated[int, Meta(ge=0, le=limits.MILLISECONDS_MAX)] = 0


_Types = dict[Annotated[str, Meta(min_length=1, max_length=limits.TYPE_CHARACTERS_MAX)], list[_Stored]]


class _Change(msgspec.Struct):
    by: str
    request_id: str
    version: str
    at_ms: Annotated[int, Meta(ge=0, le=limits.MILLISECONDS_MAX)]


class _Versions(msgspec.Struct):
    types: _Types
    regions: list[Annotated[str, Meta(pattern=rf"^[a-z0-9-]{{1,{limits.REGION_CHARACTERS_MAX}}}$")]]
    """Regions whose lanes have the texts, that of most versions first."""
    count: Annotated[int, Meta(ge=0)]


class _Index(_Versions):
    change: _Change


def batch_of(
    index: SchemaIndex,
    added: Mapping[str, SchemaDocument],
    batch_id: BatchId,
    *,
    stream: str,
    source: str,
) -> Batch:
    """Make the batch that registers schemas. RecordBoundsError: it is larger than a record may be.

    `index`: with the versions that are `added`, by type, in the record itself.
    """
    change = index.change
    assert change is not None, "whoever registers says who it is"
    own = _stored(index)
    by = _Change(change.by, change.request_id, change.version, change.at_ms)
    content = msgspec.json.encode(_Index(own.types, own.regions, own.count, by), order="sorted")
    time = change.at_ms * 1000
    rows: list[Row] = [(change.request_id, INDEX_TYPE, stream, time, source, {}, _JSON, content)]
    rows += [
        (f"{change.request_id}/{number}", SCHEMA_TYPE, type_, time, source, {}, _JSON, document.content)
        for number, (type_, document) in enumerate(added.items())
    ]
    return batch_of_rows(batch_id, rows)


def index_of(record: Record) -> SchemaIndex:
    """Return the index that a record has. UndecodableRecordError: this version cannot read it, or it has none."""
    try:
        first = unpack(record)[0]
        if first.type != INDEX_TYPE or not isinstance(record.lane, SchemaLane):
            raise ValueError(f"its first event is of type {first.type!r:.60}")
        stored = msgspec.json.decode(first.payload.content, type=_Index)
        types = {type_: _versions(versions, stored.regions) for type_, versions in stored.types.items()}
        own = stored.change
        change = SchemaChange(by=own.by, request_id=own.request_id, version=own.version, at_ms=own.at_ms)
        return SchemaIndex(types=types, count=stored.count, change=change)
    except _WRONG as error:
        reason = f"is no index of schemas that this version can read: {error!s:.200}"
        raise UndecodableRecordError(record.lane, record.sequence, reason) from error


def document_in(record: Record, type_: str, digest: str) -> SchemaDocument:
    """Return the schema of a type that a record registered. UndecodableRecordError: it is not there, or another is."""
    for event in unpack(record):
        content = event.payload.content
        is_named = event.type == SCHEMA_TYPE and event.key == type_ and len(content) <= SCHEMA_BYTES_MAX
        if is_named and digest_of(content) == digest:
            return SchemaDocument(content)
    reason = f"has no schema {digest} of type {type_!r:.140}"
    raise UndecodableRecordError(record.lane, record.sequence, reason)


def index_bytes(index: SchemaIndex) -> int:
    """Return the size of an index in a record, whichever Region writes that."""
    return len(msgspec.json.encode(_stored(index)))


def _stored(index: SchemaIndex) -> _Versions:
    counts = Counter(own.region for versions in index.types.values() for own in versions)
    regions = sorted(counts, key=lambda region: (-counts[region], region))
    places = {region: place for place, region in enumerate(regions)}
    types = {
        type_: [
            _Stored(
                own.digest,
                own.sequence,
                own.at_ms,
                own.number if own.number != place else 0,
                places[own.region],
                own.accepted_because,
                own.again_ms,
            )
            for place, own in enumerate(versions, 1)
        ]
        for type_, versions in index.types.items()
    }
    return _Versions(types, [str(region) for region in regions], index.count)


def _versions(stored: Sequence[_Stored], regions: Sequence[str]) -> tuple[SchemaVersion, ...]:
    """Return the versions of a type. ValueError, IndexError: they are not whole."""
    versions = tuple(
        SchemaVersion(
            number=own.number or place,
            digest=own.digest,
            region=Region(regions[own.region]),
            sequence=SequenceNumber(own.sequence),
            at_ms=own.at_ms,
            again_ms=own.again_ms,
            accepted_because=own.accepted_because,
        )
        for place, own in enumerate(stored, 1)
    )
    numbers = sorted(own.number for own in versions)
    if numbers != list(range(1, len(numbers) + 1)) or len({own.digest for own in versions}) < len(numbers):
        raise ValueError(f"n: found {numbers!s:.60}, allowed: each version once, from 1 on")
    return versions
