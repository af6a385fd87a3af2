"""Observed: what is declared of a stream, compared with what an observation saw flow through it."""

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from enum import StrEnum

from eventfabric.contracts.identity import parse_schema_uri
from eventfabric.services.operations.observation import Observation, Occurrences
from eventfabric.wire.envelopes import Envelope


class Mismatch(StrEnum):
    """A difference between what is declared and what flows. Its value is what people read."""

    UNDECLARED_TYPE = "nobody declared this type"
    SILENT_TYPE = "declared, and no event of it was seen"
    UNDECLARED_SOURCE = "nobody declared this source"
    IDLE_SUBSCRIPTION = "subscribes, and no event of its types was seen"
    UNREGISTERED_SCHEMA = "events name a schema that is not registered"
    DEPRECATED_TYPE = "deprecated, and still published"


@dataclass(frozen=True, kw_only=True)
class DeclaredTypes:
    """Declared facts of a stream, as far as events can be compared with it."""

    types: Set[str]
    """Types that have a schema, or of which the definition or a subscription says something."""
    deprecated: Set[str]
    sources: Set[str]
    subscriptions: Mapping[str, Set[str] | None]
    """Types that each subscription asks for by name; None: it gets all."""
    is_registered: Callable[[str, str], bool] | None = None
    """Tells if a schema of a type is registered, by its digest; None: nobody knows."""


@dataclass(frozen=True, slots=True)
class ObservedMismatch:
    """One difference: of which kind, what it is about, and the events that show it."""

    kind: Mismatch
    about: str
    occurrences: Occurrences | None = None
    sources: tuple[str, ...] = ()


def mismatches(
    observation: Observation, declared: DeclaredTypes, *, stream: str
) -> Iterator[ObservedMismatch]:
    """Yield every difference of a stream, those that events show first."""
    by_type = _together(observation, lambda envelope: envelope.type)
    by_source = _together(observation, lambda envelope: envelope.source)
    for type_, seen in by_type.items():
        if type_ not in declared.types:
            yield _of_type(Mismatch.UNDECLARED_TYPE, observation, type_, seen)
        if type_ in declared.deprecated:
            yield _of_type(Mismatch.DEPRECATED_TYPE, observation, type_, seen)
    for source, seen in by_source.items():
        if source not in declared.sources:
            yield ObservedMismatch(Mismatch.UNDECLARED_SOURCE, source, seen)
    yield from _unregistered(observation, declared, stream)
    for type_ in sorted(declared.types - by_type.keys()):
        yield ObservedMismatch(Mismatch.SILENT_TYPE, type_)
    for name, types in declared.subscriptions.items():
        if types is not None and types.isdisjoint(by_type):
            yield ObservedMismatch(Mismatch.IDLE_SUBSCRIPTION, name)


def sources_of(observation: Observation, type_: str) -> tuple[str, ...]:
    """Return the sources that publish a type, the last one first."""
    of_type = {own.source: seen.last_ms for own, seen in observation.occurrences.items() if own.type == type_}
    return tuple(sorted(of_type, key=lambda source: (-of_type[source], source)))


def occurrences_of(observation: Observation, type_: str) -> Occurrences | None:
    """Return all events of a type that were seen; None: none was."""
    return _together(observation, lambda envelope: envelope.type).get(type_)


def _of_type(kind: Mismatch, observation: Observation, type_: str, seen: Occurrences) -> ObservedMismatch:
    return ObservedMismatch(kind, type_, seen, sources_of(observation, type_))


def _unregistered(
    observation: Observation, declared: DeclaredTypes, stream: str
) -> Iterator[ObservedMismatch]:
    if declared.is_registered is None:
        return
    for envelope, seen in observation.occurrences.items():
        if not envelope.schema:
            continue
        identity = parse_schema_uri(envelope.schema)
        is_own = identity is not None and (identity.stream, identity.type) == (stream, envelope.type)
        if identity is None or not is_own or not declared.is_registered(envelope.type, identity.digest):
            about = f"{envelope.type}: {envelope.schema}"
            yield ObservedMismatch(Mismatch.UNREGISTERED_SCHEMA, about, seen, (envelope.source,))


def _together(observation: Observation, part_of: Callable[[Envelope], str]) -> dict[str, Occurrences]:
    """Add up occurrences by a part of their envelopes."""
    together: dict[str, Occurrences] = {}
    for envelope, seen in observation.occurrences.items():
        whole = together.setdefault(part_of(envelope), Occurrences())
        whole.count += seen.count
        whole.first_ms = min(whole.first_ms or seen.first_ms, seen.first_ms)
        whole.last_ms = max(whole.last_ms, seen.last_ms)
    return together
