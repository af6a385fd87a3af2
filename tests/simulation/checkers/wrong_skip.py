"""Wrong skip: an operator let a lane skip an event that is in some Region's log."""

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.facts import places_of

NAME = "wrong_skip"


def check(of: History) -> Verdict:
    """Check at every skip that no Region has the events that it skips."""
    standing: dict[str, set[tuple[str, int]]] = {region: set() for region in of.plan.regions}
    anomalies: list[Anomaly] = []
    for number, entry in enumerate(of.entries):
        match entry:
            case history.Appended() if not entry.skipped:
                standing[entry.region].update(places_of(entry))
            case history.Removed():
                gone = [(entry.lane, entry.sequence + index) for index in range(entry.count)]
                standing[entry.region].difference_update(gone)
            case history.Appended() if not entry.copied:
                for region, places in standing.items():
                    anomalies += [
                        Anomaly(f"{lane}@{sequence} is skipped, and stands in {region}", number)
                        for lane, sequence in places_of(entry)
                        if (lane, sequence) in places
                    ]
    return verdict(NAME, anomalies)
