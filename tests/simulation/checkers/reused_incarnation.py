"""Reused incarnation: a name that comes back after it was retired goes on with the state of its former life."""

from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.history_of_deployments import CatalogueListed
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict

NAME = "reused_incarnation"


def check(of: History) -> Verdict:
    """Check that no incarnation is active in a Region again once it was retired there."""
    anomalies: list[Anomaly] = []
    for number, entry in enumerate(of.entries):
        if not isinstance(entry, CatalogueListed):
            continue
        ended: set[tuple[str, int]] = set()
        for change in entry.changes:
            for name, own in change.subscriptions.items():
                if own.state == "retired":
                    ended.add((name, own.incarnation))
                elif (name, own.incarnation) in ended:
                    about = (
                        f"{change.request} makes {name} {own.incarnation} {own.state} again in {entry.lane}"
                    )
                    anomalies.append(Anomaly(about, number))
    return verdict(NAME, anomalies)
