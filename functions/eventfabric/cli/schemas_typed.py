"""`eventfabric schemas from` and `schemas types`: payload classes to schemas, and schemas to classes."""

import sys
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from re import fullmatch
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventfabric.cli.connection import Access, Definition, Json, RegionName
from eventfabric.cli.exit_codes import NOT_SO
from eventfabric.cli.options import grouped, path_option
from eventfabric.cli.output import complain, say, say_lines, show_document, show_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventfabric.contracts.folder import SchemaFolder
    from eventfabric.typed.shapes import TypeSchema


Kind = StrEnum("Kind", ["MSGSPEC", "DATACLASS", "PYDANTIC"])


Schemas = Annotated[
    Path | None,
    path_option("--schemas", help="Folder of schemas. Default: `schemas`, beside the definition."),
]
ThereSchemas = Annotated[
    Path | None,
    path_option(
        "--schemas",
        help="Folder of schemas, which is there. Default: `schemas`, beside the definition.",
        is_folder=True,
    ),
]
OfStream = Annotated[
    str | None, typer.Option("--stream", help="Stream of the type. Without it, nothing is written.")
]
OfType = Annotated[
    str | None, typer.Option("--type", help="Type of the events. Default: the name of the class.")
]
Check = Annotated[
    bool, typer.Option("--check", help="Write nothing; exit code 1 if the file is not what would be written.")
]


def from_class(
    path: Annotated[
        str, typer.Argument(metavar="MODULE:CLASS", help="Class, such as shop.payloads:OrderPlaced.")
    ],
    *,
    stream: OfStream = None,
    type_: OfType = None,
    check: Check = False,
    schemas: Schemas = None,
    definition: Definition = None,
    json: Json = False,
) -> None:
    """Make the schema of a payload class: of msgspec or pydantic, a dataclass, a TypedDict or a NamedTuple.

    With --stream, it is written into the folder of schemas; otherwise it is printed. The class is imported from the
    folder of your handlers, or from the current one.

    Example: eventfabric schemas from shop.payloads:OrderPlaced --stream orders --check
    """
    from eventfabric.contracts.document import read_schema
    from eventfabric.contracts.folder import type_of_file
    from eventfabric.errors import SettingError
    from eventfabric.limits import TYPE_CHARACTERS_MAX
    from eventfabric.typed.classes import load_class, schema_of
    from eventfabric.typed.text import schema_text
    from eventfabric.whole_files import write_whole

    if check and stream is None:
        raise typer.BadParameter("--check compares a file, which --stream names", param_hint="--check")
    if stream is None and not (type_ is None and schemas is None):
        raise typer.BadParameter("--type and --schemas say where to write, which needs --stream")
    import_from(definition)
    cls = load_class(path)
    schema = schema_of(cls)
    text = schema_text(schema)
    document = read_schema(text, where=path)
    if stream is None:
        if json:
            show_json({"digest": document.digest, "schema": document.value})
        else:
            show_document(schema)
        return
    folder = _folder(schemas, definition, stream)
    name = str(getattr(cls, "__name__", path.rpartition(":")[2])) if type_ is None else type_
    file = folder.file_of(stream, name)
    if type_of_file(file.name) != name:
        allowed = f"the name of a type, of 1 to {TYPE_CHARACTERS_MAX} characters"
        raise SettingError("--type", f"{len(name)} characters", allowed)
    if check:
        known = folder.document(stream, name)
        _end_check(
            file,
            is_equal=known == document,
            command=f"schemas from {path} --stream {stream} --type {name}",
            json=json,
        )
        return
    if not folder.has_room_for(stream, name):
        allowed = "a name that every file system can tell apart from those of the other files"
        raise SettingError("--type", name, allowed)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole({file: text})
    _report(file, {"stream": stream, "type": name, "digest": document.digest}, json=json)


