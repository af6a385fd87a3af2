"""Ungranted lane: a subscription delivers a lane without credit, or with less than its slot ought to show."""

from eventfabric.testing.simulation import history, history_of_credits
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.credited import Credited, gates_in, origin_of

NAME = "ungranted_lane"


def check(of: History) -> Verdict:
    """Check that a lane is gated before its first event is handed out, that each commit keeps its account, and that a
    run which succeeds has copied what it committed; as long as nothing else is deployed.
    """
    runs = _Runs(of)
    anomalies: list[Anomaly] = []
    for number, entry in enumerate(of.entries):
        runs.credited.feed(entry)
        match entry:
            case history_of_credits.GatesDeployed():
                break
            case history.AttemptBegan() if entry.subscription in runs.gates:
                wrongs = runs.handed_out(entry)
            case history.CursorMoved(copied=False) if entry.subscription in runs.gates:
                wrongs = runs.committed(entry)
            case history_of_credits.Granted(before=-1, copied=False) if entry.subscription in runs.gates:
                wrongs = runs.granted_first(entry)
            case history.Called() if entry.call.startswith("ledger."):
                runs.unheard(entry)
                continue
            case history.RunEnded():
                wrongs = runs.ended(entry)
            case _:
                continue
        anomalies += [Anomaly(what, number) for what in wrongs]
    return verdict(NAME, anomalies)


class _Runs:
    def __init__(self, of: History) -> None:
        self.gates = gates_in(of)
        self.credited = Credited(of)
        self._committed: dict[str, dict[tuple[str, str, str], int]] = {}
        """Grants that each process has committed since its last invocation ended, by Region, subscription and lane."""

        self._unheard: set[str] = set()

    def handed_out(self, entry: history.AttemptBegan) -> list[str]:
        return [
            f"{entry.subscription} hands out {lane}, and has granted nothing there"
            for lane in sorted({place.lane for place in entry.events})
            if not self.credited.shown[entry.region, entry.subscription, lane]
        ]

    def committed(self, entry: history.CursorMoved) -> list[str]:
        if not entry.actor.startswith("deliver "):
            return []
        place = entry.writer, entry.subscription, entry.lane
        if entry.after.granted > -1:
            self._committed.setdefault(entry.actor, {})[place] = entry.after.granted
            return []
        has_moved = entry.before is not None and entry.before.sequence < entry.after.sequence
        return [f"{entry.subscription} keeps no account of {entry.lane}"] if has_moved else []

    def granted_first(self, entry: history_of_credits.Granted) -> list[str]:
        """Return what is wrong with a first grant: it is from the tail, and somebody was rung for an event there."""
        # In a replica, there may be nothing yet.
        is_in_origin = entry.writer == origin_of(entry.lane) and entry.actor.startswith("deliver ")
        if self.credited.cursors[entry.subscription, entry.lane] or not is_in_origin:
            return []
        settings = self.credited.subscription(entry.subscription).backpressure
        assert settings is not None, "it is a gate"
        is_from_tail = entry.grant > settings.events_min or not self.credited.ends[entry.lane]
        return [] if is_from_tail else [f"{entry.subscription} grants {entry.lane} from its begin"]

    def unheard(self, entry: history.Called) -> None:
        """Note that a process may not have heard of a commit: it hands the lane back then, to be run again."""
        self._unheard.add(entry.actor)

    def ended(self, entry: history.RunEnded) -> list[str]:
        """Return in which lanes an invocation has not copied what it committed, and did not fail for that."""
        committed = self._committed.pop(entry.actor, {})
        if entry.actor in self._unheard:
            self._unheard.discard(entry.actor)
            return []
        return [
            f"{subscription}'s slot of {lane} is behind what a run that succeeded has committed"
            for (region, subscription, lane), grant in committed.items()
            # Functions of another Region may write a cursor that all Regions share, and their own slot.
            if not entry.failed
            and max(self.credited.shown[region, subscription, lane].values(), default=-1) < grant
        ]
