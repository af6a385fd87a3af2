"""Late credit: a subscription has delivered all of a lane, or is paused, and its producers are held back for longer."""

from collections import defaultdict
from typing import Final

from eventfabric import limits
from eventfabric.testing.simulation import history, history_of_credits
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.plan import Plan
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.credited import Credited, Slot, gates_in

NAME = "late_credit"
_RETURNS_MS: Final = 15_000
_PAUSED_MS: Final = 1_000 * limits.CIRCUIT_CACHE_SECONDS
"""Time after which all functions know of a pause."""
OF_CONSUMERS: Final = frozenset(
    {
        *("outage", "pause", "replay", "redrive", "edit", "discard", "deploy", "mend", "settings"),
        *("open_credits", "kill_producers", "reconcile"),
    }
)
"""Happenings to subscriptions in which no call fails."""


def check(of: History) -> Verdict:
    """Check that if only consumers falter, producers are let go on within 15 s of the moment when a lane is empty.

    So they are if one is paused that does not say that it holds them, and nothing was appended for as long.
    """
    if not is_of_consumers(of.plan):
        return verdict(NAME, [], unknown=True)
    if not gates_in(of):
        return verdict(NAME, [])
    waits = _Waits(of)
    anomalies: list[Anomaly] = []
    for number, entry in enumerate(of.entries):
        waits.feed(entry)
        if isinstance(entry, history_of_credits.HeldBack):
            anomalies += [Anomaly(what, number) for what in waits.wrongs(entry)]
    return verdict(NAME, anomalies)


def is_of_consumers(plan: Plan) -> bool:
    """Tell if no call fails and no process dies in a delivery."""
    dies = any(event.conduct.crashes or event.conduct.hangs for event in plan.events.values())
    is_calm = not plan.rates and plan.slowness <= 1 and not dies
    return is_calm and {happening.what for happening in plan.happenings} <= OF_CONSUMERS


class _Waits:
    """Times since when lanes ought to be open, and since when producers wait."""

    def __init__(self, of: History) -> None:
        plan = of.plan
        self._credited = Credited(of)
        self._passing = {
            own.name
            for own in plan.subscriptions
            if len(plan.regions) == 1 and own.backpressure and own.backpressure.while_paused == "pass"
        }
        """Subscriptions that let producers go on while they are paused."""
        self._open_ms: dict[Slot, int] = {}
        """Time since when all of a lane is delivered."""
        self._paused_ms: dict[str, int] = {}
        self._appended_ms: defaultdict[str, int] = defaultdict(int)
        self._held_ms: dict[str, int] = {}
        """Time since when each event is held back."""

    def feed(self, entry: history.AnyEntry) -> None:
        """Take in the next entry."""
        self._credited.feed(entry)
        match entry:
            case history.CursorMoved(copied=False):
                place = entry.subscription, entry.lane
                stand = self._credited.owner(*place)
                if stand is not None and stand.sequence >= self._credited.ends[entry.lane]:
                    self._open_ms.setdefault(place, entry.at_ms)
                else:
                    self._open_ms.pop(place, None)
            case history.Appended():
                self._appended_ms[entry.lane] = entry.at_ms
                for gate in self._credited.plan.subscriptions:
                    self._open_ms.pop((gate.name, entry.lane), None)
                for id_ in entry.ids:
                    self._held_ms.pop(id_, None)
            case history.CircuitSwitched(state="paused"):
                self._paused_ms.setdefault(entry.subscription, entry.at_ms + _PAUSED_MS)
            case history.CircuitSwitched():
                self._paused_ms.pop(entry.subscription, None)
                if entry.state == "open":
                    # Its lanes wait for the next probe, and grant nothing until then.
                    self._passing.discard(entry.subscription)
            case history_of_credits.HeldBack():
                for id_ in entry.ids:
                    self._held_ms.setdefault(id_, entry.at_ms)
            case _:
                pass

    def wrongs(self, entry: history_of_credits.HeldBack) -> list[str]:
        """Return which subscriptions hold producers back that ought to let them go on."""
        waits_ms = min((self._held_ms[id_] for id_ in entry.ids), default=entry.at_ms)
        waits_ms = max(waits_ms, self._appended_ms[entry.lane])
        wrongs: list[str] = []
        for gate in entry.gates:
            open_ms = self._open_ms.get((gate, entry.lane))
            paused_ms = self._paused_ms.get(gate) if gate in self._passing else None
            for why, since_ms in (("it had delivered all", open_ms), ("it was paused", paused_ms)):
                if since_ms is not None and entry.at_ms - max(since_ms, waits_ms) > _RETURNS_MS:
                    wrongs.append(f"{gate} holds {', '.join(entry.ids)} back in {entry.lane}, although {why}")
        return wrongs
