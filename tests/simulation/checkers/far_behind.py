"""Far behind: a cursor stood so far before a wanted event that its delivery had to read much that nobody wants.

Or a lane that begins with the latest began so late that events were missed, although others had long been there.
"""

from typing import Final

from eventfabric import limits
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.facts import Facts, facts_of

NAME = "far_behind"
_PASSES: Final = frozenset({"passes", "reconcile"})
_PINNED_MS: Final = 60_000
"""Longest time from a Region's first record to the pin of the start, if nothing fails."""


def check(of: History) -> Verdict:
    """Check that if nothing fails, a delivery begins at most two intervals of rings before what is wanted."""
    facts = facts_of(of)
    plan = facts.plan
    if plan.rates or plan.slowness > 1 or any(entry.what not in _PASSES for entry in plan.happenings):
        return verdict(NAME, [], unknown=True)
    most = 2 * plan.bounds.get("RING_EVERY_EVENTS", limits.RING_EVERY_EVENTS)
    anomalies = []
    for number, entry in enumerate(of.entries):
        if isinstance(entry, history.CursorMoved) and not entry.copied:
            start = entry.after.began if entry.before is None else entry.before.sequence
            end = entry.after.sequence
            wanted = [
                event.sequence
                for event in facts.lanes[entry.lane]
                if start <= event.sequence < end and facts.wants(entry.subscription, event)
            ]
            if wanted and wanted[0] - start > most:
                what = f"{entry.subscription} read {wanted[0] - start} events of {entry.lane} before a wanted one"
                anomalies.append(Anomaly(what, number))
            if entry.before is None and (missed := _missed(facts, entry)):
                what = f"{entry.subscription} began in {entry.lane} behind {missed[0]}"
                anomalies.append(Anomaly(what, number))
    return verdict(NAME, anomalies)


def _missed(facts: Facts, began: history.CursorMoved) -> list[str]:
    """Return the wanted events that a beginning with the latest missed, long after the Region's first record."""
    subscription = facts.subscriptions[began.subscription]
    own = [
        entry.at_ms
        for entry in facts.entries
        if isinstance(entry, history.Appended)
        and not entry.copied
        # The lane's origin: of a log that Regions share, the history may name any of them.
        and entry.lane.startswith(f"{began.region}/")
    ]
    if (subscription.start, subscription.deliver) != ("latest", "origin") or not own:
        return []
    return [
        event.id
        for event in facts.lanes[began.lane]
        if event.sequence < began.after.began
        and facts.wants(began.subscription, event)
        and facts.entries[event.entry].at_ms > min(own) + _PINNED_MS
    ]
