"""Unreported finding: something was wrong with what is stored, and no pass of reconciliation said so."""

from eventfabric.simulation import history
from eventfabric.simulation.checkers.verdict import Anomaly, Facts, Verdict, verdict
from eventfabric.simulation.history import History

NAME = "unreported_finding"


def check(of: History) -> Verdict:
    """A changed record is found to diverge; of a lost one, either that is found, or it is there again."""
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
        later = of.entries[number:]
        place = (deed.region, deed.lane)
        found = {e.finding for e in later if isinstance(e, history.Found) and (e.region, e.lane) == place}
        mended = any(
            isinstance(e, history.Appended) and (e.region, e.lane, e.sequence) == (*place, deed.sequence)
            for e in later
        )
        gone = any(
            isinstance(e, history.Removed) and (e.lane, e.sequence) == (deed.lane, deed.sequence)
            for e in later
        )
        reported = "divergence" in found if deed.what == "copy changed" else bool(found) or mended
        if not (reported or gone):
            anomalies.append(
                Anomaly(
                    f"{deed.what}: {deed.lane}@{deed.sequence} in {deed.region}, and nobody says so", number
                )
            )
    return verdict(NAME, anomalies)
