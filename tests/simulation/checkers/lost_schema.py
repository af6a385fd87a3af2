"""Lost schema: a consumer that asks for a registered schema, by its digest or its number, gets none, or another."""

from collections.abc import Iterator

from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.history_of_schemas import SchemaLookedUp, SchemasPut
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.registered import Given, numbers_of

NAME = "lost_schema"


def check(of: History) -> Verdict:
    """Check that each answer is what was registered, and that there is an answer once a schema has come to a Region."""
    given = numbers_of(entry for entry in of.entries if isinstance(entry, SchemasPut))
    anomalies = [
        Anomaly(f"{entry.digest} of {entry.of} in {entry.region}: {said}", number)
        for number, entry in enumerate(of.entries)
        if isinstance(entry, SchemaLookedUp)
        for said in _wrong(entry, given)
    ]
    return verdict(NAME, anomalies)


def _wrong(asked: SchemaLookedUp, given: Given) -> Iterator[str]:
    numbers = given.get((asked.of, asked.digest), set())
    if asked.there and not asked.number:
        yield f"there as {sorted(numbers)}, and not known"
    if asked.number and asked.number not in numbers:
        yield f"said to be {asked.number}, and is {sorted(numbers)}"
    if asked.schema not in (asked.digest, "") or (asked.there and asked.number and not asked.schema):
        yield f"version {asked.number}, by which it is {asked.schema or 'not there'}"
