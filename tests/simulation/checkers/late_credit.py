"""Late credit: a subscription has delivered all of a lane, and its producers are held back for longer."""

from typing import Final

from eventfabric.testing.simulation import history, history_of_credits
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.credited import Credited, Slot, gates_in

NAME = "late_credit"
_RETURNS_MS: Final = 15_000
_OF_CONSUMERS: Final = frozenset(
    {"outage", "pause", "replay", "redrive", "edit", "discard", "deploy", "mend", "settings", "open_credits"}
)
"""Happenings to subscriptions in which no call fails."""


def check(of: History) -> Verdict:
    """Check that if only consumers falter, producers are let go on within 15 s of the moment when a lane is empty."""
    plan = of.plan
    is_calm = not plan.rates and plan.slowness <= 1
    if not (is_calm and {happening.what for happening in plan.happenings} <= _OF_CONSUMERS):
        return verdict(NAME, [], unknown=True)
    if not gates_in(of):
        return verdict(NAME, [])
    credited = Credited(of)
    drained_ms: dict[Slot, int] = {}
    anomalies: list[Anomaly] = []
    for number, entry in enumerate(of.entries):
        credited.feed(entry)
        match entry:
            case history.CursorMoved(copied=False):
                place = entry.subscription, entry.lane
                stand = credited.owner(*place)
                if stand is not None and stand.sequence >= credited.ends[entry.lane]:
                    drained_ms.setdefault(place, entry.at_ms)
                else:
                    drained_ms.pop(place, None)
            case history.Appended():
                for gate in credited.plan.subscriptions:
                    drained_ms.pop((gate.name, entry.lane), None)
            case history_of_credits.HeldBack():
                for gate_name in entry.gates:
                    since_ms = drained_ms.get((gate_name, entry.lane), entry.at_ms)
                    if entry.at_ms - since_ms > _RETURNS_MS:
                        what = f"{gate_name} held {', '.join(entry.ids)} back {entry.at_ms - since_ms} ms"
                        anomalies.append(
                            Anomaly(f"{what} after it had delivered all of {entry.lane}", number)
                        )
            case _:
                pass
    return verdict(NAME, anomalies)
