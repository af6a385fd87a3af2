"""Breaker attempts: while a circuit is open, more is attempted than its probes; while it is paused, anything."""

from eventfabric.simulation import history
from eventfabric.simulation.checkers.verdict import Anomaly, Facts, Verdict, verdict
from eventfabric.simulation.history import History

NAME = "breaker_attempts"


class _Circuit:
    def __init__(self) -> None:
        self.begin("closed", 0)

    def begin(self, state: str, since: int) -> None:
        """From that entry on it is in this state."""
        self.state, self.since = state, since
        self.switches = self.failures = 0


def check(of: History) -> Verdict:
    """Attempts of who had read, before the lane, that the circuit is not closed: each probe fails at most once."""
    facts = Facts(of)
    circuits: dict[tuple[str, str], _Circuit] = {}
    known: dict[tuple[str, str, str], int] = {}
    reads: dict[tuple[str, str, str], int] = {}
    anomalies: list[Anomaly] = []
    for number, entry in enumerate(facts.entries):
        match entry:
            case history.CircuitSwitched():
                circuit = circuits.setdefault((entry.region, entry.subscription), _Circuit())
                if entry.state != circuit.state:
                    circuit.state, circuit.since, circuit.switches, circuit.failures = (
                        entry.state,
                        number,
                        0,
                        0,
                    )
                circuit.switches += 1
            case history.StandingRead():
                known[entry.actor, entry.subscription, entry.region] = number
            case history.LaneRead():
                for region in of.plan.regions:
                    read = known.get((entry.actor, entry.subscription, region), 0)
                    reads[entry.actor, entry.lane, region] = read
            case history.AttemptEnded() | history.AttemptBegan():
                found = circuits.get((entry.region, entry.subscription))
                read = reads.get((entry.actor, entry.events[0].lane, entry.region), 0)
                if found is None or found.state == "closed" or read <= found.since:
                    continue
                if found.state == "paused":
                    anomalies.append(
                        Anomaly(f"{entry.subscription} is paused, and attempts {entry.events[0].id}", number)
                    )
                elif isinstance(entry, history.AttemptEnded) and entry.error:
                    found.failures += 1
                    if found.failures > found.switches:
                        what = f"{entry.subscription}: {found.failures} attempts failed in {found.switches} probes"
                        anomalies.append(Anomaly(what, number))
    return verdict(NAME, anomalies)
