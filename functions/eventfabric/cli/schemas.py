"""`eventfabric schemas`: which schemas are registered, what they are, and registering those of the folder."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.exit_codes import NOT_SO
from eventfabric.cli.options import OnlyStream, grouped, path_option
from eventfabric.cli.output import complain, say, show_document, show_json, show_table
from eventfabric.cli.registered_schemas import chosen_version, reader_of, registration_of
from eventfabric.cli.schema_checks import check, diff, lint, read_folder
from eventfabric.cli.schemas_try import try_schemas
from eventfabric.cli.schemas_typed import from_class, types

if TYPE_CHECKING:
    from eventfabric.contracts.document import SchemaDocument
    from eventfabric.contracts.folder import SchemaFolder
    from eventfabric.model.schema_index import SchemaIndex, SchemaVersion
    from eventfabric.services.catalogue.schema_lane import SchemaReader

_COLUMNS: Final = ("stream", "type", "version", "registered", "digest", "in the folder", "accepted because")
TypeName = Annotated[str, typer.Argument(metavar="TYPE", help="Event type, such as OrderPlaced.")]

app = typer.Typer(
    no_args_is_help=True, help="Check, register and show the schemas of events' data, and make code of them."
)
app.command()(lint)
app.command()(check)
app.command()(diff)
app.command("from")(from_class)
app.command()(types)
app.command("try")(try_schemas)


@app.command("list")
@grouped
def list_(
    stream: Annotated[
        str | None, typer.Argument(help="Only this stream. Default: all of the Region.")
    ] = None,
    *,
    versions: Annotated[
        bool, typer.Option("--versions", help="List all versions. Default: the newest of each type.")
    ] = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """List the types that have a schema, with their newest version, and if the folder has the same.

    Example: eventfabric schemas list orders
    """
    folder = read_folder(connection, as_json=json)
    rows = [
        row
        for own in connection.streams(stream)
        for row in _rows(own.name, reader_of(connection, own).index(), folder.get(own.name, {}), versions)
    ]
    if json:
        show_json([dict(zip(_COLUMNS, row, strict=True)) for row in rows])
    else:
        show_table(connection.topology.fabric, _COLUMNS, rows)


@app.command()
@grouped
def show(
    type: TypeName,
    *,
    stream: OnlyStream = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Number of the version. Default: the newest.")
    ] = None,
    connection: Connection,
    json: Json = False,
) -> None:
    """Print a registered schema.

    Example: eventfabric schemas show OrderPlaced --version 2
    """
    import msgspec

    own, reader, chosen = chosen_version(connection, type, stream, version)
    schema = msgspec.Raw(reader.document(type, chosen).content)
    if json:
        show_json({"stream": own.name, "type": type, **_facts(chosen), "schema": schema})
    else:
        show_document(schema)


@app.command()
@grouped
def pull(
    stream: Annotated[
        str | None, typer.Argument(help="Only this stream. Default: all of the Region.")
    ] = None,
    *,
    folder: Annotated[
        Path | None,
        path_option("--folder", help="Folder to write into. Default: schemas, beside the definition."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write also over schemas that nobody has registered.")
    ] = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """Write the newest registered schemas into a folder, for a producer or subscriber of another repository.

    Files of other types stay as they are, and so do schemas that were edited and are not registered. Of types whose
    names differ in case alone, a folder can have one only: that of which it has a file.

    Example: eventfabric schemas pull orders --folder src/shop/schemas
    """
    from eventfabric.contracts import SCHEMAS_FOLDER
    from eventfabric.contracts.folder import SchemaFolder
    from eventfabric.whole_files import write_whole

    target = SchemaFolder(folder or connection.path.parent / SCHEMAS_FOLDER)
    pulled = _Pulled()
    for own in connection.streams(stream):
        _pull(own.name, reader_of(connection, own), target, pulled, overwrite=overwrite)
    for file in pulled.written:
        file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(pulled.written)
    _report_pulled(pulled, as_json=json)


@dataclass
class _Pulled:
    """Files that a pull writes, those that it leaves as they are, and those that may not stand beside others."""

    written: dict[Path, bytes] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    """The folder has a file whose name differs in case alone."""
    undecided: list[str] = field(default_factory=list)
    """The folder has none of the types whose names differ in case alone."""


def _pull(
    stream: str, reader: "SchemaReader", folder: "SchemaFolder", pulled: _Pulled, *, overwrite: bool
) -> None:
    """Add what is to be written of a stream, and what is not. Errors as SchemaReader."""
    types = reader.index().types
    names = Counter(folder.file_of(stream, type_).name.lower() for type_ in types)
    for type_, registered in types.items():
        file = folder.file_of(stream, type_)
        held = _digest_in(folder, stream, type_)
        if held == registered[-1].digest:
            continue
        if held is None and not folder.has_room_for(stream, type_):
            pulled.passed_over.append(str(file))
        elif held is None and names[file.name.lower()] > 1:
            pulled.undecided.append(str(file))
        elif held is None or overwrite or held in {version.digest for version in registered}:
            pulled.written[file] = _indented(reader.document(type_, registered[-1]))
        else:
            pulled.kept.append(str(file))


def _digest_in(folder: "SchemaFolder", stream: str, type_: str) -> str | None:
    """Return the digest of the schema in a type's file; None: there is no file; empty: it is no schema."""
    from eventfabric.errors import InvalidSchemaError

    try:
        document = folder.document(stream, type_)
    except InvalidSchemaError:
        return ""
    return None if document is None else document.digest


