"""Checks of the schemas in the folder: each by itself, and against what is registered or in a commit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.exit_codes import BAD_INPUT, NOT_SO
from eventfabric.cli.options import OnlyStream, grouped
from eventfabric.cli.output import complain, say, show_json, show_table
from eventfabric.cli.registered_schemas import chosen_version, registration_of
from eventfabric.cli.schemas_typed import ThereSchemas

if TYPE_CHECKING:
    from eventfabric.contracts.document import SchemaDocument
    from eventfabric.contracts.folder import SchemaFolder
    from eventfabric.errors import Problem
    from eventfabric.model.schema_index import SchemaIndex
    from eventfabric.services.catalogue.schema_push import Compare, Earlier, Registration

DEPLOYED: Final = "deployed"
_GIT: Final = "git:"
_ALLOWED: Final = f"{DEPLOYED}, or git: and a commit, such as git:origin/main"


@dataclass
class Checked:
    """A type's schema as it was checked. `problems`: why it does not go together with what was before."""

    stream: str
    type: str
    state: str
    problems: "list[Problem]" = field(default_factory=list)


@grouped
def lint(*, schemas: ThereSchemas = None, connection: Connection, json: Json = False) -> None:
    """List everything for which a schema of the folder may not be registered. No account is needed.

    Example: eventfabric schemas lint
    """
    documents = read_folder(connection, as_json=json, folder=schemas)
    count = sum(map(len, documents.values()))
    if json:
        show_json({"valid": True, "schemas": count, "problems": []})
    else:
        say(f"{count} schemas, and each of them may be registered")


def read_folder(
    connection: Connection, *, as_json: bool, folder: Path | None = None
) -> "dict[str, dict[str, SchemaDocument]]":
    """Read the schemas in a folder, by default beside the definition. If one is wrong, say what is, and exit."""
    from eventfabric.contracts.folder import SchemaFolder
    from eventfabric.definition.file import schemas_beside
    from eventfabric.errors import InvalidSchemaError

    definition = connection.topology.definition
    try:
        if folder is not None:
            return SchemaFolder(folder).documents(streams=definition.streams)
        return schemas_beside(connection.path, definition)
    except InvalidSchemaError as error:
        if not as_json:
            raise
        show_json({"valid": False, "schemas": 0, "problems": _shown(error.problems)})
        raise typer.Exit(BAD_INPUT) from error


@grouped
def check(
    *,
    against: Annotated[
        str, typer.Option("--against", metavar="deployed|git:COMMIT", help="What was before.")
    ] = DEPLOYED,
    connection: Connection,
    json: Json = False,
) -> None:
    """Check that the schemas of the folder go together with those before, as the definition promises.

    Against a commit, no account is needed: each schema is compared with that of the commit alone. Against what is
    deployed, it is what `schemas push` and a deployment check before they register anything.

    Example: eventfabric schemas check --against git:origin/main
    """
    documents = read_folder(connection, as_json=json)
    checked = (
        _against_commit(connection, documents, against.removeprefix(_GIT))
        if against.startswith(_GIT)
        else _against_registered(connection, documents, against)
    )
    problems = dict.fromkeys(problem for own in checked for problem in own.problems)
    if json:
        show_json(
            {
                "compatible": not problems,
                "schemas": [
                    {
                        "stream": own.stream,
                        "type": own.type,
                        "state": own.state,
                        "problems": _shown(own.problems),
                    }
                    for own in checked
                ],
            }
        )
    elif not checked:
        say("there are no schemas")
    else:
        show_table(
            f"against {against}", ("stream", "type", "state"), [(o.stream, o.type, o.state) for o in checked]
        )
        for problem in problems:
            complain(str(problem))
    if problems:
        raise typer.Exit(NOT_SO)


def _against_registered(
    connection: Connection, documents: "dict[str, dict[str, SchemaDocument]]", against: str
) -> list[Checked]:
    if against != DEPLOYED:
        raise typer.BadParameter(f"--against: allowed: {_ALLOWED}")
    checked: list[Checked] = []
    for name, stream in sorted(connection.topology.streams.items()):
        own = documents.get(name, {})
        registration = registration_of(connection, stream)
        index = _index_or_none(registration, is_needed=bool(own))
        verdict = registration.verdict(own, index)
        for type_, document in sorted(own.items()):
            problems = [*verdict.of_all, *verdict.of_types.get(type_, ())]
            state = "refused" if problems else _state(index, type_, document)
            checked.append(Checked(name, type_, state, problems))
        checked += [
            Checked(name, type_, "registered, and not in the folder")
            for type_ in sorted(index.types.keys() - own.keys())
        ]
    return checked


def _index_or_none(registration: "Registration", *, is_needed: bool) -> "SchemaIndex":
    """Return what is registered of a stream: nothing, if a deployment has yet to make its table.

    Nothing, too, if it is not needed and cannot be read: whoever minds one stream may have no rights on the others.
    """
    from eventfabric.errors import FormatError, LastingError, UndecodableRecordError
    from eventfabric.model.schema_index import SchemaIndex

    try:
        return registration.reader.certain_index()
    except (LastingError, UndecodableRecordError, FormatError) as error:
        has_no_table = isinstance(error, LastingError) and error.is_missing
        if is_needed and not has_no_table:
            raise
        reason = f"has no table in {registration.region}: a deployment makes it" if has_no_table else error
        complain(f"stream {registration.reader.name}: {reason}")
        return SchemaIndex()


def _state(index: "SchemaIndex", type_: str, document: "SchemaDocument") -> str:
    """Return how a schema that may be registered stands to those that are."""
    newest, known = index.newest(type_), index.version_of(type_, document.digest)
    if newest is None:
        return "new"
    if newest.digest == document.digest:
        return "the same"
    return "compatible" if known is None else f"version {known.number} again"


