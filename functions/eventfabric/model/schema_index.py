"""Index of schemas: which schema each version of a stream's event types has, and where its text is registered.

A version is one schema, for good. One that is registered again, because its change was taken back, keeps its number:
whatever was published under it is of the same version as before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from eventfabric.model.identity import Region, SequenceNumber


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaVersion:
    """Version of a type's schema. Versions are numbered from 1, in the order in which they were registered first."""

    number: int
    digest: str
    """Digest of the schema's text; see contracts.document."""
    region: Region
    """Region whose lane has the text."""
    sequence: SequenceNumber
    """First sequence of the record that has the text."""
    at_ms: int
    """Time of its first registration, in milliseconds since 1970."""
    again_ms: int = 0
    """Time of its last registration, if it came back after another; 0: it did not."""
    accepted_because: str = ""
    """Reason for which a person accepted that it breaks others; empty: it breaks none, by the rules of its time."""

    @property
    def last_ms(self) -> int:
        """Time of its last registration, in milliseconds since 1970."""
        return self.again_ms or self.at_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaChange:
    """A registration of schemas: by whom, and when, in milliseconds since 1970."""

    by: str
    """Whoever registered them: the ARN of a stack or of a principal."""
    request_id: str
    version: str
    """Version of this library."""
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaIndex:
    """All versions of the schemas of a stream's types, and the registration that made it so."""

    types: Mapping[str, tuple[SchemaVersion, ...]] = field(default_factory=dict)
    """Versions of each type, in the order in which they were registered last."""
    count: int = 0
    """Number of registrations of all types that there ever were. The newest of several indexes has most."""
    change: SchemaChange | None = None
    """The newest registration; None: there was none."""

    def versions(self, type_: str) -> tuple[SchemaVersion, ...]:
        """Return the versions of a type by number; empty if it has none."""
        return tuple(sorted(self.types.get(type_, ()), key=lambda own: own.number))

    def newest(self, type_: str) -> SchemaVersion | None:
        """Return the version of a type that was registered last; None if it has none."""
        registered = self.types.get(type_, ())
        return registered[-1] if registered else None

    def version_of(self, type_: str, digest: str) -> SchemaVersion | None:
        """Return the version of a type that has a schema; None: none has."""
        return next((own for own in self.types.get(type_, ()) if own.digest == digest), None)

    def binding(self, type_: str) -> tuple[SchemaVersion, ...]:
        """Return the versions that a new one has to go together with, in the order in which they were registered last.

        Those before one that a person accepted in spite of what it breaks do not count any more, unless they came back
        after it.
        """
        registered = self.types.get(type_, ())
        accepted = max((own.number for own in registered if own.accepted_because), default=0)
        since = next((place for place, own in enumerate(registered) if own.number == accepted), 0)
        return tuple(own for place, own in enumerate(registered) if own.number >= accepted or place > since)

    def with_schema(self, type_: str, registered: SchemaVersion) -> "SchemaIndex":
        """Return the index with one more registration of a type, whose number follows from its schema."""
        known = self.version_of(type_, registered.digest)
        others = tuple(own for own in self.types.get(type_, ()) if own is not known)
        if known is None:
            version = replace(registered, number=len(others) + 1)
        else:
            # Later than the last time by any clock, so that it can be seen to have been registered since.
            version = replace(known, again_ms=max(registered.at_ms, known.last_ms + 1))
        return replace(self, types={**self.types, type_: (*others, version)}, count=self.count + 1)
