"""The page: a fabric as one HTML file that a browser reads offline. It has no script, and fetches nothing.

Names and descriptions are whatever somebody chose. All text passes `escape` on its way into the page, and the page
forbids scripts and fetches to whatever would come through all the same.
"""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from json import dumps
from pathlib import Path
from typing import Final

from eventfabric.cli.catalogue.asyncapi import time_text
from eventfabric.cli.catalogue.book import Book, DescribedStream, DescribedType, DescribedVersion, plain_key
from eventfabric.cli.catalogue.members import ROWS_MAX, Member, members_of
from eventfabric.definition.guarantee import Guarantee
from eventfabric.stream_topology import SubscriptionTopology

_STYLE: Final = Path(__file__).with_name("page.css")
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_PRESENCE: Final = {True: "required", False: "optional", None: ""}


def page_of(book: Book) -> str:
    """Return the page as HTML."""
    title = f"Events of {book.fabric}"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{_text(title)}</title>",
            f"<style>\n{_STYLE.read_text(encoding='utf-8')}</style>",
            '<a class="skip" href="#content">To the streams</a>',
            f"<header>\n<h1>{_text(title)}</h1>",
            *(f"<p>{_text(sentence)}</p>" for sentence in _about(book)),
            "</header>",
            *_contents(book),
            '<main id="content">',
            *(line for stream in book.streams for line in _stream(book, stream)),
            "</main>",
            "</html>\n",
        ]
    )


def _about(book: Book) -> Iterator[str]:
    owner = f"; deployed by {book.owner}" if book.owner else ""
    yield f"{'Regions' if len(book.regions) > 1 else 'Region'}: {', '.join(book.regions)}{owner}."
    if book.is_registered:
        yield "Versions are those of the registry; subscriptions are those that are declared."
    else:
        yield "Schemas and subscriptions are those of the project's files, whether they are deployed or not."
    yield "Examples are made from the schemas; nothing on this page comes from an event."


def _contents(book: Book) -> Iterator[str]:
    yield '<nav aria-label="Streams and types">\n<ul>'
    for stream in book.streams:
        yield f'<li><a href="#{_stream_id(stream)}">{_text(stream.name)}</a>\n<ul>'
        for own in stream.types:
            yield f'<li><a href="#{_type_id(own)}">{_text(own.name)}</a>{_badges(own)}</li>'
        yield "</ul></li>"
    yield "</ul>\n</nav>"


def _stream(book: Book, stream: DescribedStream) -> Iterator[str]:
    definition = stream.topology.definition
    kept = "for ever" if definition.retention_days is None else _counted(definition.retention_days, "day")
    publishers = [
        f"{source} ({contact})" if contact else source for source, contact in stream.sources.items()
    ]
    publishers += [f"the handler of {own.name}" for own in stream.publishers]
    yield f'<section aria-labelledby="{_stream_id(stream)}">'
    yield f'<h2 id="{_stream_id(stream)}">Stream {_text(stream.name)}</h2>'
    yield from _facts(
        [
            ("Regions", ", ".join(definition.regions)),
            ("Closing", ", ".join(stream.topology.closing)),
            ("Durability", definition.durability),
            ("Kept", kept),
            ("Types without a schema", "refused" if definition.schemas == "required" else "allowed"),
            ("Published by", ", ".join(publishers)),
        ]
    )
    yield from _subscribers(book, stream.subscriptions, f"Subscriptions of {stream.name}")
    for own in stream.types:
        yield from _type(book, own)
    if not stream.types:
        yield "<p>No type is known: there is no schema, and no subscription names one.</p>"
    yield "</section>"


def _type(book: Book, own: DescribedType) -> Iterator[str]:
    yield f'<article aria-labelledby="{_type_id(own)}">'
    yield f'<h3 id="{_type_id(own)}">{_text(own.name)}{_badges(own)}</h3>'
    if own.title != own.name:
        yield f"<p><strong>{_text(own.title)}</strong></p>"
    if own.description:
        yield f'<p class="prose">{_text(own.description)}</p>'
    if own.deprecation is not None:
        yield f'<p class="warning" role="note">{_text(_deprecation(own))}</p>'
    yield from _subscribers(book, own.subscriptions, f"Who gets {own.name}", short=True)
    if own.newest is None:
        yield "<p>It has no schema: its data may be anything.</p>"
    else:
        yield f"<h4>Data, {_text(_version_name(own.newest))}</h4>"
        yield from _members(members_of(own.newest.schema), f"Members of {own.name}")
        yield from _example(own)
        yield from _history(own)
    yield "</article>"


def _deprecation(own: DescribedType) -> str:
    end = own.deprecation
    assert end is not None
    return " ".join(
        sentence
        for sentence in (
            f"Deprecated since {end.since}.",
            f"Publishing it is refused from {end.sunset} on." if end.sunset else "",
            f"Publish {end.use} instead." if end.use else "",
            end.why or "",
        )
        if sentence
    )


