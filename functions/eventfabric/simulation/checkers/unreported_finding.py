"""Unreported finding: something was wrong with what is stored, and no pass of reconciliation said so."""

from eventfabric.simulation import history
from eventfabric.simulation.checkers.verdict import Anomaly, Facts, Verdict, verdict
from eventfabric.simulation.history import History

NAME = "unreported_finding"


def check(of: History) -> Verdict:
    """Of a changed or lost record, either that is found, or replication has put it right again."""
    facts = Facts(of)
    tampered = [
        (number, entry) for number, entry in enumerate(of.entries) if isinstance(entry, history.Tampered)
    ]
    if not tampered:
        return verdict(NAME, [], unknown=True)
    if facts.end is None or not facts.end.quiet:
        return verdict(NAME, [], unknown=True)
    anomalies: list[Anomaly] = []
    for number, deed in tampered:
        later = of.entries[number + 2 :]  # behind the change itself
        place, there = (deed.region, deed.lane), (deed.region, deed.lane, deed.sequence)
        found = {e.finding for e in later if isinstance(e, history.Found) and (e.region, e.lane) == place}
        mended = any(
            isinstance(e, history.Appended) and (e.region, e.lane, e.sequence) == there for e in later
        )
        gone = any(
            isinstance(e, history.Removed) and (e.lane, e.sequence) == (deed.lane, deed.sequence)
            for e in later
        )
        reported = "divergence" in found if deed.what == "copy changed" else bool(found)
        if not (reported or mended or gone):
            what = f"{deed.what}: {deed.lane}@{deed.sequence} in {deed.region}, and nobody says so"
            anomalies.append(Anomaly(what, number))
    return verdict(NAME, anomalies)
