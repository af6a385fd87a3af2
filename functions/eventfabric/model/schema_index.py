"""Index of schemas: which schema each version of a stream's event types has, and where its text is registered."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from eventfabric.model.identity import Region, SequenceNumber


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaVersion:
    """One version of a type's schema. Versions of a type are numbered from 1, in the order of their registration."""

    number: int
    digest: str
    """Digest of the schema's text; see contracts.document."""
    region: Region
    """Region whose lane has the text."""
    sequence: SequenceNumber
    """First sequence of the record that has the text."""
    at_ms: int
    """Time of the registration, in milliseconds since 1970."""
    accepted_because: str = ""
    """Reason for which a person accepted that it breaks others; empty: it breaks none, by the rules of its time."""


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
    """Versions of each type, oldest first."""
    change: SchemaChange | None = None
    """The newest registration; None: there was none."""

    @property
    def count(self) -> int:
        """Number of versions of all types."""
        return sum(map(len, self.types.values()))

    def versions(self, type_: str) -> tuple[SchemaVersion, ...]:
        """Return the versions of a type, oldest first; empty if it has none."""
        return self.types.get(type_, ())

    def newest(self, type_: str) -> SchemaVersion | None:
        """Return the newest version of a type; None if it has none."""
        versions = self.versions(type_)
        return versions[-1] if versions else None

    def version_of(self, type_: str, digest: str) -> SchemaVersion | None:
        """Return the version of a type that has a schema: the newest, if it was registered again; None: none has."""
        return next((own for own in reversed(self.versions(type_)) if own.digest == digest), None)

    def binding(self, type_: str) -> tuple[SchemaVersion, ...]:
        """Return the versions that a new one has to go together with, oldest first.

        Those before one that a person accepted in spite of what it breaks do not count any more.
        """
        versions = self.versions(type_)
        accepted = [place for place, own in enumerate(versions) if own.accepted_because]
        return versions[accepted[-1] :] if accepted else versions

    def with_version(self, type_: str, version: SchemaVersion) -> "SchemaIndex":
        """Return the index with one more version of a type."""
        return replace(self, types={**self.types, type_: (*self.versions(type_), version)})