def _subscribers(
    book: Book, subscriptions: Sequence[SubscriptionTopology], caption: str, *, short: bool = False
) -> Iterator[str]:
    if not subscriptions:
        yield "<p>No subscription gets it.</p>"
        return
    # Said once, at the top, if it is the same for all.
    has_owners = bool(book.owners)
    columns = ["Subscription", "Guarantee", "Order", "Delivered by", "Contact"]
    columns += ["Owner"] if has_owners else []
    rows = []
    for own in subscriptions:
        definition = own.definition
        guarantee = Guarantee(definition.guarantee)
        who = {"everywhere": "every Region", "one": definition.region or "", "origin": "the Region of origin"}
        row = [
            _cell(own.name, is_head=True),
            f'<td title="{_text(guarantee.meaning)}">{_text(guarantee.value.replace("_", " "))}</td>',
            _cell("of each key" if definition.order == "key" else "none"),
            _cell(who[definition.deliver]),
            _cell(definition.contact or ""),
            *([_cell(book.owner_of(own.name))] if has_owners else []),
        ]
        if not short:
            row.append(_cell("all" if definition.types is None else ", ".join(definition.types)))
            row.append(f"<td><code>{_text(definition.handler)}</code></td>")
        rows.append("".join(row))
    yield from _table(caption, columns if short else [*columns, "Types", "Handler"], rows)


def _members(members: Sequence[Member], caption: str) -> Iterator[str]:
    rows = []
    for own in members:
        gone = ' <span class="badge">deprecated</span>' if own.is_deprecated else ""
        rows.append(
            f'<th scope="row"><code>{_text(own.path) or "(all)"}</code>{gone}</th>'
            f"{_cell(own.type)}{_cell(_PRESENCE[own.is_required])}"
            f"{_cell(own.description)}{_cell('; '.join(own.bounds))}"
        )
    yield from _table(caption, ["Member", "Type", "Presence", "Description", "Bounds"], rows)
    if len(members) == ROWS_MAX:
        yield f"<p>Further members are left out: more than {ROWS_MAX:,}.</p>"


def _example(own: DescribedType) -> Iterator[str]:
    if own.example is None:
        yield "<p>No example could be made of this schema.</p>"
        return
    text = dumps(own.example.data, indent=2, ensure_ascii=False)
    yield f'<h4>Example, invented</h4>\n<pre tabindex="0">{_text(text)}</pre>'


def _history(own: DescribedType) -> Iterator[str]:
    """Yield the versions that are not in force, the newest of them first, each folded up."""
    if len(own.versions) > 1:
        yield f"<h4>Other versions ({len(own.versions) - 1})</h4>"
    for version in reversed(own.versions[:-1]):
        name = _version_name(version)
        yield f"<details>\n<summary>{_text(name[:1].upper() + name[1:])}</summary>"
        if version.accepted_because:
            yield f"<p>Accepted in spite of what it breaks: {_text(version.accepted_because)}</p>"
        yield from _members(members_of(version.schema), f"Members of {own.name}, {name}")
        yield "</details>"


def _version_name(version: DescribedVersion) -> str:
    number = "as in the folder" if version.number is None else f"version {version.number}"
    since = f", registered {time_text(version.at_ms)}" if version.at_ms else ""
    by = f" by {version.by}" if version.by else ""
    return f"{number}{since}{by} ({version.document.digest})"


def _facts(facts: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield "<dl>"
    for name, value in facts:
        if value:
            yield f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>"
    yield "</dl>"


def _table(caption: str, columns: Sequence[str], rows: Iterable[str]) -> Iterator[str]:
    # Focusable, so that a wide table can be scrolled with the keyboard.
    yield f'<div class="wide" tabindex="0" role="region" aria-label="{_text(caption)}">'
    yield f"<table>\n<caption>{_text(caption)}</caption>"
    yield "<thead><tr>" + "".join(f'<th scope="col">{_text(own)}</th>' for own in columns) + "</tr></thead>"
    yield "<tbody>"
    yield from (f"<tr>{row}</tr>" for row in rows)
    yield "</tbody>\n</table>\n</div>"


def _cell(text: str, *, is_head: bool = False) -> str:
    return f'<th scope="row">{_text(text)}</th>' if is_head else f"<td>{_text(text)}</td>"


def _badges(own: DescribedType) -> str:
    return ' <span class="badge">deprecated</span>' if own.deprecation is not None else ""


def _stream_id(stream: DescribedStream) -> str:
    return f"stream-{plain_key(stream.name)}"


def _type_id(own: DescribedType) -> str:
    return f"type-{own.key}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _text(text: str) -> str:
    """Escape a text; what cannot be seen, such as a mark that turns the direction of writing, is shown as a code."""
    return escape(
        "".join(own if own.isprintable() or own == "\n" else f"\\u{ord(own):04x}" for own in text), quote=True
    )
