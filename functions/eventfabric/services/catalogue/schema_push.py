"""Registration of schemas: what would break others is refused, and the rest is put on top of a Region's lane.

A version is given by the place in the index, and the index by a conditional put. So no version is given twice, and two
who register at the same time are both registered, one on top of the other, or the later one hears why it cannot be.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from eventfabric.contracts.document import SCHEMA_BYTES_MAX, SchemaDocument
from eventfabric.errors import LogError, Problem, SchemaRefusedError
from eventfabric.limits import RECORD_EVENTS_MAX, SEQUENCE_MAX
from eventfabric.model import BatchId, Region, SchemaLane, SequenceNumber, record_at
from eventfabric.model.schema_index import SchemaChange, SchemaIndex, SchemaVersion
from eventfabric.ports import Clock, Entropy
from eventfabric.services.catalogue.on_top import put_on_top
from eventfabric.services.catalogue.schema_lane import SchemaReader
from eventfabric.version import VERSION
from eventfabric.wire.schema_record import INDEX_BYTES_MAX, batch_of, index_bytes

_AROUND_BYTES = 200
"""Most bytes of a record for a schema, beside its text and its type."""
assert 1 + SCHEMA_BYTES_MAX // _AROUND_BYTES < RECORD_EVENTS_MAX, "however small, schemas are never too many"

Documents = Mapping[str, SchemaDocument]
"""Schemas by event type."""
Earlier = Sequence[tuple[str, SchemaDocument]]
"""Schemas that a new one has to go together with, oldest first, each with a name for people, such as "version 2"."""
Compare = Callable[[str, SchemaDocument, Earlier], Sequence[Problem]]
"""Returns why a type's new schema does not go together with earlier versions; empty: it does."""


