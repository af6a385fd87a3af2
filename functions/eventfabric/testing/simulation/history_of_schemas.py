"""Entries of a history about schemas: which are registered, and which events were held to them."""

import msgspec

from eventfabric.testing.simulation.history_entry import Entry


class SchemaRegistered(Entry, frozen=True, kw_only=True):
    """A pipeline was told that a type's schema is registered as a version, in a Region's lane."""

    region: str
    of: str
    number: int
    digest: str


class SchemasAsked(Entry, frozen=True, kw_only=True):
    """A pipeline got an answer to one request that schemas be registered: by type, their digests.

    `since`, `until`: numbers of registrations that there were when it asked, and when it was answered. `reason`: for
    which breaks are accepted. `refused`: they break others, as it was told. `failed`: the error after which it gave up.
    """

    request: str
    schemas: dict[str, str]
    texts: dict[str, str]
    since: int
    until: int
    reason: str = ""
    refused: bool = False
    failed: str = ""


class PutVersion(msgspec.Struct, frozen=True):
    """A version of a type's schema in an index."""

    number: int
    digest: str
    reason: str = ""


class SchemasPut(Entry, frozen=True, kw_only=True):
    """A record of a Region's own lane, as it stands there in the end: the whole index after a request.

    `versions`: of each type, in the order in which they were registered last. `count`: of all registrations.
    """

    region: str
    sequence: int
    request: str
    count: int
    versions: dict[str, tuple[PutVersion, ...]]


class SchemaLookedUp(Entry, frozen=True, kw_only=True):
    """A consumer asked for the version of a type's schema, and for the schema of that version.

    `number`: the answer; 0: none. `schema`: digest of the schema that the version has; empty: it cannot be read.
    `there`: the schema had come to the Region before, and a Region that was declared there had registered it.
    """

    region: str
    of: str
    digest: str
    number: int
    schema: str
    there: bool


class ListedSchema(msgspec.Struct, frozen=True):
    """A version of a type's schema, with the schema's text; or with the reason why it cannot be read.

    `accepted`: the reason for which a person accepted what it breaks; empty: nothing.
    """

    of: str
    number: int
    digest: str
    text: str
    accepted: str = ""


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


OfSchemas = (
    SchemaRegistered
    | SchemasAsked
    | SchemasPut
    | SchemaLookedUp
    | SchemasListed
    | EventsOffered
    | EventsListed
)
