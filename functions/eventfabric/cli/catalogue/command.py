"""`eventfabric catalogue`: describe the fabric for people, as a page, and for tools, as an AsyncAPI document."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventfabric.cli.connection import Definition, Json
from eventfabric.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventfabric.cli.catalogue.book import Book, DescribedVersion
    from eventfabric.contracts.document import SchemaDocument
    from eventfabric.contracts.folder import SchemaFolder
    from eventfabric.contracts.identity import SchemaIdentity

PAGE = "index.html"
ASYNCAPI = "asyncapi.json"

Output = Annotated[
    Path | None,
    typer.Option(
        "--output", help=f"Folder for the page, {PAGE}, and the document, {ASYNCAPI}. It is made if needed."
    ),
]
AsyncApi = Annotated[
    Path | None, typer.Option("--asyncapi", help="File for the AsyncAPI document alone.", dir_okay=False)
]


def catalogue(
    *,
    output: Output = None,
    asyncapi: AsyncApi = None,
    definition: Definition = None,
    json: Json = False,
) -> None:
    """Describe streams, types with their schemas, and who subscribes, as the project's files have it. Calls nothing.

    The page is one file that needs no network. With --json and neither --output nor --asyncapi, prints the document.

    Example: eventfabric catalogue --output build/catalogue

    Example: eventfabric catalogue --asyncapi asyncapi.json
    """
    from eventfabric.cli.catalogue.asyncapi import asyncapi_of
    from eventfabric.settings import definition_path

    book = _book_of_files(definition or definition_path())
    written = _written(book, output, asyncapi)
    if json:
        show_json({"written": [str(path) for path in written]} if written else asyncapi_of(book))
        return
    _show(book)
    for path in written:
        say(f"wrote {path}")


def _book_of_files(definition: Path) -> "Book":
    """Describe the fabric of a definition and of the schemas beside it. DefinitionError, InvalidSchemaError."""
    from eventfabric.cli.catalogue.book import book_of
    from eventfabric.contracts.folder import SchemaFolder
    from eventfabric.settings import definition_at
    from eventfabric.topology import Topology

    topology = Topology(definition_at(definition))
    folder = SchemaFolder.beside(definition)
    versions = {} if folder is None else _versions_in(folder)
    return book_of(topology, list(topology.streams.values()), versions, fits=_fits)


def _fits(document: "SchemaDocument", identity: "SchemaIdentity") -> "Callable[[Any], bool]":
    """Return what tells if some data may be published under a schema, as whoever publishes it checks that."""
    import msgspec

    from eventfabric.contracts.checks import SchemaCheck

    check = SchemaCheck(document, identity, is_closed=True)
    return lambda data: not check.problems(msgspec.json.encode(data))


def _versions_in(folder: "SchemaFolder") -> "dict[str, dict[str, list[DescribedVersion]]]":
    from eventfabric.cli.catalogue.book import DescribedVersion

    return {
        stream: {name: [DescribedVersion(document=document)] for name, document in documents.items()}
        for stream, documents in folder.documents().items()
    }


def _written(book: "Book", output: Path | None, asyncapi: Path | None) -> list[Path]:
    """Write what was asked for, and return the files."""
    from eventfabric.cli.catalogue.asyncapi import asyncapi_of
    from eventfabric.cli.catalogue.page import page_of

    texts: dict[Path, str] = {}
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        texts[output / PAGE] = page_of(book)
    documents = ([] if output is None else [output / ASYNCAPI]) + ([] if asyncapi is None else [asyncapi])
    if documents:
        texts |= dict.fromkeys(documents, _document_text(asyncapi_of(book)))
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(texts)


def _document_text(document: dict[str, object]) -> str:
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
