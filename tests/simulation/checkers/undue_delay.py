"""Undue delay: a call failed briefly, and its lane waited for much longer than that."""

from bisect import bisect_left
from typing import Final

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.logged import Logged
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.delivering import Delivering
from tests.simulation.checkers.facts import Facts, facts_of
from tests.simulation.profiles import HICCUPS

NAME = "undue_delay"
_USUAL_MS: Final = 10_000
"""Longest time from an event's append to its handler if nothing fails."""
_OF_A_FAULT_MS: Final = 5_000
"""Longest time by which one failed call may delay a lane."""
_SLOWNESS_MAX: Final = 1.0


def check(of: History) -> Verdict:
    """Check that if calls fail only briefly and nothing else does, events are handled as soon as that allows."""
    facts = facts_of(of)
    if not _is_of_hiccups(facts):
        return verdict(NAME, [], unknown=True)
    faults_ms = [entry.at_ms for entry in of.entries if isinstance(entry, history.Called)]
    delivering = Delivering(facts)
    anomalies: list[Anomaly] = []
    waiting = {
        (name, group, logged_event.lane, logged_event.sequence): logged_event
        for name in facts.subscriptions
        for group in facts.groups(name)
        for logged_event in facts.logged.values()
        if facts.wants(name, logged_event) and facts.subscriptions[name].start != "latest"
    }
    for number, entry in enumerate(of.entries):
        delivering.feed(entry)
        if isinstance(entry, history.AttemptEnded | history.EffectMade):
            for place in [place for place in waiting if place in delivering.handled]:
                event = waiting.pop(place)
                waited_ms = entry.at_ms - _ready_ms(facts, event, place[1])
                faults = len(faults_ms) - bisect_left(faults_ms, entry.at_ms - waited_ms)
                if waited_ms > _USUAL_MS + _OF_A_FAULT_MS * faults:
                    what = f"{place[0]} handled {event.id} after {waited_ms / 1000:.1f} s and {faults} failed calls"
                    anomalies.append(Anomaly(what, number))
    return verdict(NAME, anomalies)


def _ready_ms(facts: Facts, logged_event: Logged, group: str) -> int:
    """Return when the event was in the log of the Region that is to hand it out."""
    copies = [
        entry.at_ms
        for entry in facts.entries
        if isinstance(entry, history.Appended)
        and entry.lane == logged_event.lane
        and entry.sequence <= logged_event.sequence < entry.sequence + len(entry.ids)
        and (not group or entry.region == group)
    ]
    return (
        max(copies) if copies and not group else min(copies, default=facts.entries[logged_event.entry].at_ms)
    )


def _is_of_hiccups(facts: Facts) -> bool:
    plan = facts.plan
    if plan.rates.keys() - set(HICCUPS) or plan.happenings or plan.slowness > _SLOWNESS_MAX:
        return False
    if any(not event.conduct.is_fine for event in plan.events.values()):
        return False
    return not any(isinstance(entry, history.CircuitSwitched) for entry in facts.entries)