def _report_pulled(pulled: _Pulled, *, as_json: bool) -> None:
    if as_json:
        show_json({**vars(pulled), "written": list(map(str, pulled.written))})
    for file in [] if as_json else pulled.written:
        say(f"written: {file}")
    if not (as_json or any(vars(pulled).values())):
        say("the folder has all of them")
    for name in pulled.kept:
        complain(f"left as it is: {name}, which nobody has registered; --overwrite replaces it")
    for name in pulled.passed_over:
        complain(f"not written: {name}, since a file's name differs from that in case alone")
    for name in pulled.undecided:
        complain(
            f"not written: {name}, since another type's name differs in case alone; write the one you need"
        )
    if pulled.kept or pulled.undecided:
        raise typer.Exit(NOT_SO)


@app.command()
@grouped
def push(
    stream: Annotated[
        str | None, typer.Argument(help="Only this stream. Default: all that have schemas.")
    ] = None,
    *,
    accept: Annotated[
        str | None,
        typer.Option(
            "--accept-breaking",
            metavar="REASON",
            help="Register also what breaks others, for this reason, which is kept. Later versions begin there.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check only; register nothing.")] = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """Register the schemas of the folder. A deployment does the same; what breaks others is refused.

    Example: eventfabric schemas push orders --dry-run
    """
    reason = _checked_reason(accept)
    folder = read_folder(connection, as_json=json)
    names = [connection.topology.stream(stream).name] if stream else sorted(folder)
    registrations = {
        name: registration_of(connection, connection.topology.stream(name), reason) for name in names
    }
    planned: list[dict[str, object]] = []
    for name, registration in registrations.items():  # nothing of one stream, if another is refused
        numbers = registration.check(folder.get(name, {}))
        planned += (
            {"stream": name, "type": type_, "version": number, "digest": folder[name][type_].digest}
            for type_, number in numbers.items()
        )
    added: list[dict[str, object]] = []
    for name, registration in [] if dry_run else registrations.items():
        new = registration.register(folder.get(name, {}))
        added += ({"stream": name, "type": type_, **_facts(own)} for type_, own in new.items())
    if not any(folder.get(name) for name in names) and not json:
        say("there are no schemas to register")
    elif dry_run:
        _report(planned, "would be registered", json, key="would_register")
    else:
        _report(added, "registered", json, key="registered")


def _report(versions: list[dict[str, object]], what: str, as_json: bool, *, key: str) -> None:
    if as_json:
        show_json({key: versions})
    elif not versions:
        say("all of them are registered already")
    for own in [] if as_json else versions:
        say(f"{what}: {own['stream']} {own['type']} version {own['version']}")


def _checked_reason(reason: str | None) -> str:
    """Return the reason as it is kept; empty: none was given. SettingError."""
    from eventfabric.errors import SettingError
    from eventfabric.wire.schema_record import REASON_CHARACTERS_MAX

    if reason is None:
        return ""
    stripped = reason.strip()
    if not stripped or not stripped.isprintable() or len(stripped) > REASON_CHARACTERS_MAX:
        allowed = f"a reason in one line of printable characters, at most {REASON_CHARACTERS_MAX}"
        raise SettingError("--accept-breaking", f"{len(reason):,} characters: {reason[:60]!r}", allowed)
    return stripped


def _facts(version: "SchemaVersion") -> dict[str, object]:
    return {
        "version": version.number,
        "digest": version.digest,
        "registered": _time(version.at_ms),
        "region": version.region,
        "accepted_because": version.accepted_because,
    }


def _rows(
    stream: str, index: "SchemaIndex", folder: "Mapping[str, SchemaDocument]", every: bool
) -> Iterator[tuple[object, ...]]:
    """Yield a row for each version, and for each type that only the folder has."""
    for type_, versions in sorted(index.types.items()):
        for own in versions if every else versions[-1:]:
            time = _time(own.last_ms)
            held = _held(folder.get(type_), own) if own is versions[-1] else ""
            yield stream, type_, own.number, time, own.digest, held, own.accepted_because
    for type_ in sorted(folder.keys() - index.types.keys()):
        yield stream, type_, 0, "not registered", folder[type_].digest, "new", ""


def _held(document: "SchemaDocument | None", newest: "SchemaVersion") -> str:
    if document is None:
        return "no"
    return "the same" if document.digest == newest.digest else "changed"


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")


def _indented(document: "SchemaDocument") -> bytes:
    import msgspec

    return msgspec.json.format(document.content, indent=2) + b"\n"
