"""`eventfabric catalogue`: describe the fabric for people, as a page, and for tools, as an AsyncAPI document."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventfabric.cli.catalogue.watching import LogReach, extent_sentence, moment, watched
from eventfabric.cli.connection import Access, Json, RegionName
from eventfabric.cli.exit_codes import INTERRUPTED, NOT_SO
from eventfabric.cli.options import OnlyStream, grouped, path_option
from eventfabric.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from eventfabric.cli.catalogue.book import Book, DescribedStream
    from eventfabric.cli.catalogue.watching import Watched
    from eventfabric.cli.connection import Connection
    from eventfabric.model.schema_index import SchemaIndex
    from eventfabric.services.operations.observed import DeclaredTypes, ObservedMismatch

PAGE = "index.html"
ASYNCAPI = "asyncapi.json"
_COLUMNS = ("stream", "what", "about", "events", "last", "sources")

Output = Annotated[
    Path | None,
    path_option(
        "--output", help=f"Folder for the page, {PAGE}, and the document, {ASYNCAPI}. It is made if needed."
    ),
]
AsyncApi = Annotated[Path | None, path_option("--asyncapi", help="File for the AsyncAPI document alone.")]
Deployed = Annotated[
    bool,
    typer.Option(
        "--deployed",
        help="Describe what is registered and declared in a Region. Default: the project's files; nothing is called.",
    ),
]
Observed = Annotated[
    bool,
    typer.Option(
        "--observed",
        help="Compare what is declared with what flows, by the newest records of each lane. Exit code 1: it differs.",
    ),
]


@grouped
def catalogue(
    *,
    output: Output = None,
    asyncapi: AsyncApi = None,
    deployed: Deployed = False,
    observed: Observed = False,
    stream: OnlyStream = None,
    reach: LogReach,
    access: Access,
    region: RegionName = None,
    json: Json = False,
) -> None:
    """Describe streams, types with their schemas, and who subscribes: as a page, and as an AsyncAPI document.

    The page is one file that needs no network. With --json alone, the document is printed.

    --observed reads the log, at most --last records of each lane: types and sources that nobody declared, types that
    are declared and silent, subscriptions that get nothing, schemas that are not registered. It reads no event's data.

    Example: eventfabric catalogue --output build/catalogue --deployed

    Example: eventfabric catalogue --observed --last 10000 --stream orders
    """
    _check_options(reach, observed=observed, writes=not (output is None and asyncapi is None))
    connection = access.to(region) if deployed or observed else None
    book = _book(access, connection, stream)
    written = _written(book, output, asyncapi)
    if observed and connection is not None:
        _observe(connection, book, reach, as_json=json)
        return
    if json:
        from eventfabric.cli.catalogue.asyncapi import asyncapi_of

        show_json({"written": [str(path) for path in written]} if written else asyncapi_of(book))
        return
    _show(book)
    for path in written:
        say(f"wrote {path}")


def _check_options(reach: LogReach, *, observed: bool, writes: bool) -> None:
    """Raise typer.BadParameter for options that would have no effect. `writes`: the catalogue is to be written."""
    if observed and writes:
        raise typer.BadParameter("--observed describes nothing: allowed without --output and --asyncapi")
    if not observed and reach != LogReach.of():
        raise typer.BadParameter("--last, --since and --read-units need --observed")


def _book(access: Access, connection: "Connection | None", stream: str | None) -> "Book":
    """Describe what the options name. Errors as those of the readings."""
    from eventfabric.cli.catalogue.reading import book_of_files, book_of_region
    from eventfabric.settings import definition_path

    if connection is not None:
        return book_of_region(connection, stream)
    return book_of_files(access.definition or definition_path(), stream)


def _written(book: "Book", output: Path | None, asyncapi: Path | None) -> list[Path]:
    """Write what was asked for, and return the files."""
    from eventfabric.cli.catalogue.asyncapi import asyncapi_of
    from eventfabric.cli.catalogue.page import page_of
    from eventfabric.whole_files import write_whole

    texts: dict[Path, str] = {}
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        texts[output / PAGE] = page_of(book)
    documents = ([] if output is None else [output / ASYNCAPI]) + ([] if asyncapi is None else [asyncapi])
    if documents:
        texts |= dict.fromkeys(documents, _document_text(asyncapi_of(book)))
    write_whole(texts)
    return list(texts)


def _document_text(document: dict[str, Any]) -> str:
    from json import dumps

    return dumps(document, indent=2, ensure_ascii=False) + "\n"


def _show(book: "Book") -> None:
    rows = [
        (
            own.stream,
            own.name,
            own.newest.number or own.newest.document.digest if own.newest else "no schema",
            ", ".join(subscription.name for subscription in own.subscriptions),
            own.deprecation.sunset or "deprecated" if own.deprecation else "",
        )
        for stream in book.streams
        for own in stream.types
    ]
    show_table(book.fabric, ("stream", "type", "version", "subscriptions", "sunset"), rows, or_records=True)


def _observe(connection: "Connection", book: "Book", reach: LogReach, *, as_json: bool) -> None:
    """Compare each stream with what flows through it. Raises typer.Exit if it differs, or was interrupted."""
    from eventfabric.cli.catalogue.reading import indices_of_region
    from eventfabric.services.operations.observed import mismatches

    indices = indices_of_region(connection, only=None if len(book.streams) != 1 else book.streams[0].name)
    results: list[tuple[Watched, list[ObservedMismatch]]] = []
    for described in book.streams:
        result = watched(connection, described.topology, reach)
        declared = _declared(described, indices[described.name])
        results.append((result, list(mismatches(result.observation, declared, stream=described.name))))
        if result.is_interrupted:
            break
    now_ms = connection.ports().clock.now_ms()
    if as_json:
        show_json({"region": connection.region, "streams": [_as_json(*own, now_ms) for own in results]})
    else:
        show_table(
            connection.region, _COLUMNS, [row for own in results for row in _rows(*own)], or_records=True
        )
        for result, _ in results:
            say(extent_sentence(result, now_ms=now_ms))
    if code := _exit_code(results):
        raise typer.Exit(code)


def _exit_code(results: "list[tuple[Watched, list[ObservedMismatch]]]") -> int:
    if any(result.is_interrupted for result, _ in results):
        return INTERRUPTED
    return NOT_SO if any(differences for _, differences in results) else 0


def _declared(described: "DescribedStream", index: "SchemaIndex") -> "DeclaredTypes":
    from eventfabric.services.operations.observed import DeclaredTypes

    return DeclaredTypes(
        types={own.name for own in described.types},
        deprecated={own.name for own in described.types if own.deprecation is not None},
        sources=set(described.sources),
        subscriptions={
            own.name: None if own.definition.types is None else set(own.definition.types)
            for own in described.subscriptions
        },
        is_registered=lambda type_, digest: index.version_of(type_, digest) is not None,
    )


def _rows(result: "Watched", differences: "list[ObservedMismatch]") -> list[tuple[object, ...]]:
    return [
        (
            result.stream.name,
            own.kind.value,
            own.about,
            own.occurrences.count if own.occurrences else 0,
            moment(own.occurrences.last_ms) if own.occurrences else "",
            ", ".join(own.sources),
        )
        for own in differences
    ]


def _as_json(result: "Watched", differences: "list[ObservedMismatch]", now_ms: int) -> dict[str, object]:
    observation = result.observation
    return {
        "stream": result.stream.name,
        "records": observation.records,
        "events": observation.events,
        "read_units": observation.read_units,
        "since_ms": observation.since_ms(now_ms=now_ms),
        "whole": observation.is_whole,
        "complete": observation.is_done,
        "unread": result.unread,
        "seen": [
            {"type": own.type, "source": own.source, "dataschema": own.schema or None}
            | {"events": seen.count, "first_ms": seen.first_ms, "last_ms": seen.last_ms}
            for own, seen in observation.occurrences.items()
        ],
        "differences": [
            {
                "kind": own.kind.name.lower(),
                "about": own.about,
                "events": own.occurrences.count if own.occurrences else 0,
                "last_ms": own.occurrences.last_ms if own.occurrences else None,
                "sources": list(own.sources),
            }
            for own in differences
        ],
    }
