"""AsyncAPI 3.0: a fabric as one document, which catalogues, generators and linters of that standard read.

A stream is a channel, an event type a message, whoever publishes sends, and a subscription receives. What the standard
has no word for stands in extensions, `x-...`. Every version of a schema is in the document; a message has the newest.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from json import dumps
from typing import Any, Final

from eventfabric.cli.catalogue.book import Book, DescribedStream, DescribedType, DescribedVersion, plain_key
from eventfabric.cli.catalogue.references import REF, is_readable, moved
from eventfabric.contracts.identity import SchemaIdentity
from eventfabric.contracts.keywords import JsonSchema, subschemas
from eventfabric.definition.guarantee import Guarantee
from eventfabric.stream_topology import SubscriptionTopology

VERSION: Final = "3.0.0"
DRAFT_7: Final = "application/schema+json;version=draft-07"
DRAFT_2020: Final = "application/schema+json;version=draft-2020-12"
_LEFT_OUT: Final = (
    f"its schema: a member is called {REF}, which readers of this document take for a reference"
)
_ONLY_2020: Final = frozenset(
    {
        *("$anchor", "$dynamicAnchor", "$dynamicRef", "$vocabulary", "dependentRequired", "dependentSchemas"),
        *("maxContains", "minContains", "prefixItems", "unevaluatedItems", "unevaluatedProperties"),
    }
)
"""Keywords that draft 7 does not know."""
_TOLD: Final = frozenset({"title", "description", "deprecated", "$comment", "default", "examples"})
"""Keywords that allow and forbid nothing, so that draft 7 may pass over them beside a reference."""


def asyncapi_of(book: Book) -> dict[str, Any]:
    """Return the document. Its version is a digest of the rest: it changes when anything in it does."""
    document: dict[str, Any] = {
        "asyncapi": VERSION,
        "id": f"urn:eventfabric:{book.fabric}",
        "info": _given(
            title=f"Event fabric {book.fabric}",
            description=(
                "Events are delivered in the order of their key. Each is a CloudEvent 1.0; a payload is its data."
            ),
            contact={"name": book.owner} if book.owner else None,
        ),
        "defaultContentType": "application/json",
        "channels": {plain_key(stream.name): _channel(stream) for stream in book.streams},
        "operations": dict(_operations(book)),
        "components": {
            "messages": {own.key: _message(own) for stream in book.streams for own in stream.types},
            "schemas": dict(_schemas(book)),
        },
        "x-regions": list(book.regions),
        "x-registered": book.is_registered,
    }
    canonical = dumps(document, sort_keys=True, separators=(",", ":")).encode()
    document["info"]["version"] = sha256(canonical).hexdigest()[:12]
    return document


def schema_key(own: DescribedType, version: DescribedVersion) -> str:
    """Return the key of a version among the document's schemas."""
    return f"{own.key}.{version.document.digest}"


def schema_format(schema: JsonSchema) -> str:
    """Return the format of a schema: draft 7 where that says the very same, since every tool knows it.

    All schemas are of draft 2020-12. Tools pass over those whose format they do not know.
    """
    return DRAFT_7 if _means_the_same_in_draft_7(schema) else DRAFT_2020


def _means_the_same_in_draft_7(schema: JsonSchema) -> bool:
    if isinstance(schema, bool):
        return True
    if not _ONLY_2020.isdisjoint(schema) or (REF in schema and not schema.keys() <= {REF, "$defs", *_TOLD}):
        return False
    return all(_means_the_same_in_draft_7(own) for _, own in subschemas(schema))


def _channel(stream: DescribedStream) -> dict[str, Any]:
    definition = stream.topology.definition
    return _given(
        address=stream.name,
        title=stream.name,
        messages={plain_key(own.name): _to(f"components/messages/{own.key}") for own in stream.types},
        **{
            "x-table": stream.topology.table.name,
            "x-regions": list(definition.regions),
            "x-regions-closing": list(stream.topology.closing) or None,
            "x-durability": definition.durability,
            "x-retention-days": definition.retention_days,
            "x-lanes": definition.lanes,
            "x-schemas": definition.schemas,
        },
    )


