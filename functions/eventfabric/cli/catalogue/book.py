"""Book: everything that a description of a fabric says, whichever form it then takes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from re import compile as regex
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from eventfabric.cli.catalogue.examples import Example, example_of
from eventfabric.contracts.document import SchemaDocument
from eventfabric.contracts.identity import SchemaIdentity
from eventfabric.contracts.keywords import JsonSchema
from eventfabric.definition.sections import Deprecation
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology

if TYPE_CHECKING:
    from eventfabric.topology import Topology

Fits: TypeAlias = Callable[[SchemaDocument, SchemaIdentity], Callable[[Any], bool]]
"""Makes what tells if some data may be published under a type's schema."""
_NOT_PLAIN: Final = regex(r"[^A-Za-z0-9.-]")


def plain_key(text: str) -> str:
    """Return a text as a key of letters, digits, `.`, `-` and `_`. No two texts have the same key."""
    return _NOT_PLAIN.sub(lambda match: "".join(f"_{byte:02X}" for byte in match[0].encode()), text)


@dataclass(frozen=True, kw_only=True)
class DescribedVersion:
    """One version of a type's schema."""

    document: SchemaDocument
    number: int | None = None
    """Number in the registry; None: it stands in the folder, and nobody asked if it is registered."""
    at_ms: int = 0
    """Time at which it was registered last, in milliseconds since 1970; 0: it is not known."""
    by: str = ""
    accepted_because: str = ""
    """Reason for which a person registered it in spite of what it breaks."""

    @property
    def schema(self) -> JsonSchema:
        """The schema."""
        return self.document.value


@dataclass(frozen=True, kw_only=True)
class DescribedType:
    """An event type of a stream, with its versions, the one in force last. Without a schema it has none."""

    stream: str
    name: str
    versions: tuple[DescribedVersion, ...] = ()
    compatibility: str = ""
    deprecation: Deprecation | None = None
    subscriptions: tuple[SubscriptionTopology, ...] = ()
    """Subscriptions that get its events."""
    example: Example | None = None
    """Data of an invented event that fits the newest version; None: none could be made."""

    @property
    def key(self) -> str:
        """Key of the type, unique in the fabric."""
        return f"{plain_key(self.stream)}.{plain_key(self.name)}"

    @property
    def newest(self) -> DescribedVersion | None:
        """Version that producers publish by now; None: there is no schema."""
        return self.versions[-1] if self.versions else None

    @property
    def title(self) -> str:
        """Title that the newest schema gives; else the name."""
        return self._text("title") or self.name

    @property
    def description(self) -> str:
        """Description that the newest schema gives."""
        return self._text("description")

    def _text(self, keyword: str) -> str:
        schema = None if self.newest is None else self.newest.schema
        text = schema.get(keyword) if isinstance(schema, dict) else None
        return text if isinstance(text, str) else ""


@dataclass(frozen=True, kw_only=True)
class DescribedStream:
    """A stream with its types and subscriptions."""

    topology: StreamTopology
    types: tuple[DescribedType, ...]
    publishers: tuple[SubscriptionTopology, ...] = ()
    """Subscriptions whose handlers publish into it."""

    @property
    def name(self) -> str:
        """Name of the stream."""
        return self.topology.name

    @property
    def sources(self) -> dict[str, str]:
        """Who publishes: sources of events, and whom to ask; the first is that of a producer who names none."""
        return {self.topology.source: "", **self.topology.definition.sources}

    @property
    def subscriptions(self) -> tuple[SubscriptionTopology, ...]:
        """Subscriptions of the stream."""
        return self.topology.subscriptions


@dataclass(frozen=True, kw_only=True)
class Book:
    """A fabric, described."""

    fabric: str
    regions: tuple[str, ...]
    owner: str = ""
    streams: tuple[DescribedStream, ...] = ()
    is_registered: bool = False
    """Versions are those of the registry, and subscriptions those that are declared; else all is as in the files."""
    owners: Mapping[str, str] = field(default_factory=dict)
    """Who deploys a subscription, by its name, where that is another than the fabric's owner."""

    def owner_of(self, subscription: str) -> str:
        """Return who deploys a subscription; empty: nobody has said so."""
        return self.owners.get(subscription, self.owner)

    def stream(self, name: str) -> DescribedStream:
        """Return the stream of that name, which must be in it."""
        return next(stream for stream in self.streams if stream.name == name)


def book_of(
    topology: "Topology",
    streams: Sequence[StreamTopology],
    versions: Mapping[str, Mapping[str, Sequence[DescribedVersion]]],
    *,
    fits: Fits,
    is_registered: bool = False,
    owners: Mapping[str, str] | None = None,
) -> Book:
    """Describe a fabric.

    Args:
        topology: the fabric as it is defined.
        streams: its streams, with all subscriptions that are to be described.
        versions: those of each type, by the stream's name and the type, the one in force last.
        fits: makes what tells if some data may be published under a schema.
        is_registered: these are the registry's.
        owners: who deploys a subscription, by its name.
    """
    everybody = [subscription for stream in streams for subscription in stream.subscriptions]
    return Book(
        fabric=topology.fabric,
        regions=topology.regions,
        owner=topology.definition.fabric.owner or "",
        streams=tuple(
            DescribedStream(
                topology=stream,
                types=_types(stream, versions.get(stream.name, {}), fits),
                publishers=tuple(own for own in everybody if stream.name in own.definition.publishes),
            )
            for stream in streams
        ),
        is_registered=is_registered,
        owners=owners or {},
    )


def _types(
    stream: StreamTopology, versions: Mapping[str, Sequence[DescribedVersion]], fits: Fits
) -> tuple[DescribedType, ...]:
    """Return the types of a stream that anybody names: a schema, the definition, or a subscription."""
    definition = stream.definition
    named = {name for own in stream.subscriptions for name in own.definition.types or ()}
    return tuple(
        DescribedType(
            stream=stream.name,
            name=name,
            versions=tuple(versions.get(name, ())),
            compatibility=str(definition.compatibility_of(name)),
            deprecation=definition.types[name].deprecated if name in definition.types else None,
            subscriptions=tuple(
                own for own in stream.subscriptions if name in (own.definition.types or (name,))
            ),
            example=_example(stream.name, name, versions.get(name, ()), fits),
        )
        for name in sorted(named | versions.keys() | definition.types.keys())
    )


def _example(stream: str, name: str, versions: Sequence[DescribedVersion], fits: Fits) -> Example | None:
    if not versions:
        return None
    document = versions[-1].document
    return example_of(document.value, fits(document, SchemaIdentity(stream, name, document.digest)))
