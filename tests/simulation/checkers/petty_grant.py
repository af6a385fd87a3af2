"""Petty grant: a commit grants so little more that the write of the slot is not worth it."""

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.credited import Credited, gates_in

NAME = "petty_grant"


def check(of: History) -> Verdict:
    """Check that a commit grants a quarter of the least window more, or goes on from what a slot holds."""
    if not gates_in(of):
        return verdict(NAME, [])
    credited = Credited(of)
    anomalies: list[Anomaly] = []
    for number, entry in enumerate(of.entries):
        if isinstance(entry, history.CursorMoved) and not entry.copied and entry.before is not None:
            before, after = entry.before.granted, entry.after.granted
            settings = credited.subscription(entry.subscription).backpressure
            held = credited.shown[entry.region, entry.subscription, entry.lane].values() or [0]
            if settings is not None and -1 < max(before, *held) == before < after:
                least = max(1, settings.events_min // 4)
                if after - before < least:
                    what = f"{entry.subscription} grants {after - before} more of {entry.lane}, not {least}"
                    anomalies.append(Anomaly(what, number))
        credited.feed(entry)
    return verdict(NAME, anomalies)
