"""Registered schemas, as a command asks for them: by stream, type and version."""

from typing import TYPE_CHECKING

import typer

from eventfabric.cli.connection import Connection
from eventfabric.cli.exit_codes import NOT_SO
from eventfabric.cli.output import complain

if TYPE_CHECKING:
    from eventfabric.model.schema_index import SchemaVersion
    from eventfabric.services.catalogue.schema_lane import SchemaReader
    from eventfabric.stream_topology import StreamTopology


def reader_of(connection: Connection, stream: "StreamTopology") -> "SchemaReader":
    """Return the reader of a stream's schemas, as they have come to the connection's Region."""
    from eventfabric.services.catalogue.schema_lane import SchemaReader

    return SchemaReader(stream, connection.ports().log_of(stream))


def chosen_version(
    connection: Connection, type_: str, only: str | None, number: int | None
) -> "tuple[StreamTopology, SchemaReader, SchemaVersion]":
    """Return a version of a type, by default the newest, in the only stream that has it. Exit, typer.BadParameter."""
    readers = {own.name: (own, reader_of(connection, own)) for own in connection.streams(only)}
    known = {
        name: (own, reader, versions)
        for name, (own, reader) in readers.items()
        if (versions := reader.index().versions(type_))
    }
    if not known:
        complain(f"no schema of type {type_} is registered in {', '.join(readers)}")
        raise typer.Exit(NOT_SO)
    if len(known) > 1:
        raise typer.BadParameter(f"allowed: --stream with one of {', '.join(sorted(known))}")
    [(own, reader, versions)] = known.values()
    if number is not None and number > len(versions):
        complain(f"type {type_} has {len(versions)} versions, and none of number {number}")
        raise typer.Exit(NOT_SO)
    return own, reader, versions[-1 if number is None else number - 1]
