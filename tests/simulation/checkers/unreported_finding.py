"""Unreported finding: stored data was wrong, and no pass of reconciliation reported it."""

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.facts import facts_of, places_of

NAME = "unreported_finding"


def check(of: History) -> Verdict:
    """Check that each changed or lost record was reported, or put right again by replication."""
    facts = facts_of(of)
    tampered = [
        (number, entry)
        for number, entry in enumerate(of.entries)
        if isinstance(entry, history.Tampered) and entry.what != "state spoilt"  # that is put right again
    ]
    if not tampered:
        return verdict(NAME, [], unknown=True)
    if facts.end is None or not facts.end.quiet:
        return verdict(NAME, [], unknown=True)
    anomalies: list[Anomaly] = []
    for number, deed in tampered:
        later = of.entries[number + 2 :]  # after the change itself
        if deed.what == "made anew" and deed.lane not in facts.lanes:
            continue  # a lane without events that was created anew looks like any other
        place, there = (deed.region, deed.lane), (deed.region, deed.lane, deed.sequence)
        findings = {e.finding for e in later if isinstance(e, history.Found) and (e.region, e.lane) == place}
        mended = any(
            isinstance(e, history.Appended)
            and ((e.region, e.lane, e.sequence) == there or (e.skipped and there[1:] in places_of(e)))
            for e in later
        )
        gone = any(
            isinstance(e, history.Removed) and (e.lane, e.sequence) == (deed.lane, deed.sequence)
            for e in later
        )
        reported = "divergence" in findings if deed.what == "copy changed" else bool(findings)
        if not (reported or mended or gone):
            what = f"{deed.what}: {deed.lane}@{deed.sequence} in {deed.region}, and nobody says so"
            anomalies.append(Anomaly(what, number))
        if deed.what == "copy changed":
            anomalies += _handed_out(of, number, deed)
    return verdict(NAME, anomalies)


def _handed_out(of: History, number: int, deed: history.Tampered) -> list[Anomaly]:
    """Check that a cursor before the changed record delivers nothing from there on, as long as the change remains."""
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