@grouped
def types(
    *,
    kind: Annotated[Kind, typer.Option(help="Kind of the classes.")] = Kind.MSGSPEC,
    output: Annotated[
        Path | None, path_option("--output", help="File to write. Default: print the source.")
    ] = None,
    stream: Annotated[str | None, typer.Option("--stream", help="Only the types of this stream.")] = None,
    check: Check = False,
    schemas: ThereSchemas = None,
    deployed: Annotated[
        bool, typer.Option("--deployed", help="Take the newest schemas that a Region has registered instead.")
    ] = False,
    access: Access,
    region: RegionName = None,
    json: Json = False,
) -> None:
    """Write a module of Python with a payload class for each schema in the folder, or in the registry.

    Example: eventfabric schemas types --output functions/shop/payloads.py --check

    Example: eventfabric schemas types --deployed --stream orders
    """
    from eventfabric.typed.source import source_of
    from eventfabric.whole_files import write_whole

    if check and output is None:
        raise typer.BadParameter("--check compares a file, which --output names", param_hint="--check")
    if deployed and schemas is not None:
        raise typer.BadParameter("allowed: one of --deployed and --schemas")
    if deployed:
        selected = list(_registered_types(access, region, stream))
    else:
        selected = _types(schemas, access.definition, stream)
    source = source_of(selected, kind=kind.value)
    if output is None:
        if json:
            show_json({"kind": kind.value, "source": source})
        else:
            say_lines(source.rstrip("\n"))
    elif check:
        is_equal = output.is_file() and output.read_text(encoding="utf-8") == source
        command = f"schemas types --kind {kind.value} --output {output}"
        _end_check(output, is_equal=is_equal, command=command, json=json)
    else:
        write_whole({output: source})
        _report(output, {"kind": kind.value, "types": len(selected)}, json=json)


def _types(schemas: Path | None, definition: Path | None, stream: str | None) -> "list[TypeSchema]":
    """Read all schemas, or those of a stream. InvalidSchemaError lists all that is wrong in the folder."""
    from eventfabric.errors import UnknownNameError
    from eventfabric.typed.shapes import TypeSchema

    documents = _folder(schemas, definition).documents()
    if stream is not None and stream not in documents:
        raise UnknownNameError("stream with schemas", stream, sorted(documents))
    return [
        TypeSchema(name, type_, document.value)
        for name, of_stream in documents.items()
        for type_, document in of_stream.items()
        if stream in (None, name) and isinstance(document.value, dict)
    ]


def _registered_types(access: Access, region: str | None, stream: str | None) -> "Iterator[TypeSchema]":
    """Yield the newest schema of each type that a Region has registered. Errors of ports."""
    from eventfabric.services.catalogue.schema_lane import SchemaReader
    from eventfabric.typed.shapes import TypeSchema

    connection = access.to(region)
    ports = connection.ports()
    for topology in connection.streams(stream):
        reader = SchemaReader(topology, ports.log_of(topology))
        for type_, versions in reader.index().types.items():
            value = reader.document(type_, versions[-1]).value
            if isinstance(value, dict):
                yield TypeSchema(topology.name, type_, value)


def _folder(schemas: Path | None, definition: Path | None, stream: str | None = None) -> "SchemaFolder":
    """Return the folder of schemas, which may not exist yet.

    UnknownNameError: the definition has no such stream. SettingError: no definition is asked, and none could have it.
    """
    from eventfabric.contracts import SCHEMAS_FOLDER
    from eventfabric.contracts.folder import SchemaFolder
    from eventfabric.errors import SettingError, UnknownNameError
    from eventfabric.services.catalogue.streams import STREAM_NAME
    from eventfabric.settings import definition_at, definition_path

    if schemas is not None:
        if stream is not None and not fullmatch(STREAM_NAME, stream):
            raise SettingError("--stream", stream, "lower-case letters, digits and hyphens, a letter first")
        return SchemaFolder(schemas)
    path = definition or definition_path()
    streams = definition_at(path).streams
    if stream is not None and stream not in streams:
        raise UnknownNameError("stream", stream, sorted(streams))
    return SchemaFolder(path.parent / SCHEMAS_FOLDER)


def import_from(definition: Path | None) -> None:
    """Have modules imported from the folder of the project's handlers, and from the current one."""
    from eventfabric.definition.file import handler_folders
    from eventfabric.errors import DefinitionError
    from eventfabric.settings import definition_path

    folders = [Path.cwd()]
    with suppress(DefinitionError):  # no project is needed to print a schema
        folders = [*handler_folders(definition or definition_path()), *folders]
    sys.path[:0] = [str(folder) for folder in folders if folder.is_dir() and str(folder) not in sys.path]


def _end_check(file: Path, *, is_equal: bool, command: str, json: bool) -> None:
    """Say if a file is what a command would write. Exit code 1 if it is not."""
    if json:
        show_json({"file": str(file), "equal": is_equal})
    elif is_equal:
        say(f"{file}: nothing to change")
    else:
        complain(f"{file}: not what `eventfabric {command}` would write: run it, and commit the file")
    if not is_equal:
        raise typer.Exit(NOT_SO)


def _report(file: Path, facts: dict[str, Any], *, json: bool) -> None:
    """Say that a file was written."""
    if json:
        show_json({"file": str(file), **facts})
    else:
        say(f"{file}: written")