def _operations(book: Book) -> Iterator[tuple[str, dict[str, Any]]]:
    for stream in book.streams:
        channel, name = plain_key(stream.name), stream.name
        for source, contact in stream.sources.items():
            is_usual = source == stream.topology.source
            key = f"publish.{channel}" if is_usual else f"publish.{channel}.source.{plain_key(source)}"
            yield (
                key,
                _given(
                    action="send",
                    channel=_to(f"channels/{channel}"),
                    title=f"Publish to {name} as {source}",
                    **{"x-source": source, "x-contact": contact or None},
                ),
            )
        for own in stream.publishers:
            yield (
                f"publish.{channel}.handler.{plain_key(own.name)}",
                _given(
                    action="send",
                    channel=_to(f"channels/{channel}"),
                    title=f"Publish to {name} from the handler of {own.name}",
                    **{"x-source": stream.topology.source, **_who(book, own)},
                ),
            )
        for own in stream.subscriptions:
            yield f"receive.{plain_key(own.name)}", _received(book, stream, own)


def _received(book: Book, stream: DescribedStream, own: SubscriptionTopology) -> dict[str, Any]:
    definition, channel = own.definition, plain_key(stream.name)
    guarantee = Guarantee(definition.guarantee)
    types = [described for described in stream.types if own in described.subscriptions]
    return _given(
        action="receive",
        channel=_to(f"channels/{channel}"),
        title=own.name,
        # Without the list it is all of the channel's messages.
        messages=None
        if definition.types is None
        else [_to(f"channels/{channel}/messages/{plain_key(described.name)}") for described in types],
        **{
            **_who(book, own),
            "x-guarantee": guarantee.value,
            "x-order": definition.order,
            "x-deliver": definition.deliver,
            "x-region": definition.region,
            "x-start": definition.start,
            "x-on-late": definition.on_late,
            "x-validated": definition.validate or None,
            "x-publishes": list(definition.publishes) or None,
        },
    )


def _who(book: Book, own: SubscriptionTopology) -> dict[str, Any]:
    return {
        "x-subscription": own.name,
        "x-handler": own.definition.handler,
        "x-contact": own.definition.contact,
        "x-owner": book.owner_of(own.name) or None,
    }


def _message(own: DescribedType) -> dict[str, Any]:
    newest = own.newest
    has_payload = newest is not None and is_readable(newest.schema)
    return _given(
        name=own.name,
        title=own.title,
        description=own.description or None,
        contentType="application/json",
        payload=_to(f"components/schemas/{schema_key(own, newest)}") if newest and has_payload else None,
        examples=_examples(own),
        deprecated=True if own.deprecation else None,
        **{
            "x-stream": own.stream,
            "x-compatibility": own.compatibility or None,
            "x-versions": [_version(own, version) for version in own.versions] or None,
            "x-left-out": None if has_payload or newest is None else _LEFT_OUT,
            "x-deprecation": None if own.deprecation is None else _deprecation(own),
        },
    )


def _examples(own: DescribedType) -> list[dict[str, Any]] | None:
    if own.example is None or not is_readable({"const": own.example.data}):
        return None
    return [{"name": "invented", "payload": own.example.data}]


def _version(own: DescribedType, version: DescribedVersion) -> dict[str, Any]:
    digest = version.document.digest
    return _given(
        number=version.number,
        dataschema=str(SchemaIdentity(own.stream, own.name, digest)),
        schema=f"#/components/schemas/{schema_key(own, version)}" if is_readable(version.schema) else None,
        registered=time_text(version.at_ms) or None,
        by=version.by or None,
        acceptedBecause=version.accepted_because or None,
    )


def _deprecation(own: DescribedType) -> dict[str, Any]:
    end = own.deprecation
    assert end is not None
    return _given(since=end.since, sunset=end.sunset, use=end.use, why=end.why)


def _schemas(book: Book) -> Iterator[tuple[str, Any]]:
    for stream in book.streams:
        for own in stream.types:
            for version in own.versions:
                key, schema = schema_key(own, version), version.schema
                if not is_readable(schema):
                    continue
                place = f"#/components/schemas/{key}/schema"
                yield key, {"schemaFormat": schema_format(schema), "schema": moved(schema, place)}


def time_text(time_ms: int) -> str:
    """Return a time as text for people and machines; empty for 0, which stands for none."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds") if time_ms else ""


def _to(place: str) -> Mapping[str, str]:
    return {REF: f"#/{place}"}


def _given(**members: Any) -> dict[str, Any]:
    """Return the members that are not None."""
    return {name: value for name, value in members.items() if value is not None}
