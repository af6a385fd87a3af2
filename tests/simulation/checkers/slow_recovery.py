"""Slow recovery: a service works again, but events that waited for it keep waiting."""

from typing import Final

from eventfabric import limits
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.delivering import Delivering
from tests.simulation.checkers.facts import Facts, facts_of
from tests.simulation.profiles import HICCUPS

NAME = "slow_recovery"
_SOON_MS: Final = 180_000
"""Time until a lane goes on: it is visited again a minute after a lasting failure, and may then meet a brief one."""
_AFTER_TWO_MS: Final = 660_000
"""Time until a lane goes on after two services refused at once: only a pass of reconciliation rings for it then, since
a doorbell is used up by long refusals, and a key that fails while no timer can be had is left without one.
"""
_TWO_FOR_LONG_MS: Final = 1000 * limits.RECEIVE_COUNT_MAX * limits.LANE_AGAIN_SECONDS_MAX // 2
_ENDS: Final = {
    "denied": "denied_end",
    "bad_target": "bad_target_end",
    "throttled": "throttled_end",
    "no_timers": "timers_back",
    "no_doorbells": "doorbells_back",
}
_BEGINS: Final = {end: begin for begin, end in _ENDS.items()}
_SLOWNESS_MAX: Final = 20.0


def check(of: History) -> Verdict:
    """Check that everything is handled soon after the last of the services' long refusals has ended."""
    facts = facts_of(of)
    if not _is_of_refusals(facts):
        return verdict(NAME, [], unknown=True)
    delivering = Delivering(facts)
    anomalies: list[Anomaly] = []
    open_, since_ms, before = list[str](), None, 0
    soon_ms, two_since_ms = _SOON_MS, 0
    for number, entry in enumerate(of.entries):
        if since_ms is not None and entry.at_ms > since_ms + soon_ms:
            anomalies += _waiting(facts, delivering, before, number, soon_ms)
            since_ms = None
        match entry:
            case history.Happened() if entry.what in _ENDS:
                open_, since_ms = [*open_, entry.what], None
                two_since_ms = entry.at_ms if len(open_) == 2 else two_since_ms
                if len(open_) > 1 and "no_timers" in open_:
                    soon_ms = _AFTER_TWO_MS
            case history.Happened() if entry.what in _ENDS.values():
                if len(open_) > 1 and entry.at_ms - two_since_ms > _TWO_FOR_LONG_MS:
                    soon_ms = _AFTER_TWO_MS
                if _BEGINS[entry.what] in open_:
                    open_.remove(_BEGINS[entry.what])
                since_ms, before = (None, 0) if open_ else (entry.at_ms, number)
            case _:
                pass
        delivering.feed(entry)
    return verdict(NAME, anomalies)


def _is_of_refusals(facts: Facts) -> bool:
    plan = facts.plan
    if plan.rates.keys() - set(HICCUPS) or plan.slowness > _SLOWNESS_MAX or plan.durability != "regional":
        return False
    if not plan.happenings or any(happening.what not in _ENDS for happening in plan.happenings):
        return False
    if any(not event.conduct.is_fine for event in plan.events.values()):
        return False
    return not any(isinstance(entry, history.CircuitSwitched) for entry in facts.entries)


def _waiting(facts: Facts, delivering: Delivering, before: int, number: int, soon_ms: int) -> list[Anomaly]:
    """Return what was in the log when the last refusal ended, and is not handled by now."""
    return [
        Anomaly(
            f"{name} was not handed {logged_event.id} within {soon_ms // 1000} s of the last refusal", number
        )
        for logged_event in facts.logged.values()
        if logged_event.entry < before
        for name, subscription in facts.subscriptions.items()
        if subscription.start != "latest" and not subscription.guarantee.may_lose
        for group in facts.groups(name)
        if not delivering.is_over(name, group, logged_event)
    ]
