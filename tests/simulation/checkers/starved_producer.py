"""Starved producer: nothing fails any more, all is delivered, and producers are held back."""

from collections.abc import Iterable
from typing import Final

from eventfabric.testing.simulation import history_of_credits
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.plan import Plan
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.credited import Credited, gates_in, origin_of

NAME = "starved_producer"
_USE_BELLS_UP: Final = frozenset(
    {
        "throttled",
        "no_doorbells",
        "no_timers",
        "ungate",
        "region_loss",
        "silence",
        "failover",
        "failback",
        "cut",
    }
)
"""Happenings after which a pass of reconciliation has to ring: doorbells are lost or used up, or state comes late."""


def check(of: History) -> Verdict:
    """Check that in the end no producer is held back, and that nobody who came now would be.

    That holds before any pass of reconciliation, unless doorbells were lost, or used up by long refusals.
    """
    if not gates_in(of):
        return verdict(NAME, [])
    credited = Credited(of)
    anomalies: list[Anomaly] = []
    gates = gates_in(of)
    for number, entry in enumerate(of.entries):
        credited.feed(entry)
        match entry:
            case history_of_credits.GatesDeployed():
                gates = frozenset(entry.gates)
            case history_of_credits.Drained() if _rings(of.plan):
                anomalies += [Anomaly(what, number) for what in _shut(credited, gates)]
            case history_of_credits.GivenUp():
                anomalies.append(Anomaly(f"{', '.join(entry.ids)} never got credit", number))
            case _:
                pass
    last = len(of.entries) - 1
    return verdict(NAME, anomalies + [Anomaly(what, last) for what in _shut(credited, gates)])


def _rings(plan: Plan) -> bool:
    """Tell if lanes are rung without a pass."""
    return "bell_lost" not in plan.rates and _USE_BELLS_UP.isdisjoint(
        happening.what for happening in plan.happenings
    )


def _shut(credited: Credited, gates: Iterable[str]) -> list[str]:
    """Return which lanes are shut although all of them is delivered."""
    shut = []
    for gate in sorted(gates):
        for lane, end in sorted(credited.ends.items()):
            grant, cursor = credited.grant(origin_of(lane), gate, lane), credited.owner(gate, lane)
            is_drained = cursor is not None and cursor.sequence >= end
            if is_drained and grant is not None and grant <= end:
                shut.append(f"{gate} has delivered all of {lane}, and grants {grant} of {end}")
    return shut
