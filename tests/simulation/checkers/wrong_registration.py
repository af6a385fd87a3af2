"""Wrong registration: what a request did to the index of schemas, or how it was answered, is not as the rules say."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.history_of_schemas import PutVersion, SchemasAsked, SchemasPut
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.registered import Texts, fits, numbers_of

NAME = "wrong_registration"
_NONE = SchemasPut(at_ms=0, actor="", region="", sequence=0, request="", count=0, versions={})


def check(of: History) -> Verdict:
    """Check that each index follows from the one before, in whichever Region, and each answer from those meanwhile."""
    asked = [(number, entry) for number, entry in enumerate(of.entries) if isinstance(entry, SchemasAsked)]
    listed = [(number, entry) for number, entry in enumerate(of.entries) if isinstance(entry, SchemasPut)]
    listed.sort(key=lambda pair: pair[1].count)
    texts = {(type_, entry.schemas[type_]): text for _, entry in asked for type_, text in entry.texts.items()}
    puts = [put for _, put in listed]
    anomalies = [
        Anomaly(f"after {put.count} registrations, in {put.region}: {said}", number)
        for (number, put), before in zip(listed, [_NONE, *puts], strict=False)
        for said in _wrong(before, put, texts)
    ]
    end = listed[-1][0] if listed else 0
    anomalies += [
        Anomaly(f"{of} has the numbers {sorted(numbers)}", end)
        for of, numbers in numbers_of(puts).items()
        if len(numbers) > 1
    ]
    anomalies += [
        Anomaly(f"{request} has registered {of} {times} times", end)
        for (request, *of), times in _times(puts).items()
        if times > 1
    ]
    anomalies += [
        Anomaly(f"{entry.request}: {said}", number)
        for number, entry in asked
        for said in _wrong_answer(entry, puts, texts)
    ]
    return verdict(NAME, anomalies)


def _new(before: SchemasPut, put: SchemasPut) -> dict[str, PutVersion]:
    """Return what a record has registered, by type."""
    return {
        type_: versions[-1]
        for type_, versions in put.versions.items()
        if versions != before.versions.get(type_)
    }


def _times(puts: Sequence[SchemasPut]) -> Counter[tuple[str, str, str]]:
    return Counter(
        (put.request, type_, own.digest)
        for before, put in pairwise([_NONE, *puts])
        for type_, own in _new(before, put).items()
    )


def _wrong(before: SchemasPut, put: SchemasPut, texts: Texts) -> Iterator[str]:
    new = _new(before, put)
    if put.count != before.count + len(new):
        yield f"does not follow the index after {before.count}"
    for type_, own in new.items():
        was = before.versions.get(type_, ())
        known = next((version for version in was if version.digest == own.digest), None)
        others = tuple(version for version in was if version is not known)
        if put.versions[type_] != (*others, own):
            yield f"other versions of {type_} than before"
        if own.number != (known.number if known else len(was) + 1):
            yield f"{own.digest} of {type_} has become version {own.number}"
        is_new = known is None and (type_, own.digest) in texts
        if known is not None and own.reason != known.reason:
            yield f"version {own.number} of {type_} came back with another reason"
        if is_new and bool(own.reason) == fits(type_, own.digest, was, texts):
            yield f"version {own.number} of {type_} {'fits, with' if own.reason else 'does not fit, without'} a reason"


def _wrong_answer(asked: SchemasAsked, puts: Sequence[SchemasPut], texts: Texts) -> Iterator[str]:
    """Yield why an answer follows from no index that there was between the question and it."""
    before = [put for put in [_NONE, *puts] if put.count <= asked.since][-1:]
    meanwhile = [*before, *(put for put in puts if asked.since < put.count <= asked.until)]
    if asked.failed:
        yield f"{asked.failed}, although nothing fails any more"
    elif asked.refused:
        if asked.reason or all(
            fits(type_, digest, put.versions.get(type_, ()), texts)
            for put in meanwhile
            for type_, digest in asked.schemas.items()
        ):
            yield "refused, although it breaks nobody, or somebody has accepted that"
    else:
        yield from (
            f"{digest} of {type_} has not become the newest"
            for type_, digest in asked.schemas.items()
            if not any(
                put.versions.get(type_, (PutVersion(0, ""),))[-1].digest == digest for put in meanwhile
            )
        )
