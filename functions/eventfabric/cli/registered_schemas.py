"""Registered schemas, as a command asks for them: by stream, type and version."""

from typing import TYPE_CHECKING

import typer

from eventfabric.cli.connection import Connection
from eventfabric.cli.exit_codes import NOT_SO
from eventfabric.cli.output import complain
from eventfabric.cli.user import user_name

if TYPE_CHECKING:
    from eventfabric.model.schema_index import SchemaVersion
    from eventfabric.services.catalogue.schema_lane import SchemaReader
    from eventfabric.services.catalogue.schema_push import Registration
    from eventfabric.stream_topology import StreamTopology


def reader_of(connection: Connection, stream: "StreamTopology") -> "SchemaReader":
    """Return the reader of a stream's schemas, as they have come to the connection's Region."""
    from eventfabric.services.catalogue.schema_lane import SchemaReader

    return SchemaReader(stream, connection.ports().log_of(stream))


def registration_of(connection: Connection, stream: "StreamTopology", reason: str = "") -> "Registration":
    """Return what registers in the stream's first Region, and in no other, and what checks that by the same rules."""
    from eventfabric.model import Region
    from eventfabric.services.catalogue.schema_comparison import comparison_of
    from eventfabric.services.catalogue.schema_lane import SchemaReader
    from eventfabric.services.catalogue.schema_push import Registration

    first = Region(stream.definition.regions[0])
    ports = connection.ports()
    ports = ports if first == connection.region else ports.at(first)
    return Registration(
        SchemaReader(stream, ports.log_of(stream)),
        comparison_of(stream),
        ports.clock,
        ports.entropy,
        by=user_name(),
        request_id=ports.entropy.bytes(8).hex(),
        accepted_because=reason,
    )


def chosen_version(
    connection: Connection, type_: str, only: str | None, number: int | None
) -> "tuple[StreamTopology, SchemaReader, SchemaVersion]":
    """Return a version of a type, by default the newest, in the only stream that has it. Exit, typer.BadParameter."""
    readers = {own.name: (own, reader_of(connection, own)) for own in connection.streams(only)}
    known = {
        name: (own, reader, index)
        for name, (own, reader) in readers.items()
        if (index := reader.index()).newest(type_) is not None
    }
    if not known:
        complain(f"no schema of type {type_} is registered in {', '.join(readers)}")
        raise typer.Exit(NOT_SO)
    if len(known) > 1:
        raise typer.BadParameter(f"allowed: --stream with one of {', '.join(sorted(known))}")
    [(own, reader, index)] = known.values()
    versions = index.versions(type_)
    chosen = index.newest(type_) if number is None else next(iter(versions[number - 1 : number]), None)
    if chosen is None:
        complain(f"type {type_} has no version {number}: the highest is {len(versions)}")
        raise typer.Exit(NOT_SO)
    return own, reader, chosen
