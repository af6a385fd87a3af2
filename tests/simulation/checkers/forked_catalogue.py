"""Forked catalogue: declarations of a Region that do not continue one another, or that other Regions have otherwise."""

from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.history_of_deployments import CatalogueListed
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict

NAME = "forked_catalogue"


def check(of: History) -> Verdict:
    """Check that each lane of declarations is one chain, and in the end the same in all Regions."""
    anomalies: list[Anomaly] = []
    first: dict[str, CatalogueListed] = {}
    for number, entry in enumerate(of.entries):
        if not isinstance(entry, CatalogueListed):
            continue
        where = f"the lane of {entry.lane} in {entry.region}"
        broken = [change.request for change in entry.changes if not change.is_next]
        anomalies += [Anomaly(f"{where}: {request} continues nothing", number) for request in broken]
        if first.setdefault(entry.lane, entry).changes != entry.changes:
            anomalies.append(Anomaly(f"{where} differs from that in {first[entry.lane].region}", number))
    return verdict(NAME, anomalies)
