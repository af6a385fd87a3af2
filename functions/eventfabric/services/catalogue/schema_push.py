"""Registration of schemas: what would break others is refused, and the rest is put on top of a Region's lane.

A version is given by the place in the index, and the index by a conditional put. So no version is given twice, and two
who register at the same time are both registered, one on top of the other, or the later one hears why it cannot be.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from eventfabric.contracts.document import SCHEMA_BYTES_MAX, SchemaDocument
from eventfabric.errors import Problem, SchemaRefusedError
from eventfabric.model import BatchId, Region, SchemaLane, record_at
from eventfabric.model.schema_index import SchemaChange, SchemaIndex, SchemaVersion
from eventfabric.ports import Clock, Entropy
from eventfabric.services.catalogue.on_top import put_on_top
from eventfabric.services.catalogue.schema_lane import SchemaReader, newest_of
from eventfabric.version import VERSION
from eventfabric.wire.schema_record import batch_of

Documents = Mapping[str, SchemaDocument]
"""Schemas by event type."""
Earlier = Sequence[tuple[str, SchemaDocument]]
"""Schemas that a new one has to go together with, oldest first, each with a name for people, such as "version 2"."""
Compare = Callable[[str, SchemaDocument, Earlier], Sequence[Problem]]
"""Returns why a type's new schema does not go together with earlier versions; empty: it does."""


@dataclass(frozen=True)
class Registration:
    """A registration of schemas of one stream in its first Region: by whom, and the id of its request."""

    reader: SchemaReader
    compare: Compare
    clock: Clock
    entropy: Entropy
    by: str
    request_id: str
    accepted_because: str = ""
    """Reason for which a person accepts that a schema breaks others; empty: none may."""

    @property
    def region(self) -> Region:
        """The Region whose lane is written."""
        return self.reader.regions[0]

    def problems(self, documents: Documents) -> list[Problem]:
        """Return why schemas cannot be registered. Errors as SchemaReader."""
        return list(self._problems(documents, self.reader.index()))

    def check(self, documents: Documents) -> None:
        """Raise SchemaRefusedError if schemas cannot be registered. Errors as SchemaReader."""
        self._refuse(documents, self.reader.index())

    def register(self, documents: Documents) -> dict[str, SchemaVersion]:
        """Register the schemas that differ from their types' newest versions. Return the new versions, by type.

        Many go into one record. What does not fit into one goes into several, and whoever repeats this after an
        interruption registers the rest.

        Raises:
            SchemaRefusedError: one would break others; none is registered.
            RecordBoundsError: the index of all versions is too large for a record.
            ContendedAppendError, OutcomeUnknownError: as put_on_top.
            UndecodableRecordError: the newest record cannot be read by this version.
        """
        before = after = self.reader.index()
        self._refuse(documents, before)
        for part in _parts(documents):
            after = self._put(part)
        newest = {type_: after.versions(type_)[-1] for type_ in documents}
        return {
            type_: version
            for type_, version in newest.items()
            if version.number > len(before.versions(type_))
        }

    def _put(self, documents: Documents) -> SchemaIndex:
        """Register schemas in one record, and return the index that has them."""
        lane = SchemaLane.of(self.region, self.reader.name)

        def attempt() -> tuple[SchemaIndex] | None:
            own = self.reader.registered(self.region)
            others = [self.reader.registered(region).index for region in self.reader.regions[1:]]
            index = newest_of([own.index, *others])
            self._refuse(documents, index)
            new = {
                type_: schema for type_, schema in documents.items() if not _is_newest(index, type_, schema)
            }
            if not new:
                return (index,)
            now_ms = self.clock.now_ms()
            for type_, schema in new.items():
                version = SchemaVersion(
                    number=len(index.versions(type_)) + 1,
                    digest=schema.digest,
                    region=self.region,
                    sequence=own.tail.sequence,
                    at_ms=now_ms,
                    accepted_because=self._reason(type_, schema, index),
                )
                index = index.with_version(type_, version)
            change = SchemaChange(by=self.by, request_id=self.request_id, version=VERSION, at_ms=now_ms)
            batch = batch_of(
                replace(index, change=change),
                new,
                BatchId(self.entropy.bytes(16)),
                region=self.region,
                stream=self.reader.name,
                source=self.reader.stream.source,
            )
            record = record_at(own.tail, lane, batch, now_ms=now_ms, retention_seconds=None)
            return (index,) if self.reader.log.append(record) is None else None

        return put_on_top(lane, attempt, clock=self.clock, entropy=self.entropy)

    def _refuse(self, documents: Documents, index: SchemaIndex) -> None:
        """Raise SchemaRefusedError, unless somebody accepts what breaks others."""
        if self.accepted_because:
            return
        problems = list(self._problems(documents, index))
        if problems:
            raise SchemaRefusedError(problems, where=f"stream {self.reader.name}")

    def _problems(self, documents: Documents, index: SchemaIndex) -> Iterator[Problem]:
        for type_, schema in documents.items():
            yield from self._problems_of(type_, schema, index)

    def _problems_of(self, type_: str, schema: SchemaDocument, index: SchemaIndex) -> Sequence[Problem]:
        if _is_newest(index, type_, schema):
            return ()
        binding = index.binding(type_)
        earlier = [(f"version {own.number}", self.reader.document(type_, own)) for own in binding]
        return self.compare(type_, schema, earlier) if earlier else ()

    def _reason(self, type_: str, schema: SchemaDocument, index: SchemaIndex) -> str:
        """Return the reason to keep with a version: none if it breaks nobody."""
        needed = self.accepted_because and self._problems_of(type_, schema, index)
        return self.accepted_because if needed else ""


def _is_newest(index: SchemaIndex, type_: str, schema: SchemaDocument) -> bool:
    newest = index.newest(type_)
    return newest is not None and newest.digest == schema.digest


def _parts(documents: Documents) -> Iterator[Documents]:
    """Cut schemas into parts that each fit into one record, beside an index of usual size."""
    part: dict[str, SchemaDocument] = {}
    size_bytes = 0
    for type_, schema in documents.items():
        if part and size_bytes + len(schema.content) > SCHEMA_BYTES_MAX:
            yield part
            part, size_bytes = {}, 0
        part[type_] = schema
        size_bytes += len(schema.content)
    if part:
        yield part
