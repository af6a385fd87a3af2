"""Held-up key: an event waits because another key's event failed."""

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.logged import Logged
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.delivering import Delivering
from tests.simulation.checkers.facts import Facts, facts_of

NAME = "held_up_key"
_SOON_MS = 120_000
_LOCAL = frozenset(
    {
        "far_item",
        "junk_item",
        "record_at_the_end",
        "strange_lane",
        "garbage",
        "spoil_state",
        "reconcile",
        "quarantine",
    }
)
"""Happenings that affect no lane but their own."""


def check(of: History) -> Verdict:
    """Check that only events of its key wait in a parked key; and that other keys go on soon if nothing else failed."""
    facts = facts_of(of)
    anomalies: list[Anomaly] = []
    for number, entry in enumerate(of.entries):
        if isinstance(entry, history.KeyChanged) and entry.after is not None:
            anomalies += _foreign(facts, entry, number)
    if not _is_calm(facts):
        return verdict(NAME, anomalies, unknown=True)
    return verdict(NAME, [*anomalies, *_late(facts), *_overdue(facts)])


def _foreign(facts: Facts, entry: history.KeyChanged, number: int) -> list[Anomaly]:
    assert entry.after is not None
    is_unordered = facts.subscriptions[entry.subscription].order == "none" and not facts.is_reordered
    if is_unordered and len(entry.after.waiting) > 1:
        return [
            Anomaly(f"{entry.subscription} keeps no order, and {entry.after.waiting} wait together", number)
        ]
    if entry.lane in facts.overwritten_lanes:
        return []  # another event took the place of a deleted one
    for sequence in entry.after.waiting:
        logged_event = facts.logged_in(entry.lane, sequence)
        if logged_event is not None and logged_event.key != entry.key:
            return [
                Anomaly(f"{logged_event.id} of key {logged_event.key} waits behind key {entry.key}", number)
            ]
    return []


def _is_calm(facts: Facts) -> bool:
    """Tell if nothing failed but events, and what is tried again at once: no circuit opened, no process died."""
    if facts.plan.rates.keys() - {"bell_refused"} or facts.plan.slowness > 20:
        return False
    if any(happening.what not in _LOCAL for happening in facts.plan.happenings):
        return False
    if any(
        planned_event.conduct.crashes or planned_event.conduct.hangs
        for planned_event in facts.plan.events.values()
    ):
        return False
    return not any(isinstance(entry, history.CircuitSwitched) for entry in facts.entries)


def _late(facts: Facts) -> list[Anomaly]:
    delivering = Delivering(facts)
    anomalies: list[Anomaly] = []
    appended_ms = {
        logged_event.entry: facts.entries[logged_event.entry].at_ms for logged_event in facts.logged.values()
    }
    waiting: list[Logged] = sorted(facts.logged.values(), key=lambda logged_event: logged_event.entry)
    for number, entry in enumerate(facts.entries):
        while waiting and appended_ms[waiting[0].entry] + _SOON_MS < entry.at_ms:
            logged_event = waiting.pop(0)
            if logged_event.entry < number and logged_event.lane not in facts.stopped_lanes:
                anomalies += [
                    Anomaly(f"{name} was not handed {logged_event.id} within {_SOON_MS // 1000} s", number)
                    for name in facts.subscriptions
                    for group in facts.groups(name)
                    if not _is_served(facts, delivering, name, group, logged_event)
                ]
        delivering.feed(entry)
    return anomalies


def _overdue(facts: Facts) -> list[Anomaly]:
    """Check that a key that is to be retried is retried soon after it is due: the longest wait is a minute."""
    anomalies: list[Anomaly] = []
    since_ms: dict[tuple[str, str, str, str], int] = {}
    for number, entry in enumerate(facts.entries):
        if not isinstance(entry, history.KeyChanged) or entry.copied or entry.lane in facts.stopped_lanes:
            continue
        key = (entry.writer, entry.subscription, entry.lane, entry.id)
        before_ms = since_ms.pop(key, entry.at_ms)
        if entry.at_ms > before_ms + _SOON_MS:
            waited = (entry.at_ms - before_ms) // 1000
            what = f"{entry.subscription} tried key {entry.key} of {entry.lane} again after {waited} s"
            anomalies.append(Anomaly(what, number))
        if entry.after is not None and entry.after.state == "retrying":
            since_ms[key] = entry.at_ms
    return anomalies


def _is_served(facts: Facts, delivering: Delivering, name: str, group: str, logged_event: Logged) -> bool:
    if delivering.is_over(name, group, logged_event) or facts.subscriptions[name].start == "latest":
        return True
    if facts.subscriptions[name].guarantee.may_lose:
        return True
    regions = [group] if group else facts.plan.regions
    return any(delivering.waits(region, name, logged_event.lane, logged_event.sequence) for region in regions)
