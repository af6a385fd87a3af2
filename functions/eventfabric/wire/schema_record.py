"""Codec of registered schemas: a record whose first event has the whole index, and the others the schemas it adds.

So the newest record of a lane says which versions there are, and each of them says which record has its text.
"""

from collections.abc import Iterator, Mapping, Sequence
from re import compile as regex
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from eventfabric import limits
from eventfabric.contracts.document import DIGEST_CHARACTERS, SCHEMA_BYTES_MAX, SchemaDocument
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
_is_region: Final = regex(rf"[a-z0-9-]{{1,{limits.REGION_CHARACTERS_MAX}}}").fullmatch
_WRONG: Final = (msgspec.MsgspecError, KeyError, IndexError, TypeError, ValueError, RecursionError)


class _Stored(
    msgspec.Struct,
    omit_defaults=True,
    rename={"digest": "d", "sequence": "s", "at_ms": "t", "region": "r", "accepted_because": "a"},
):
    """A version, as the index has it. Its members have short names there, because each record has all of them."""

    digest: Annotated[str, Meta(pattern=rf"^[A-Za-z0-9_-]{{{DIGEST_CHARACTERS}}}$")]
    sequence: Annotated[int, Meta(ge=0, le=limits.SEQUENCE_MAX)]
    at_ms: Annotated[int, Meta(ge=0, le=limits.MILLISECONDS_MAX)]
    region: str = ""
    """Region, if it is not that of the lane."""
    accepted_because: Annotated[str, Meta(max_length=REASON_CHARACTERS_MAX)] = ""


_Types = dict[Annotated[str, Meta(min_length=1, max_length=limits.TYPE_CHARACTERS_MAX)], list[_Stored]]


class _Change(msgspec.Struct):
    by: str
    request_id: str
    version: str
    at_ms: Annotated[int, Meta(ge=0, le=limits.MILLISECONDS_MAX)]


class _Index(msgspec.Struct):
    types: _Types
    change: _Change


def batch_of(
    index: SchemaIndex,
    added: Mapping[str, SchemaDocument],
    batch_id: BatchId,
    *,
    region: Region,
    stream: str,
    source: str,
) -> Batch:
    """Make the batch that registers schemas. RecordBoundsError: it is larger than a record may be.

    `index`: with the versions that are `added`, by type, in the record itself.
    """
    change = index.change
    assert change is not None, "whoever registers says who it is"
    types = {type_: [_stored(own, region) for own in versions] for type_, versions in index.types.items()}
    stored = _Index(types, _Change(change.by, change.request_id, change.version, change.at_ms))
    content = msgspec.json.encode(stored, order="sorted")
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
        types = {type_: tuple(_versions(versions, record)) for type_, versions in stored.types.items()}
        own = stored.change
        change = SchemaChange(by=own.by, request_id=own.request_id, version=own.version, at_ms=own.at_ms)
        return SchemaIndex(types=types, change=change)
    except _WRONG as error:
        reason = f"is no index of schemas that this version can read: {error!s:.200}"
        raise UndecodableRecordError(record.lane, record.sequence, reason) from error


def document_in(record: Record, type_: str, digest: str) -> SchemaDocument:
    """Return the schema of a type that a record registered. UndecodableRecordError: it is not there, or another is."""
    for event in unpack(record):
        content = event.payload.content
        if event.type == SCHEMA_TYPE and event.key == type_ and len(content) <= SCHEMA_BYTES_MAX:
            document = SchemaDocument(content)
            if document.digest == digest:
                return document
    reason = f"has no schema {digest} of type {type_!r:.140}"
    raise UndecodableRecordError(record.lane, record.sequence, reason)


def _stored(version: SchemaVersion, region: Region) -> _Stored:
    own = "" if version.region == region else version.region
    return _Stored(version.digest, version.sequence, version.at_ms, own, version.accepted_because)


def index_bytes(index: SchemaIndex, region: Region) -> int:
    """Return the size of an index as a record of that Region has it."""
    types = {type_: [_stored(own, region) for own in versions] for type_, versions in index.types.items()}
    return len(msgspec.json.encode(types))


def _versions(stored: Sequence[_Stored], record: Record) -> Iterator[SchemaVersion]:
    """Yield the registrations of a type, each with the number of its schema."""
    numbers: dict[str, int] = {}
    for own in stored:
        yield _version(own, numbers.setdefault(own.digest, len(numbers) + 1), record)


def _version(stored: _Stored, number: int, record: Record) -> SchemaVersion:
    if stored.region and not _is_region(stored.region):
        raise ValueError(f"r: found {stored.region!r:.60}, allowed: the name of a Region")
    return SchemaVersion(
        number=number,
        digest=stored.digest,
        region=Region(stored.region) if stored.region else record.lane.origin,
        sequence=SequenceNumber(stored.sequence),
        at_ms=stored.at_ms,
        accepted_because=stored.accepted_because,
    )
