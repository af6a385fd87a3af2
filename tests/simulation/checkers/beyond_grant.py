"""Beyond grant: a producer's record is at a place to which a subscription had not let anybody append."""

from collections import defaultdict
from typing import Final

from eventfabric.testing.simulation import history, history_of_credits
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.credited import Credited, gates_in, origin_of
from tests.simulation.checkers.late_credit import is_of_consumers

NAME = "beyond_grant"
_KNOWN_MS: Final = 30_000
"""Longest time from a look at a slot that was not there, over the next look, to the put that goes by it."""
_CUT: Final = frozenset({"many", "acks2"})
"""Calls whose events need not be in one record."""


def check(of: History) -> Verdict:
    """Check each record against what its publisher had heard of every slot of its lane.

    It begins below what each grants, and ends there, too, unless its events are to be together. A publisher that has
    not heard of a slot yet may append anywhere, but only until it is due to look again.
    """
    if not gates_in(of):
        return verdict(NAME, [])
    known = _Known(of)
    anomalies: list[Anomaly] = []
    for number, entry in enumerate(of.entries):
        known.feed(entry)
        if isinstance(entry, history.Appended) and not entry.copied and entry.actor in known.gates:
            anomalies += [Anomaly(what, number) for what in known.wrongs(entry)]
    return verdict(NAME, anomalies)


class _Known:
    """Knowledge of each publisher's process of the grants of the gates that it was deployed with."""

    def __init__(self, of: History) -> None:
        plan = of.plan
        self._is_quick = is_of_consumers(plan)
        self._credited = Credited(of)
        self._stream = plan.stream
        self.gates: dict[str, tuple[str, ...]] = {}
        self._hows: dict[str, str] = {}
        self._grants: dict[tuple[str, str, str], int] = {}
        self._looked_ms: dict[tuple[str, str], int] = {}
        self._shown_ms: defaultdict[tuple[str, str], int] = defaultdict(int)

    def feed(self, entry: history.AnyEntry) -> None:
        self._credited.feed(entry)
        match entry:
            case history_of_credits.ProducerBegan():
                self.gates[entry.actor] = entry.gates
            case history.Asked():
                self._hows[entry.actor] = entry.how
            case history_of_credits.Granted() if entry.region == origin_of(entry.lane):
                if self._credited.counts(entry.subscription, entry.writer, entry.region):
                    self._shown_ms.setdefault((entry.subscription, entry.lane), entry.at_ms)
            case history_of_credits.CreditsRead() if entry.stream == self._stream:
                self._looked_ms[entry.actor, entry.subscription] = entry.at_ms
                for writer, grants in entry.granted.items():
                    if self._credited.counts(entry.subscription, writer, entry.origin):
                        for index, grant in grants.items():
                            place = entry.actor, entry.subscription, f"{entry.origin}/0.{index}"
                            self._grants[place] = max(grant, self._grants.get(place, 0))
            case _:
                pass

    def wrongs(self, entry: history.Appended) -> list[str]:
        """Return how a record is beyond what its publisher knew."""
        wrongs: list[str] = []
        for gate in self.gates[entry.actor]:
            known = self._grants.get((entry.actor, gate, entry.lane))
            if known is not None and entry.sequence >= known:
                wrongs.append(f"{entry.lane}@{entry.sequence} is not below the {known} that {gate} grants")
            # A batch that may stand in two Regions is not cut, or nobody would know it for the same.
            is_cut = self._hows.get(entry.actor) in _CUT and not entry.note
            if known is not None and is_cut and entry.sequence + len(entry.ids) > max(known, entry.sequence):
                wrongs.append(f"{entry.lane}@{entry.sequence} ends beyond the {known} that {gate} grants")
            if known is None and self._is_overdue(entry, gate):
                wrongs.append(f"{entry.lane}@{entry.sequence}: nobody looked for long at what {gate} grants")
        return wrongs

    def _is_overdue(self, entry: history.Appended, gate: str) -> bool:
        shown_ms = self._shown_ms.get((gate, entry.lane))
        if shown_ms is None or not self._is_quick:
            return False
        looked_ms = self._looked_ms.get((entry.actor, gate), 0)
        return entry.at_ms - max(shown_ms, looked_ms) > _KNOWN_MS
