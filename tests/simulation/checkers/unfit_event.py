"""Unfit event: the log has one that the schema which it names refuses; or one that fits was refused, or forgotten."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.history_of_schemas import EventsListed, EventsOffered, SchemasListed
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict

NAME = "unfit_event"
_Schemas = Mapping[tuple[str, str], Any]
"""Schemas by type and digest."""
_KINDS = {"integer": int, "string": str}


def check(of: History) -> Verdict:
    """Check what producers offered, what they were told of it, and what stands in the log in the end."""
    schemas: dict[tuple[str, str], Any] = {}
    lists: list[tuple[int, EventsListed]] = []
    offers: list[tuple[int, EventsOffered]] = []
    for number, entry in enumerate(of.entries):
        if isinstance(entry, SchemasListed):
            readable = [own for own in entry.versions if own.text.startswith("{")]
            schemas |= {(own.of, own.digest): json.loads(own.text) for own in readable}
        elif isinstance(entry, EventsListed):
            lists.append((number, entry))
        elif isinstance(entry, EventsOffered):
            offers.append((number, entry))
    in_log = {event.key for _, listed in lists for event in listed.events}
    anomalies = [Anomaly(said, number) for number, listed in lists for said in _unfit(listed, schemas)]
    anomalies += [Anomaly(said, number) for number, own in offers for said in _wrong(own, schemas, in_log)]
    return verdict(NAME, anomalies)


def _unfit(listed: EventsListed, schemas: _Schemas) -> Iterator[str]:
    """Say which events of a log do not fit."""
    for event in listed.events:
        schema = schemas.get((event.of, event.digest))
        if schema is None:
            yield f"{event.key} in {listed.region} names no schema that is registered"
        elif not _fits(schema, event.data):
            yield f"{event.key} in {listed.region} does not fit the schema that it names"


def _wrong(offered: EventsOffered, schemas: _Schemas, in_log: set[str]) -> Iterator[str]:
    """Say of which events a producer was told something wrong, or nothing."""
    schema = schemas.get((offered.of, offered.digest))
    if schema is None:
        return
    if offered.failed == "InvalidEventError":
        yield f"{offered.actor} was told that events do not fit, and of none which"
    for event in offered.events:
        if event.key in offered.refused and _fits(schema, event.data):
            yield f"{event.key} fits, and was refused"
        if event.key in offered.refused and event.key in in_log:
            yield f"{event.key} was refused, and is published"
        if event.key in offered.published and event.key not in in_log:
            yield f"{event.key} was said to be published, and is not"
        if not offered.failed and event.key not in (*offered.refused, *offered.published):
            yield f"{event.key} was neither refused nor published"


def _fits(schema: Any, data: str) -> bool:
    """Tell if data fits one of the simulation's schemas, by other code than that of producers."""
    value, members = json.loads(data), schema["properties"]
    return isinstance(value, dict) and all(
        name in members and type(own) is _KINDS[members[name]["type"]] for name, own in value.items()
    )
