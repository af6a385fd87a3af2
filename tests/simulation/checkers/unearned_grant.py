"""Unearned grant: a subscription grants more than its window beyond what it has delivered, or before it has."""

from collections import defaultdict

from eventfabric.model.credit import MEASURED_SECONDS, ROUND_SECONDS
from eventfabric.testing.simulation import history, history_of_credits
from eventfabric.testing.simulation.history import CursorStand, History
from eventfabric.testing.simulation.plan import PlannedBackpressure
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.credited import Credited, gates_in

NAME = "unearned_grant"


def check(of: History) -> Verdict:
    """Check that each grant is earned by a commit, the first of its lane, granted while paused, or by a person.

    How fast a lane drained, and so how large its window is, is not known here, but at most.
    """
    if not gates_in(of):
        return verdict(NAME, [])
    accounts = _Accounts(of)
    anomalies: list[Anomaly] = []
    for number, entry in enumerate(of.entries):
        match entry:
            case history.CursorMoved(copied=False) if entry.after.granted > -1:
                wrong = accounts.committed(entry)
            case history_of_credits.Granted(copied=False) if entry.stream == of.plan.stream:
                wrong = accounts.copied(entry)
            case _:
                wrong = ""
        accounts.feed(entry)
        if wrong:
            anomalies.append(Anomaly(wrong, number))
    return verdict(NAME, anomalies)


_Place = tuple[str, str, str]
"""A subscription, a lane, and the Region if each one delivers for itself."""


class _Accounts:
    def __init__(self, of: History) -> None:
        self._credited = Credited(of)
        self._drained: defaultdict[_Place, int] = defaultdict(int)
        """Events that lanes have drained in all, again and again if they were replayed."""
        self._decided: dict[_Place, int] = {}
        """Least sequence at which the cursor has stood since the last grant."""
        self._committed: defaultdict[_Place, set[int]] = defaultdict(set)
        self._most: defaultdict[_Place, int] = defaultdict(int)
        """Most that was granted by anybody."""
        self._paused: set[tuple[str, str]] = set()

    def feed(self, entry: history.AnyEntry) -> None:
        """Take in the next entry, once it is checked."""
        self._credited.feed(entry)
        match entry:
            case history.CircuitSwitched():
                where = entry.region, entry.subscription
                if entry.state == "paused":
                    self._paused.add(where)
                else:
                    self._paused.discard(where)
            case history_of_credits.Granted():
                place = self._place_of(entry.subscription, entry.lane, entry.writer)
                self._most[place] = max(self._most[place], entry.grant)
            case history.CursorMoved(copied=False):
                place = self._place_of(entry.subscription, entry.lane, entry.writer)
                before, after = entry.before, entry.after
                self._drained[place] += max(0, after.sequence - (before.sequence if before else 0))
                if after.granted > self._most[place]:
                    self._decided[place] = after.sequence
                self._decided[place] = min(self._decided.get(place, 0), after.sequence)
                if after.granted == -1:  # it is deployed without `backpressure`
                    self._committed[place].clear()
                self._committed[place].add(after.granted)
                self._most[place] = max(self._most[place], after.granted)
            case _:
                pass

    def _place_of(self, subscription: str, lane: str, writer: str) -> _Place:
        delivers_everywhere = self._credited.subscription(subscription).deliver == "everywhere"
        return subscription, lane, writer if delivers_everywhere else ""

    def committed(self, entry: history.CursorMoved) -> str:
        """Return how a commit grants too much; empty: it does not."""
        place, after = self._place_of(entry.subscription, entry.lane, entry.writer), entry.after
        settings = self._credited.subscription(entry.subscription).backpressure
        if settings is None or after.granted <= self._most[place]:
            return ""
        most = self._first(settings, place, after)
        if self._most[place]:
            most = max(most, self._next(settings, place, after))
        if after.granted <= most:
            return ""
        return f"{entry.subscription} grants {after.granted} of {entry.lane} at {after.sequence}, more than {most}"

    def _first(self, settings: PlannedBackpressure, place: _Place, after: CursorStand) -> int:
        """Return the most that a first grant may be."""
        if any(grant > -1 for grant in self._committed[place]):
            return 0
        return max(after.sequence, self._credited.ends[place[1]]) + settings.events_min

    def _next(self, settings: PlannedBackpressure, place: _Place, after: CursorStand) -> int:
        """Return the most that a later grant may be."""
        since = after.sequence - min(self._decided.get(place, 0), after.sequence)
        drained = self._drained[place] + since
        events_a_second = drained / MEASURED_SECONDS
        if after.sequence >= self._most[place]:  # producers used up all of it
            events_a_second = max(events_a_second, since / ROUND_SECONDS)
        window = max(settings.events_min, int(settings.seconds * events_a_second))
        return max(self._most[place] + since // 2, after.sequence + window)

    def copied(self, entry: history_of_credits.Granted) -> str:
        """Return how a slot holds what no commit has granted; empty: it does not."""
        place = self._place_of(entry.subscription, entry.lane, entry.writer)
        settings = self._credited.subscription(entry.subscription).backpressure
        if not entry.actor.startswith("deliver ") or entry.grant in self._committed[place]:
            return ""
        cursor = self._credited.cursors[entry.subscription, entry.lane].get(entry.writer)
        is_first = cursor is None or cursor.granted == -1
        is_paused = (entry.writer, entry.subscription) in self._paused
        if settings is None or is_first or (is_paused and settings.while_paused == "pass"):
            return ""
        # A doorbell that came again, and found nothing to deliver, is granted anew.
        if cursor is not None and entry.grant <= self._next(settings, place, cursor):
            return ""
        return f"{entry.subscription}'s slot of {entry.lane} holds {entry.grant}, which no commit has granted"
