"""Stale catalogue: somebody goes on by what was declared long ago."""

from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.history_of_deployments import CatalogueListed, CatalogueRead
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict

NAME = "stale_catalogue"


def check(of: History) -> Verdict:
    """Check that each Region's reader knows the newest declaration in the end, minutes after faults and changes."""
    anomalies: list[Anomaly] = []
    known: dict[str, CatalogueRead] = {}
    for number, entry in enumerate(of.entries):
        match entry:
            case CatalogueRead():
                before = known.get(entry.region)
                if before is not None and before.actor == entry.actor and entry.sequence < before.sequence:
                    anomalies.append(Anomaly(f"{entry.actor} went back to {entry.sequence}", number))
                known[entry.region] = entry
            case CatalogueListed() if entry.region == entry.lane:
                read = known[entry.region].sequence if entry.region in known else 0
                if read != len(entry.changes):
                    about = f"{read} of {len(entry.changes)} declarations"
                    anomalies.append(Anomaly(f"the reader in {entry.region} knows {about}", number))
            case _:
                pass
    return verdict(NAME, anomalies)