@dataclass(frozen=True)
class SchemaVerdict:
    """Judgement of schemas that are to be registered on top of an index."""

    of_all: Sequence[Problem]
    """Why they cannot be registered together."""
    of_types: Mapping[str, Sequence[Problem]]
    """Why that of a type cannot be registered, by type; those that can are left out."""

    @property
    def problems(self) -> list[Problem]:
        """All that stands against it: then none is registered."""
        return [*self.of_all, *(problem for own in self.of_types.values() for problem in own)]


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
    before_put: Callable[[], None] = lambda: None
    """Called before each put, after the reads that it is conditional on. What it raises keeps it from being made."""

    @property
    def region(self) -> Region:
        """The Region whose lane is written."""
        return self.reader.regions[0]

    def verdict(self, documents: Documents, index: SchemaIndex) -> SchemaVerdict:
        """Judge if schemas can be registered on top of an index. What is accepted counts for nothing."""
        compared = {} if self.accepted_because else documents
        of_types = {type_: self._problems_of(type_, schema, index) for type_, schema in compared.items()}
        of_all = list(self._too_many(documents, index))
        return SchemaVerdict(of_all, {type_: problems for type_, problems in of_types.items() if problems})

    def check(self, documents: Documents) -> dict[str, int]:
        """Return the number of each version that `register` would register, by type. SchemaRefusedError.

        Errors as SchemaReader.certain_index.
        """
        before = self.reader.certain_index()
        self._refuse(documents, before)
        after = self._after(documents, before)
        newest = {type_: after.newest(type_) for type_ in documents}
        return {
            type_: version.number
            for type_, version in newest.items()
            if version is not None and version is not before.newest(type_)
        }

    def register(self, documents: Documents) -> dict[str, SchemaVersion]:
        """Register the schemas that differ from their types' newest versions. Return these versions, by type.

        Many go into one record. What does not fit into one goes into several, and whoever repeats this after an
        interruption registers the rest.

        Raises:
            SchemaRefusedError: one would break others, or the index would be too large; none is registered.
            ContendedAppendError, OutcomeUnknownError: as put_on_top.
            UndecodableRecordError, FormatError: as SchemaReader.certain_index.
        """
        before = after = self.reader.certain_index()
        self._refuse(documents, before)
        wanted = {
            type_: schema for type_, schema in documents.items() if not _is_newest(before, type_, schema)
        }
        for part in _parts(wanted):
            after = self._put(part, before)
        registered = {type_: after.version_of(type_, schema.digest) for type_, schema in wanted.items()}
        return {type_: version for type_, version in registered.items() if version is not None}

    def _put(self, documents: Documents, before: SchemaIndex) -> SchemaIndex:
        """Register schemas in one record, and return the index that has them. `before`: as it was at first."""
        lane = SchemaLane.of(self.region, self.reader.name)

        def attempt() -> tuple[SchemaIndex] | None:
            own = self.reader.registered(self.region)
            index = self.reader.certain_index()  # if it is of a later record, the put finds its place taken
            self._refuse(documents, index)
            # What was registered since is there: by an earlier try, whoever has registered something on top of it.
            new = {
                type_: schema
                for type_, schema in documents.items()
                if not _is_newest(index, type_, schema) and not _is_since(before, index, type_, schema)
            }
            if not new:
                return (index,)
            now_ms = self.clock.now_ms()
            texts = {
                type_: schema
                for type_, schema in new.items()
                if index.version_of(type_, schema.digest) is None
            }
            for type_, schema in new.items():
                version = self._version(schema, own.tail.sequence, self._reason(type_, schema, index))
                index = index.with_schema(type_, version)
            change = SchemaChange(by=self.by, request_id=self.request_id, version=VERSION, at_ms=now_ms)
            batch = batch_of(
                replace(index, change=change),
                texts,
                BatchId(self.entropy.bytes(16)),
                stream=self.reader.name,
                source=self.reader.stream.source,
            )
            record = record_at(own.tail, lane, batch, now_ms=now_ms, retention_seconds=None)
            self.before_put()
            return (index,) if self.reader.log.append(record) is None else None

        return put_on_top(lane, attempt, clock=self.clock, entropy=self.entropy)

    def _refuse(self, documents: Documents, index: SchemaIndex) -> None:
        """Raise SchemaRefusedError with all that stands against registering schemas on top of an index."""
        problems = self.verdict(documents, index).problems
        if problems:
            raise SchemaRefusedError(problems, where=f"stream {self.reader.name}")

    def _version(self, schema: SchemaDocument, sequence: SequenceNumber, reason: str) -> SchemaVersion:
        """Return the version that a schema becomes now; the index gives it its number."""
        return SchemaVersion(
            number=0,
            digest=schema.digest,
            region=self.region,
            sequence=sequence,
            at_ms=self.clock.now_ms(),
            accepted_because=reason,
        )

    def _too_many(self, documents: Documents, index: SchemaIndex) -> Iterator[Problem]:
        """Yield that the index would have no room in a record. What has room stays there, and may come back."""
        if all(index.version_of(type_, schema.digest) for type_, schema in documents.items()):
            return
        size_bytes = index_bytes(self._after(documents, index))
        if size_bytes > INDEX_BYTES_MAX:
            allowed = f"at most {INDEX_BYTES_MAX:,}: fewer types with schemas, in more streams"
            yield Problem("schemas", f"{size_bytes:,} bytes for the index of all versions", allowed)

    def _after(self, documents: Documents, index: SchemaIndex) -> SchemaIndex:
        """Return an index with schemas on top, at its longest: their sequence is known only when they are put."""
        for type_, schema in documents.items():
            if not _is_newest(index, type_, schema):
                version = self._version(schema, SequenceNumber(SEQUENCE_MAX), self.accepted_because)
                index = index.with_schema(type_, version)
        return index

    def _problems_of(self, type_: str, schema: SchemaDocument, index: SchemaIndex) -> Sequence[Problem]:
        """Return why a type's schema does not go together with those before. One of these may come back at any time."""
        if index.version_of(type_, schema.digest) is not None:
            return ()
        earlier: list[tuple[str, SchemaDocument]] = []
        for own in index.binding(type_):
            name = f"version {own.number}"
            try:
                earlier.append((name, self.reader.document(type_, own)))
            except LogError as error:
                allowed = "its record put back (eventfabric lanes restore), or a reason to do without it"
                return [Problem(f"{type_!r:.140}", f"{name} that cannot be read ({error.reason})", allowed)]
        return self.compare(type_, schema, earlier) if earlier else ()

    def _reason(self, type_: str, schema: SchemaDocument, index: SchemaIndex) -> str:
        """Return the reason to keep with a version: none if it breaks nobody."""
        needed = self.accepted_because and self._problems_of(type_, schema, index)
        return self.accepted_because if needed else ""


def _is_newest(index: SchemaIndex, type_: str, schema: SchemaDocument) -> bool:
    newest = index.newest(type_)
    return newest is not None and newest.digest == schema.digest


def _is_since(before: SchemaIndex, index: SchemaIndex, type_: str, schema: SchemaDocument) -> bool:
    """Tell if a schema was registered after an index was read, for the first time or again."""
    known = index.version_of(type_, schema.digest)
    return known is not None and known != before.version_of(type_, schema.digest)


def _parts(documents: Documents) -> Iterator[Documents]:
    """Cut schemas into parts that each fit into one record, beside an index of usual size."""
    part: dict[str, SchemaDocument] = {}
    size_bytes = 0
    for type_, schema in documents.items():
        size = len(schema.content) + len(type_.encode()) + _AROUND_BYTES
        if part and size_bytes + size > SCHEMA_BYTES_MAX:
            yield part
            part, size_bytes = {}, 0
        part[type_] = schema
        size_bytes += size
    if part:
        yield part
