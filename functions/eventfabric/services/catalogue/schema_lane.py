"""Lanes of schemas: the newest index of a stream's schemas, and the text of each version."""

from collections.abc import Iterable
from dataclasses import dataclass

from eventfabric.contracts.document import SchemaDocument
from eventfabric.errors import MissingRecordError, UndecodableRecordError
from eventfabric.model import (
    EMPTY_TAIL,
    Region,
    SchemaLane,
    SequenceNumber,
    StreamName,
    Tail,
)
from eventfabric.model.schema_index import SchemaIndex, SchemaVersion
from eventfabric.ports import Log
from eventfabric.services.catalogue.lane import undecodable
from eventfabric.services.catalogue.regions import KnownRegions, known_regions
from eventfabric.stream_topology import StreamTopology
from eventfabric.wire.schema_record import document_in, index_of


@dataclass(frozen=True, slots=True)
class RegisteredSchemas:
    """The newest index in one Region's lane, and the tail of that lane."""

    index: SchemaIndex
    tail: Tail


class SchemaReader:
    """Reader of a stream's schemas, as far as they have come to the log's Region.

    One Region registers: the stream's first. If that becomes another one, the new one goes on from what it has of the
    former one's lane, also if that Region has left the stream. So the index after the most registrations is the newest.
    """

    def __init__(self, stream: StreamTopology, log: Log) -> None:
        self.stream = stream
        self.log = log
        self.name = StreamName(stream.name)
        self.regions = [Region(name) for name in stream.definition.regions]
        self._documents: dict[tuple[str, str], SchemaDocument] = {}

    def index(self) -> SchemaIndex:
        """Return the newest index (two consistent reads of one item for each Region); empty if nothing is registered.

        UndecodableRecordError: a newest record cannot be read by this version.
        """
        return self._newest(known_regions(self.log, self.stream))

    def certain_index(self) -> SchemaIndex:
        """Return the newest index, for whoever goes on from it.

        UndecodableRecordError, FormatError: it cannot be read, or a Region may have registered something of which
        nobody can read where it did.
        """
        known = known_regions(self.log, self.stream)
        if known.doubt is not None:
            raise known.doubt
        return self._newest(known)

    def _newest(self, known: KnownRegions) -> SchemaIndex:
        return newest_of(self.registered(region).index for region in known.regions)

    def registered(self, region: Region) -> RegisteredSchemas:
        """Return what one Region has registered, and where its lane goes on. UndecodableRecordError."""
        lane = SchemaLane.of(region, self.name)
        recent = self.log.recent(lane, records_max=1)
        if recent.unreadable:
            raise undecodable(lane, recent.unreadable[0], "no record is there")
        if not recent.records:
            return RegisteredSchemas(SchemaIndex(), EMPTY_TAIL)
        [record] = recent.records
        try:
            return RegisteredSchemas(index_of(record), record.tail)
        except UndecodableRecordError as error:
            raise undecodable(lane, record.sequence, error.reason) from error

    def document(self, type_: str, version: SchemaVersion) -> SchemaDocument:
        """Return the schema of a version (one read of one item).

        MissingRecordError: its record has not come here yet, or is lost. UndecodableRecordError: it has another one.
        """
        known = self._documents.get((type_, version.digest))
        if known is not None:
            return known
        lane = SchemaLane.of(version.region, self.name)
        before = SequenceNumber(version.sequence + 1)
        records = self.log.read(lane, version.sequence, records_max=1, before=before).records
        if not records:
            raise MissingRecordError(lane, version.sequence, f"the schema of {type_!r:.140} is not there")
        document = self._documents[type_, version.digest] = document_in(records[0], type_, version.digest)
        return document


def newest_of(indices: Iterable[SchemaIndex]) -> SchemaIndex:
    """Return the index after the most registrations; the first of those after as many."""
    return max(indices, key=lambda index: index.count, default=SchemaIndex())
