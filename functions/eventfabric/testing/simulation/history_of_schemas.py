"""Entries of a history about schemas: which are registered, and which events were held to them."""

import msgspec

from eventfabric.testing.simulation.history_entry import Entry


class SchemaRegistered(Entry, frozen=True, kw_only=True):
    """A pipeline was told that a type's schema is registered as a version, in a Region's lane."""

    region: str
    of: str
    number: int
    digest: str


class ListedSchema(msgspec.Struct, frozen=True):
    """A version of a type's schema, with the schema's text; or with the reason why it cannot be read."""

    of: str
    number: int
    digest: str
    text: str


class SchemasListed(Entry, frozen=True, kw_only=True):
    """All schemas in a Region's `lane` as another Region's table has them in the end."""

    region: str
    lane: str
    versions: tuple[ListedSchema, ...]


class OfferedEvent(msgspec.Struct, frozen=True):
    """An event to be published: its key, which no other event has, and its data as JSON text."""

    key: str
    data: str


class EventsOffered(Entry, frozen=True, kw_only=True):
    """A producer that was built with a type's schema was told what became of its events.

    `refused`: keys of the events of which it was told that they do not fit. `published`: keys of those that are
    published. `failed`: the error that left the rest undecided; empty: there is no rest.
    """

    region: str
    how: str
    of: str
    digest: str
    events: tuple[OfferedEvent, ...]
    refused: tuple[str, ...]
    published: tuple[str, ...]
    failed: str = ""


class ListedEvent(msgspec.Struct, frozen=True):
    """An event of a type with a schema, as the log has it. `digest`: of the schema that it names; empty: of none."""

    key: str
    of: str
    digest: str
    data: str


class EventsListed(Entry, frozen=True, kw_only=True):
    """All events of types with schemas that were published in a Region, in the end."""

    region: str
    events: tuple[ListedEvent, ...]


OfSchemas = SchemaRegistered | SchemasListed | EventsOffered | EventsListed
