"""Reading of what a catalogue describes: the project's files, or what a Region has registered and declares."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventfabric.cli.catalogue.book import Book, DescribedVersion, book_of
from eventfabric.contracts.checks import SchemaCheck
from eventfabric.contracts.document import SchemaDocument
from eventfabric.contracts.folder import SchemaFolder
from eventfabric.contracts.identity import SchemaIdentity
from eventfabric.errors import MissingExtraError
from eventfabric.services.catalogue.schema_lane import SchemaReader
from eventfabric.settings import definition_at
from eventfabric.topology import Topology

if TYPE_CHECKING:
    from eventfabric.cli.connection import Connection
    from eventfabric.model.schema_index import SchemaIndex
    from eventfabric.stream_topology import StreamTopology


def book_of_files(definition: Path, only: str | None = None) -> Book:
    """Describe the fabric of a definition and of the schemas beside it. DefinitionError, InvalidSchemaError."""
    topology = Topology(definition_at(definition))
    folder = SchemaFolder.beside(definition)
    documents = {} if folder is None else folder.documents()
    versions = {
        stream: {name: [DescribedVersion(document=document)] for name, document in own.items()}
        for stream, own in documents.items()
    }
    streams = list(topology.streams.values()) if only is None else [topology.stream(only)]
    return book_of(topology, streams, versions, fits=_fits)


def book_of_region(connection: "Connection", only: str | None = None) -> Book:
    """Describe what a Region has registered and declares: one read for each version and stream. Errors of ports."""
    streams = connection.streams_as_declared(only, retired=False)
    ports = connection.ports()
    owners: dict[str, str] = {}
    versions: dict[str, dict[str, list[DescribedVersion]]] = {}
    for stream in streams:
        versions[stream.name] = _registered(SchemaReader(stream, ports.log_of(stream)))
        owners |= _owners(connection, stream)
    return book_of(connection.topology, streams, versions, fits=_fits, is_registered=True, owners=owners)


def indices_of_region(connection: "Connection", only: str | None = None) -> "dict[str, SchemaIndex]":
    """Return the index of each stream's schemas in a Region, without any text. Errors of ports."""
    ports = connection.ports()
    return {
        stream.name: SchemaReader(stream, ports.log_of(stream)).index() for stream in connection.streams(only)
    }


def _registered(reader: SchemaReader) -> dict[str, list[DescribedVersion]]:
    index = reader.index()
    return {
        name: [
            DescribedVersion(
                document=reader.document(name, version),
                number=version.number,
                at_ms=version.last_ms,
                accepted_because=version.accepted_because,
            )
            for version in own
        ]
        for name, own in index.types.items()
    }


def _owners(connection: "Connection", stream: "StreamTopology") -> dict[str, str]:
    """Return who deploys the subscriptions of a stream that others than the fabric's owner deploy."""
    usual = connection.topology.definition.fabric.owner or ""
    facts = {own.name: connection.declared.facts_of(own) for own in stream.subscriptions}
    return {
        name: own.owner for name, own in facts.items() if own is not None and own.owner not in ("", usual)
    }


def _fits(document: SchemaDocument, identity: SchemaIdentity) -> Callable[[Any], bool]:
    """Return what tells if some data may be published under a schema, as who publishes it does. MissingExtraError."""
    import msgspec

    try:
        check = SchemaCheck(document, identity, is_closed=True)
    except MissingExtraError as error:
        user = "a catalogue of types with schemas, for its examples,"
        raise MissingExtraError(user, error.package, extra=error.extra) from error
    return lambda data: not check.problems(msgspec.json.encode(data))