def _against_commit(
    connection: Connection, documents: "dict[str, dict[str, SchemaDocument]]", commit: str
) -> list[Checked]:
    from eventfabric.cli.schemas_in_git import schemas_at
    from eventfabric.contracts import SCHEMAS_FOLDER
    from eventfabric.contracts.folder import SchemaFolder

    folder = SchemaFolder(connection.path.absolute().parent / SCHEMAS_FOLDER)
    before = schemas_at(commit, folder.path)
    if before.is_empty and documents:
        complain(f"{commit} has no folder {folder.path.name} here: nothing is compared with it")
    checked: list[Checked] = []
    for name in sorted(documents):
        readable = {
            type_: own for type_, own in documents[name].items() if (name, type_) not in before.unreadable
        }
        earlier = {
            type_: [(commit, before.documents[name, type_])] if (name, type_) in before.documents else []
            for type_ in readable
        }
        checked += _compared(connection, name, readable, earlier)
        checked += [
            _uncompared(connection, name, type_, before.unreadable[name, type_])
            for type_ in sorted(documents[name].keys() - readable.keys())
        ]
    _refuse_uncommitted(folder, checked)
    missing = sorted(
        (name, type_)
        for name, type_ in before.documents.keys() | before.unreadable.keys()
        if type_ not in documents.get(name, {})
    )
    return checked + [Checked(*place, "not in the folder any more") for place in missing]


def _uncompared(connection: Connection, stream: str, type_: str, problem: "Problem") -> Checked:
    """Return a type whose schema was something that cannot be compared, which matters where something is promised."""
    from eventfabric.definition.sections import Compatibility

    promise = connection.topology.stream(stream).definition.compatibility_of(type_)
    return Checked(stream, type_, "not comparable", [] if promise is Compatibility.NONE else [problem])


def _refuse_uncommitted(folder: "SchemaFolder", checked: list[Checked]) -> None:
    """Refuse schemas that would be new for ever, because no commit has them."""
    from eventfabric.cli.schemas_in_git import never_committed
    from eventfabric.errors import Problem

    new = {folder.file_of(own.stream, own.type): own for own in checked if own.state == "new"}
    for file, reason in never_committed(folder.path, list(new)).items() if new else ():
        own = new[file]
        own.state = "not comparable"
        own.problems.append(Problem(str(file), reason, "a file that commits have, to be compared with"))


def _compared(
    connection: Connection,
    stream: str,
    documents: "Mapping[str, SchemaDocument]",
    earlier_of: "Mapping[str, Earlier]",
) -> list[Checked]:
    from eventfabric.services.catalogue.schema_comparison import comparison_of

    compare = comparison_of(connection.topology.stream(stream))
    checked: list[Checked] = []
    for type_, document in sorted(documents.items()):
        earlier = earlier_of[type_]
        if not earlier:
            checked.append(Checked(stream, type_, "new"))
        elif earlier[-1][1].digest == document.digest:
            checked.append(Checked(stream, type_, "the same"))
        else:
            problems = _problems(compare, stream, type_, document, earlier)
            checked.append(Checked(stream, type_, "refused" if problems else "compatible", problems))
    return checked


def _problems(
    compare: "Compare", stream: str, type_: str, document: "SchemaDocument", earlier: "Earlier"
) -> "list[Problem]":
    from eventfabric.errors import Problem

    try:
        return list(compare(type_, document, earlier))
    except Exception as error:  # a commit may hold a schema in which anything is wrong
        state = f"a schema that cannot be compared ({type(error).__name__})"
        place = f"{earlier[-1][0]} of {stream} {type_}"
        return [Problem(place, state, "a schema of which `eventfabric schemas lint` finds nothing wrong")]


@grouped
def diff(
    type: Annotated[str, typer.Argument(metavar="TYPE", help="Event type, such as OrderPlaced.")],
    *,
    stream: OnlyStream = None,
    version: Annotated[
        int | None,
        typer.Option("--from", min=1, help="Number of the version to compare with. Default: the newest."),
    ] = None,
    connection: Connection,
    json: Json = False,
) -> None:
    """Show what changes for readers and writers between a registered version of a type and the folder's schema.

    Example: eventfabric schemas diff OrderPlaced --from 2
    """
    from eventfabric.contracts.differ import differences

    own, reader, known = chosen_version(connection, type, stream, version)
    new = read_folder(connection, as_json=json).get(own.name, {}).get(type)
    if new is None:
        complain(f"the folder has no schema of {type} in {own.name}")
        raise typer.Exit(NOT_SO)
    old = reader.document(type, known)
    columns = ("direction", "pointer", "rule", "instead", "undecided")
    rows = [
        (direction, difference.pointer, difference.rule, difference.remedy, difference.is_undecided)
        for direction, read_by, written_by in (("backward", new, old), ("forward", old, new))
        for difference in differences(read_by.value, written_by.value)
    ]
    if json:
        differing = [dict(zip(columns, row, strict=True)) for row in rows]
        show_json({"stream": own.name, "type": type, "from": known.number, "differences": differing})
    elif rows:
        shown = [(*row[:4], "yes" if row[4] else "") for row in rows]
        show_table(f"{type}: version {known.number} and the folder", columns, shown)
    else:
        same = "it is the same" if new.digest == old.digest else "readers and writers of both go together"
        say(f"{type}: version {known.number} and the folder: {same}")


def _shown(problems: "tuple[Problem, ...] | list[Problem]") -> list[dict[str, str]]:
    return [
        {"path": problem.path, "found": problem.found, "allowed": problem.allowed} for problem in problems
    ]
