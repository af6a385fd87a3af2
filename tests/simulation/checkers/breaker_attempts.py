"""Breaker attempts: while a circuit is open, more than its probes is attempted; while it is paused, anything at all.

An attempt is judged by what its process knew of the circuit when it read the lane: a warm function may rely on that for
some seconds, and goes on to the end of its invocation.
"""

from eventfabric import limits
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.facts import Facts, facts_of

NAME = "breaker_attempts"
_PROBE_MS = 1000 * limits.CIRCUIT_PROBE_SECONDS


class _Circuit:
    """State of a circuit since entry number `since`, and the number of failed attempts since then."""

    def __init__(self, state: str, since: int, since_ms: int) -> None:
        self.state = state
        self.since = since
        self.since_ms = since_ms
        self.failures = 0


class _Known:
    """Entries by which processes last learned of a Region's circuit, and what they knew when they read a lane."""

    def __init__(self) -> None:
        self._standings: dict[tuple[str, str, str], int] = {}
        self._then: dict[tuple[str, str, str, str], int] = {}

    def feed(self, facts: Facts, number: int, entry: history.AnyEntry) -> None:
        """Take in the next entry."""
        if isinstance(entry, history.StandingRead) and number not in facts.unheard:
            self._standings[entry.actor, entry.subscription, entry.region] = number
        elif isinstance(entry, history.LaneRead):
            for region in facts.plan.regions:
                standing_number = self._standings.get((entry.actor, entry.subscription, region), 0)
                self._then[entry.actor, entry.subscription, entry.lane, region] = standing_number

    def behind(self, entry: history.AttemptBegan | history.AttemptEnded) -> int:
        """Return the entry by which the attempting process last learned of the circuit."""
        return self._then.get((entry.actor, entry.subscription, entry.events[0].lane, entry.region), 0)


def check(of: History) -> Verdict:
    """Check that no process attempts what it knows to be paused, or fails more attempts than probes when it is open."""
    facts = facts_of(of)
    circuits: dict[tuple[str, str], _Circuit] = {}
    known = _Known()
    anomalies: list[Anomaly] = []
    for number, entry in enumerate(facts.entries):
        known.feed(facts, number, entry)
        if isinstance(entry, history.CircuitSwitched):
            key = (entry.region, entry.subscription)
            if key not in circuits or circuits[key].state != entry.state:
                circuits[key] = _Circuit(entry.state, number, entry.at_ms)
        elif isinstance(entry, history.AttemptEnded | history.AttemptBegan):
            circuit = circuits.get((entry.region, entry.subscription))
            if circuit is None or circuit.state == "closed" or known.behind(entry) <= circuit.since:
                continue
            if _was_told_beside(facts, circuit, entry):
                continue
            what = _wrong(facts, circuit, entry)
            if what:
                anomalies.append(Anomaly(f"{entry.subscription} in {entry.region}: {what}", number))
    return verdict(NAME, anomalies)


def _was_told_beside(
    facts: Facts, circuit: _Circuit, entry: history.AttemptBegan | history.AttemptEnded
) -> bool:
    """Tell if the process may have learned of the circuit for another of the lanes that it delivers at the same time.

    Each of these has a deliverer of its own, which reads the circuit again after some seconds.
    """
    is_recent = entry.at_ms - circuit.since_ms < 1000 * limits.CIRCUIT_CACHE_SECONDS
    return is_recent and facts.subscriptions[entry.subscription].concurrency > 1


def _wrong(facts: Facts, circuit: _Circuit, entry: history.AttemptBegan | history.AttemptEnded) -> str:
    if circuit.state == "paused":
        return f"paused, and attempts {entry.events[0].id}"
    if isinstance(entry, history.AttemptBegan) or not entry.error:
        return ""
    circuit.failures += 1
    clocks_differ = facts.plan.rate("skew") or any(
        happening.what == "clock" for happening in facts.plan.happenings
    )
    # Allow for clocks that differ by a second or so, and for the probe that opened the circuit.
    probes = 3 + (entry.at_ms - circuit.since_ms) // _PROBE_MS
    if clocks_differ or circuit.failures <= probes:
        return ""
    return f"open, and {circuit.failures} attempts failed where {probes} probes were due"
