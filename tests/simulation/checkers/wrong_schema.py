"""Wrong schema: a version that was given is not there any more, or two are that do not go together."""

import json
from itertools import combinations

from eventfabric.contracts.differ import differences
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.history_of_schemas import (
    ListedSchema,
    SchemaRegistered,
    SchemasListed,
)
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict

NAME = "wrong_schema"


def check(of: History) -> Verdict:
    """Check what is registered in the end against what was acknowledged, in every Region's copy."""
    anomalies: list[Anomaly] = []
    given: list[tuple[int, SchemaRegistered]] = []
    lists: list[tuple[int, SchemasListed]] = []
    for number, entry in enumerate(of.entries):
        if isinstance(entry, SchemaRegistered):
            given.append((number, entry))
        elif isinstance(entry, SchemasListed):
            lists.append((number, entry))
    for number, listed in lists:
        anomalies += [Anomaly(f"{listed.lane} in {listed.region}: {said}", number) for said in _wrong(listed)]
    own = {
        (listed.lane, version.of, version.number, version.digest)
        for _, listed in lists
        if listed.region == listed.lane
        for version in listed.versions
    }
    copies = {(listed.lane, listed.versions) for _, listed in lists}
    if len(copies) > len({lane for lane, _ in copies}):
        anomalies.append(Anomaly("Regions have different schemas of one lane", lists[-1][0]))
    anomalies += [
        Anomaly(f"version {entry.number} of {entry.of} was given to {entry.digest}, and is not there", number)
        for number, entry in given
        if (entry.region, entry.of, entry.number, entry.digest) not in own
    ]
    return verdict(NAME, anomalies)


def _wrong(listed: SchemasListed) -> list[str]:
    said = [
        f"version {own.number} of {own.of} {own.text}"
        for own in listed.versions
        if not own.text.startswith("{")
    ]
    said += [
        f"versions {earlier.number} and {later.number} of {later.of} do not go together"
        for earlier, later in combinations(listed.versions, 2)
        if earlier.of == later.of
        and not said
        and not _is_accepted(listed, earlier, later)
        and _exclude_each_other(earlier, later)
    ]
    return said


def _is_accepted(listed: SchemasListed, *two: ListedSchema) -> bool:
    """Tell if a person has accepted a break at the later of two versions, or at one between them."""
    before, last = sorted(own.number for own in two)
    return any(
        own.of == two[0].of and own.accepted and before < own.number <= last for own in listed.versions
    )


def _exclude_each_other(earlier: ListedSchema, later: ListedSchema) -> bool:
    old, new = json.loads(earlier.text), json.loads(later.text)
    return bool(differences(old, new) or differences(new, old))
