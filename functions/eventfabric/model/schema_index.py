"""Index of schemas: which schema each version of a stream's event types has, and where its text is registered.

A version is one schema, for good. One that is registered again, because its change was taken back, keeps its number:
whatever was published under it is of the same version as before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from eventfabric.model.identity import Region, SequenceNumber


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaVersion:
    """A registration of one version of a type's schema. Versions are numbered from 1, in the order of the first one."""

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
    """Registrations of each type, oldest first. Those of one schema have the same number."""
    change: SchemaChange | None = None
    """The newest registration; None: there was none."""

    @property
    def count(self) -> int:
        """Number of registrations of all types."""
        return sum(map(len, self.types.values()))

    def versions(self, type_: str) -> tuple[SchemaVersion, ...]:
        """Return the versions of a type by number, each as it was registered first; empty if it has none."""
        first: dict[int, SchemaVersion] = {}
        for own in self.types.get(type_, ()):
            first.setdefault(own.number, own)
        return tuple(first.values())

    def newest(self, type_: str) -> SchemaVersion | None:
        """Return the version of a type that was registered last; None if it has none."""
        registered = self.types.get(type_, ())
        return registered[-1] if registered else None

    def version_of(self, type_: str, digest: str) -> SchemaVersion | None:
        """Return the version of a type that has a schema; None: none has."""
        return next((own for own in self.types.get(type_, ()) if own.digest == digest), None)

    def binding(self, type_: str) -> tuple[SchemaVersion, ...]:
        """Return the versions that a new one has to go together with, in the order in which they were registered last.

        Those before one that a person accepted in spite of what it breaks do not count any more.
        """
        registered = self.types.get(type_, ())
        accepted = [place for place, own in enumerate(registered) if own.accepted_because]
        last = {own.number: own for own in reversed(registered[accepted[-1] if accepted else 0 :])}
        return tuple(reversed(last.values()))

    def with_schema(self, type_: str, registered: SchemaVersion) -> "SchemaIndex":
        """Return the index with one more registration of a type, whose number follows from its schema."""
        known = self.version_of(type_, registered.digest)
        if known is None:
            version = replace(registered, number=len(self.versions(type_)) + 1)
        else:
            version = replace(known, at_ms=registered.at_ms, accepted_because="")
        return replace(self, types={**self.types, type_: (*self.types.get(type_, ()), version)})
