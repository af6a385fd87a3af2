"""Versions of a stream's schemas as one process knows them: read when first asked for, and for a digest that is new."""

from threading import Lock
from typing import Final

from eventfabric.copies import when_forked
from eventfabric.deadline import Moment
from eventfabric.errors import PortError, RefusedError, UndecodableRecordError
from eventfabric.model.schema_index import SchemaIndex
from eventfabric.ports import Clock
from eventfabric.services.catalogue.known import CATALOGUE_SECONDS, PAUSE_SECONDS
from eventfabric.services.catalogue.schema_lane import SchemaReader

_UNKNOWN_MAX: Final = 1_000
"""Most digests of which is remembered since when they are not known."""


class KnownVersions:
    """The versions of a stream's schemas. Threads may share it."""

    def __init__(self, reader: SchemaReader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._index = SchemaIndex()
        self._read_at: Moment | None = None
        self._failure: PortError | None = None
        self._unknown: dict[str, Moment] = {}
        self._begin()
        when_forked(self._begin)

    def _begin(self) -> None:
        self._lock = Lock()

    def number_of(self, type_: str, digest: str) -> int | None:
        """Return the version of a type that has a schema; None: it is not registered, or was not at the last read.

        PortError: the versions could not be read at the last try, `PAUSE_SECONDS` ago at most. What was read before
        holds for schemas that it knows.
        """
        version = self._index.version_of(type_, digest)
        if version is None:
            with self._lock:
                if self._is_due(digest):
                    self._read()
                if self._failure is not None:
                    raise self._failure.with_traceback(None)
            version = self._index.version_of(type_, digest)
        return None if version is None else version.number

    def is_latest(self, type_: str, digest: str) -> bool:
        """Tell if no version of a type comes after that of a schema: after one that is not registered, none does.

        PortError: as number_of.
        """
        number = self.number_of(type_, digest)
        return number is None or number == len(self._index.versions(type_))

    def _is_due(self, digest: str) -> bool:
        """Tell if a schema that is not known is worth a read: soon while it is new, later once a minute."""
        now = Moment.of(self._clock)
        if len(self._unknown) >= _UNKNOWN_MAX:
            self._unknown.clear()
        since = self._unknown.setdefault(digest, now)
        # It may have been registered a moment ago, and be on its way from another Region.
        is_soon = self._failure is not None or since.is_within(CATALOGUE_SECONDS, now)
        pause = PAUSE_SECONDS if is_soon else CATALOGUE_SECONDS
        return self._read_at is None or not self._read_at.is_within(pause, now)

    def _read(self) -> None:
        try:
            self._index = self._reader.index()
            self._failure = None
        except PortError as error:
            self._failure = error
        except UndecodableRecordError as error:  # not the fault of an event, and not for ever
            operation = f"read the versions of schemas of stream {self._reader.name}"
            self._failure = RefusedError(operation, str(error))
        self._read_at = Moment.of(self._clock)  # the pause counts from here, however long the read took
