"""Rules of the registry, once more: which versions there are after each registration, and which of them bind."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from eventfabric.contracts.differ import differences
from eventfabric.testing.simulation.history_of_schemas import PutVersion, SchemasPut

Given = Mapping[tuple[str, str], set[int]]
"""Numbers of each type's digests. There should be one of each."""
Texts = Mapping[tuple[str, str], str]
"""Schemas by type and digest."""


def numbers_of(puts: Iterable[SchemasPut]) -> Given:
    """Return the numbers that each schema has in any index."""
    given: dict[tuple[str, str], set[int]] = defaultdict(set)
    for put in puts:
        for type_, versions in put.versions.items():
            for own in versions:
                given[type_, own.digest].add(own.number)
    return given


def binding(versions: Sequence[PutVersion]) -> list[PutVersion]:
    """Return the versions, in the order of their last registration, with which a new one has to go together.

    Where a person has accepted a break: those from there on, and those that came back since that one did.
    """
    accepted = [own for own in versions if own.reason]
    if not accepted:
        return list(versions)
    last = max(accepted, key=lambda own: own.number)
    since = versions.index(last)
    return [own for place, own in enumerate(versions) if place > since or own.number >= last.number]


def fits(type_: str, digest: str, versions: Sequence[PutVersion], texts: Texts) -> bool:
    """Tell if a schema may become a version of a type without a reason: it was one before, or excludes none."""
    if any(own.digest == digest for own in versions):
        return True
    new = json.loads(texts[type_, digest])
    others = [json.loads(texts[type_, own.digest]) for own in binding(versions)]
    return not any(differences(new, old) or differences(old, new) for old in others)
