"""Neglected lane: a pass of reconciliation counts as complete, and did not look at a lane in which events wait."""

from collections import defaultdict

from eventfabric.model import Lane
from eventfabric.telemetry import Metric
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict

NAME = "neglected_lane"
_COMPLETE = Metric.OLDEST_UNDELIVERED.value
"""Gauge that a complete pass reports, of each subscription."""
_Waiting = tuple[str, str, str]
"""A Region, a subscription and a lane."""


def check(of: History) -> Verdict:
    """Check that each complete pass read the state of all lanes that had waited since before the pass before it."""
    spoils = (history.Tampered, history.HandedOver)
    if of.plan.durability == "quorum" or any(isinstance(entry, spoils) for entry in of.entries):
        return verdict(NAME, [], unknown=True)
    straddled = _straddled(of)
    anomalies: list[Anomaly] = []
    lanes = _Lanes()
    waited: dict[tuple[str, str], set[_Waiting]] = {}
    read: defaultdict[tuple[str, str], set[_Waiting]] = defaultdict(set)
    for number, entry in enumerate(of.entries):
        lanes.feed(entry)
        match entry:
            case history.LaneRead() if entry.actor.startswith(f"reconcile {entry.region} "):
                of_pass = entry.region, entry.subscription
                read[of_pass].add((*of_pass, entry.lane))
            case history.Gauged(metric=metric) if metric == _COMPLETE:
                of_pass = entry.region, entry.subscription
                waiting = lanes.waiting_in(*of_pass)
                left_out = (waited.get(of_pass, set()) & waiting) - read[of_pass]
                anomalies += [
                    Anomaly(f"{region} completed a pass without a look at {lane} for {name}", number)
                    for region, name, lane in sorted(left_out)
                ]
                # An invocation that went on meanwhile had looked at lanes before the other one was complete.
                waited[of_pass] = set() if number in straddled else waiting
                read[of_pass].clear()
            case _:
                pass
    return verdict(NAME, anomalies)


class _Lanes:
    """Lanes in which a Region has events that it never handed out, by what has happened so far.

    What waits beneath a lane that is not past its seal waits for that lane, at which a pass looks.
    """

    def __init__(self) -> None:
        self._ends: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._cursors: dict[_Waiting, int] = {}
        self._past_seal: set[_Waiting] = set()

    def feed(self, entry: history.AnyEntry) -> None:
        match entry:
            case history.Appended():
                place = entry.region, entry.lane
                self._ends[place] = max(self._ends[place], entry.sequence + len(entry.ids))
            case history.CursorMoved(copied=False):
                key = entry.writer, entry.subscription, entry.lane
                self._cursors[key] = max(entry.after.sequence, entry.after.replay_until)
                if entry.after.is_past_seal:
                    self._past_seal.add(key)
                else:
                    self._past_seal.discard(key)
            case _:
                pass

    def waiting_in(self, region: str, subscription: str) -> set[_Waiting]:
        return {
            (writer, name, lane)
            for (writer, name, lane), stands in self._cursors.items()
            if (writer, name) == (region, subscription)
            and stands < self._ends[region, lane]
            and self._is_reached(writer, name, Lane.parse(lane))
        }

    def _is_reached(self, writer: str, name: str, lane: Lane) -> bool:
        return lane.is_root or (writer, name, str(lane.parent)) in self._past_seal


def _straddled(of: History) -> set[int]:
    """Return the entries of completed passes during which another invocation in the same Region was under way."""
    spans: dict[str, tuple[str, int, int]] = {}
    for number, entry in enumerate(of.entries):
        if entry.actor.startswith("reconcile "):
            region, first, _ = spans.get(entry.actor, (entry.actor.split()[1], number, number))
            spans[entry.actor] = region, first, number
    return {
        number
        for number, entry in enumerate(of.entries)
        if isinstance(entry, history.Gauged) and entry.metric == _COMPLETE
        for actor, (region, first, last) in spans.items()
        if region == entry.region and actor != entry.actor and first < number < last
    }
