"""Unreported finding: something was wrong with what is stored, and no pass of reconciliation said so."""

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.facts import Facts, places_of

NAME = "unreported_finding"


def check(of: History) -> Verdict:
    """Of a changed or lost record, either that is found, or replication has put it right again."""
    facts = Facts(of)
    tampered = [
        (number, entry)
        for number, entry in enumerate(of.entries)
        if isinstance(entry, history.Tampered) and entry.what != "state spoilt"  # which is put right again
    ]
    if not tampered:
        return verdict(NAME, [], unknown=True)
    if facts.end is None or not facts.end.quiet:
        return verdict(NAME, [], unknown=True)
    anomalies: list[Anomaly] = []
    for number, deed in tampered:
        later = of.entries[number + 2 :]  # behind the change itself
        if deed.what == "made anew" and deed.lane not in facts.lanes:
            continue  # nothing tells a lane without events that was made anew from any other
        place, there = (deed.region, deed.lane), (deed.region, deed.lane, deed.sequence)
        found = {e.finding for e in later if isinstance(e, history.Found) and (e.region, e.lane) == place}
        mended = any(
            isinstance(e, history.Appended)
            and ((e.region, e.lane, e.sequence) == there or (e.skipped and there[1:] in places_of(e)))
            for e in later
        )
        gone = any(
            isinstance(e, history.Removed) and (e.lane, e.sequence) == (deed.lane, deed.sequence)
            for e in later
        )
        reported = "divergence" in found if deed.what == "copy changed" else bool(found)
        if not (reported or mended or gone):
            what = f"{deed.what}: {deed.lane}@{deed.sequence} in {deed.region}, and nobody says so"
            anomalies.append(Anomaly(what, number))
        if deed.what == "copy changed":
            anomalies += _handed_out(of, number, deed)
    return verdict(NAME, anomalies)


def _handed_out(of: History, number: int, deed: history.Tampered) -> list[Anomaly]:
    """Whose cursor stands before the change delivers nothing from there on, as long as the record stands so."""
    cursors: dict[tuple[str, str], int] = {}
    reads: set[str] = set()
    for index, entry in enumerate(of.entries):
        match entry:
            case history.CursorMoved() if not entry.copied and entry.lane == deed.lane:
                cursors[entry.writer, entry.subscription] = entry.after.sequence
            case history.Appended() | history.Removed() if index > number + 1:
                if (entry.region, entry.lane, entry.sequence) == (deed.region, deed.lane, deed.sequence):
                    return []
            case history.LaneRead() if index > number and entry.lane == deed.lane:
                stands_before = cursors.get((entry.region, entry.subscription), 0) <= deed.sequence
                (reads.add if stands_before else reads.discard)(entry.actor)
            case history.AttemptBegan() if entry.region == deed.region and entry.actor in reads:
                for place in entry.events:
                    if place.lane == deed.lane and place.sequence >= deed.sequence:
                        what = (
                            f"{place.id} was handed out, at or behind the changed {deed.lane}@{deed.sequence}"
                        )
                        return [Anomaly(what, index)]
    return []
