"""Backfill gap: a backfill reports that it is done, but the target lacks a record that the source had when it began."""

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.facts import facts_of

NAME = "backfill_gap"


def check(of: History) -> Verdict:
    """Check that after each completed backfill, the target has what the source had when it began."""
    facts = facts_of(of)
    anomalies: list[Anomaly] = []
    held: dict[str, set[tuple[str, int]]] = {region: set() for region in of.plan.regions}
    began: dict[str, set[tuple[str, int]]] = {}
    gone: set[tuple[str, int]] = set()
    for number, entry in enumerate(of.entries):
        match entry:
            case history.Appended():
                held[entry.region].add((entry.lane, entry.sequence))
            case history.Removed():
                held[entry.region].discard((entry.lane, entry.sequence))
                gone.add((entry.lane, entry.sequence))
            case history.Happened() if entry.what == "backfill_begins":
                began[entry.actor] = set(held[entry.about.partition(" ")[2]])
            case history.Backfilled() if entry.state == "done":
                missing = began[entry.actor] - held[entry.region] - gone
                for lane, sequence in sorted(missing):
                    if lane not in facts.changed_lanes:
                        what = f"{entry.region} lacks {lane}@{sequence} after a backfill from {entry.source}"
                        anomalies.append(Anomaly(what, number))
    return verdict(NAME, anomalies)
