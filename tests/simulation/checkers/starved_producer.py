"""Starved producer: nothing fails any more, all is delivered, and producers are held back."""

from eventfabric.testing.simulation import history_of_credits
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.credited import Credited, gates_in, origin_of

NAME = "starved_producer"


def check(of: History) -> Verdict:
    """Check that in the end no producer is held back, and that nobody who came now would be."""
    if not gates_in(of):
        return verdict(NAME, [])
    credited = Credited(of)
    anomalies: list[Anomaly] = []
    for number, entry in enumerate(of.entries):
        credited.feed(entry)
        if isinstance(entry, history_of_credits.GivenUp):
            anomalies.append(Anomaly(f"{', '.join(entry.ids)} never got credit", number))
    last = len(of.entries) - 1
    for gate in sorted(_gates_in_the_end(of)):
        for lane, end in sorted(credited.ends.items()):
            grant, cursor = credited.grant(origin_of(lane), gate, lane), credited.owner(gate, lane)
            is_drained = cursor is not None and cursor.sequence >= end
            if is_drained and grant is not None and grant <= end:
                what = f"{gate} has delivered all of {lane}, and grants {grant} of {end}"
                anomalies.append(Anomaly(what, last))
    return verdict(NAME, anomalies)


def _gates_in_the_end(of: History) -> frozenset[str]:
    """Return the gates by which producers would go that began now."""
    deployed = [entry.gates for entry in of.entries if isinstance(entry, history_of_credits.GatesDeployed)]
    return frozenset(deployed[-1]) if deployed else gates_in(of)
